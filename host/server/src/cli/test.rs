//! `wasmill test`: runs pipelines on records that are written down.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use pipeline::testing::SUFFIX;
use record::error::Code;

use crate::failure::Failure;
use crate::output::Output;
use crate::pipelines::Host;
use crate::testing::run::{FileReport, Options, run_file};
use crate::testing::{junit, report, update};

/// Directories that hold what is built or downloaded.
const NOT_LOOKED_INTO: [&str; 3] = ["node_modules", "target", "__pycache__"];

/// Test pipelines: records in, expected records out, without a broker
///
/// Runs the cases of `*.test.toml` files: the real plan and the real plugins, on a clock that stands
/// still. Sources and sinks are replaced, secrets are not asked for. Every case runs three times: in
/// whole batches, one record at a time, and cut at random, with the same outcome. docs/testing.md
/// describes the files. Exit code 1 when a case fails, 2 when a test or its pipeline is wrong.
#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// Test files, or directories with test files below them
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Run only cases whose name, or file, contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Write what came as what is expected; comments and the rest of the file stay
    #[arg(long)]
    update: bool,
    /// Write a report in JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Where batches are cut at random: repeats a run that has failed [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Plugins must lie in this directory [default: the current one]
    #[arg(long, value_name = "DIR")]
    plugin_root: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &TestArgs, output: Output) -> Result<(), Failure> {
    let began = Instant::now();
    let files = find(&args.paths)?;
    let options = Options {
        filter: args.filter.clone(),
        plugin_root: args.plugin_root.clone().unwrap_or_else(|| PathBuf::from(".")),
        update: args.update,
        seed: args.seed.unwrap_or_else(any_seed),
    };
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let color = std::io::stdout().is_terminal() && !no_color;
    let mut host = Host::default();
    let mut reports: Vec<FileReport> = Vec::new();
    for file in &files {
        let mut result = run_file(&mut host, file, &options);
        if args.update && write_back(&result)? {
            output.note(&format!("{} is written anew", file.display()));
            // What was just written is what comes: shown as it is now.
            result = run_file(&mut host, file, &options);
        }
        if result.cases.is_empty() && result.diagnostics.is_empty() {
            continue;
        }
        if !output.is_json() {
            output.print(report::text(&result, color).trim_end())?;
            output.diagnostics(&result.diagnostics);
        }
        reports.push(result);
    }
    let (total, seed) = (began.elapsed(), options.seed);
    if let Some(path) = &args.junit {
        write_junit(path, &reports)?;
    }
    output.result(
        &format!("\n{}", report::summary(&reports, total, seed)),
        &report::value(&reports, total, seed),
    )?;
    conclude(args, &reports)
}

fn conclude(args: &TestArgs, reports: &[FileReport]) -> Result<(), Failure> {
    let is_error = |d: &pipeline::Diagnostic| d.severity == pipeline::Severity::Error;
    let wrong = reports.iter().find(|report| report.diagnostics.iter().any(is_error));
    if let Some(report) = wrong {
        let of_plugin = report.diagnostics.iter().any(|d| d.code == pipeline::code::NO_PLUGIN);
        if of_plugin {
            return Err(Failure::Other {
                code: pipeline::code::NO_PLUGIN,
                invalid: true,
                what: format!("{} cannot be run: a plugin is missing", report.path.display()),
                place: None,
                next: "`wasmill build DIR`, with the directory of the plugin's source, builds it".to_owned(),
            });
        }
        let path = report.path.display();
        return Err(Failure::Other {
            code: Code("E0809"),
            invalid: true,
            what: format!("{path} is not valid"),
            place: None,
            next: format!("mend the places above, then `wasmill test {path}`"),
        });
    }
    let (passed, failed, _) = report::counts(reports);
    if failed > 0 {
        return Err(Failure::Tests {
            failed,
            all: failed + passed,
        });
    }
    if passed == 0 {
        let (what, next) = match &args.filter {
            Some(filter) => (
                format!("no test case has `{filter}` in its name"),
                "leave `--filter` out to see them all",
            ),
            None => (
                "there are no test cases".to_owned(),
                "docs/testing.md shows how to write one",
            ),
        };
        return Err(Failure::usage(what, next));
    }
    Ok(())
}

/// The test files that the paths name, each once.
fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut found = BTreeSet::new();
            walk(path, &mut found)?;
            if found.is_empty() {
                return Err(Failure::usage(
                    format!("there is no *{SUFFIX} below {}", path.display()),
                    "name a test file `NAME.test.toml`, beside the pipeline `NAME.toml`",
                ));
            }
            files.extend(found);
        } else if path.exists() {
            files.push(path.clone());
        } else {
            return Err(Failure::usage(
                format!("there is no {}", path.display()),
                "name a test file, or a directory with test files below it",
            ));
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}

fn walk(dir: &Path, found: &mut BTreeSet<PathBuf>) -> Result<(), Failure> {
    let fail = |source| Failure::File {
        doing: "read",
        path: dir.to_owned(),
        source,
    };
    for entry in std::fs::read_dir(dir).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Links are not followed: they may lead round in a circle.
        let kind = entry.file_type().map_err(fail)?;
        if kind.is_dir() && !name.starts_with('.') && !NOT_LOOKED_INTO.contains(&name.as_str()) {
            walk(&entry.path(), found)?;
        } else if !kind.is_dir() && name.ends_with(SUFFIX) {
            let path = entry.path();
            found.insert(path.strip_prefix(".").map(Path::to_path_buf).unwrap_or(path));
        }
    }
    Ok(())
}

/// Writes what came into the file; answers whether anything was to be written.
fn write_back(result: &FileReport) -> Result<bool, Failure> {
    let path = &result.path;
    let fail = |doing| {
        move |source| Failure::File {
            doing,
            path: path.clone(),
            source,
        }
    };
    if result.file.is_none() {
        return Ok(false);
    }
    let text = std::fs::read_to_string(path).map_err(fail("read"))?;
    let updated = update::updated(result, &text).map_err(|what| fail("update")(std::io::Error::other(what)))?;
    match updated {
        Some(new) if new != text => {
            replace(path, &new).map_err(fail("write"))?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Replaces a file at once: a full disk or a crash leaves what was there.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    // Where a link leads, not the link.
    let path = path.canonicalize()?;
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(text.as_bytes())?;
    file.as_file()
        .set_permissions(std::fs::metadata(&path)?.permissions())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn write_junit(path: &Path, reports: &[FileReport]) -> Result<(), Failure> {
    let xml = junit::xml(reports).map_err(std::io::Error::other);
    xml.and_then(|xml| std::fs::write(path, xml))
        .map_err(|source| Failure::File {
            doing: "write",
            path: path.to_owned(),
            source,
        })
}

/// Another one each time: over many runs all cuts are tried.
fn any_seed() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| elapsed.as_nanos() as u64 % 1_000_000)
}
