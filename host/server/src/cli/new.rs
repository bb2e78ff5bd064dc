//! `wasmill new`: projects to start from.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::failure::Failure;
use crate::output::Output;
use crate::scaffold::{self, Lang};

/// Write a new plugin or pipeline to start from
#[derive(Args, Debug)]
pub(crate) struct NewArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A plugin that builds, with a unit test, a pipeline that runs it, and a test of that
    Plugin(PluginArgs),
    /// A pipeline without a plugin, with a test
    Pipeline(PipelineArgs),
    /// A language's SDK: writes it, or replaces a project's copy by the one of this wasmill
    Sdk(SdkArgs),
}

#[derive(Args, Debug)]
struct PluginArgs {
    /// The plugin's name, and that of the directory that is made
    #[arg(value_name = "NAME")]
    name: String,
    /// The language
    #[arg(long, value_enum)]
    lang: Lang,
}

#[derive(Args, Debug)]
struct PipelineArgs {
    /// The pipeline's name, and that of the directory that is made
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Args, Debug)]
struct SdkArgs {
    /// The SDK's directory, `wasmill-sdk` of a project. What is there now is replaced
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The language
    #[arg(long, value_enum)]
    lang: Lang,
}

/// In every copy of an SDK: says that it is one, so that no other directory is replaced.
const MARK: &str = ".wasmill-sdk";

/// Runs the command.
pub(crate) fn run(args: &NewArgs, output: Output) -> Result<(), Failure> {
    match &args.what {
        What::Plugin(args) => plugin(args, output),
        What::Pipeline(args) => pipeline(args, output),
        What::Sdk(args) => sdk(args, output),
    }
}

fn plugin(args: &PluginArgs, output: Output) -> Result<(), Failure> {
    let (name, lang) = (&args.name, args.lang);
    scaffold::check_plugin_name(name).map_err(|what| Failure::usage(what, "give another name"))?;
    let dir = fresh_dir(name)?;
    write_all(&dir, &scaffold::plugin(name, lang))?;
    mark(&dir.join(scaffold::SDK_DIR), lang)?;
    let mut next = vec![format!("cd {name}")];
    next.extend(lang.prepare().iter().map(|&step| step.to_owned()));
    next.extend([
        lang.test().to_owned(),
        "wasmill build".to_owned(),
        "wasmill test".to_owned(),
        format!("wasmill run --embedded {name}.toml --until-end"),
    ]);
    tell(&dir, &next, output)
}

fn pipeline(args: &PipelineArgs, output: Output) -> Result<(), Failure> {
    let name = &args.name;
    scaffold::check_pipeline_name(name).map_err(|what| Failure::usage(what, "give another name"))?;
    let dir = fresh_dir(name)?;
    write_all(&dir, &scaffold::pipeline(name))?;
    let next = [
        format!("cd {name}"),
        "wasmill test".to_owned(),
        format!("wasmill run --embedded {name}.toml --until-end"),
    ];
    tell(&dir, &next, output)
}

fn sdk(args: &SdkArgs, output: Output) -> Result<(), Failure> {
    let (dir, lang) = (&args.dir, args.lang);
    let is_empty = std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
    if dir.exists() && !is_empty {
        let refused = |what: String| {
            taken(
                what,
                "name the `wasmill-sdk` of a project, or a directory that is not there",
            )
        };
        let there = std::fs::read_to_string(dir.join(MARK)).map_err(|_| {
            refused(format!(
                "{} is there and is no SDK that wasmill has written",
                dir.display()
            ))
        })?;
        if there.trim() != lang.id() {
            return Err(refused(format!(
                "{} holds the SDK of `{}`",
                dir.display(),
                there.trim()
            )));
        }
        replace_sdk(dir, lang)?;
    } else {
        write_all(dir, &scaffold::sdk(lang))?;
        mark(dir, lang)?;
    }
    tell(dir, &["wasmill build".to_owned()], output)
}

/// Puts the new SDK beside the old one first: what fails halfway leaves the old one as it is.
fn replace_sdk(dir: &Path, lang: Lang) -> Result<(), Failure> {
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let failed = |doing| {
        move |source| Failure::File {
            doing,
            path: dir.to_owned(),
            source,
        }
    };
    let fresh = tempfile::Builder::new()
        .prefix(".wasmill-sdk-")
        .tempdir_in(parent)
        .map_err(failed("write beside"))?;
    write_all(&fresh.path().join("new"), &scaffold::sdk(lang))?;
    mark(&fresh.path().join("new"), lang)?;
    let old = fresh.path().join("old");
    std::fs::rename(dir, &old).map_err(failed("move"))?;
    if let Err(error) = std::fs::rename(fresh.path().join("new"), dir) {
        // Else the old one would go with the temporary directory.
        if std::fs::rename(&old, dir).is_err() {
            let _ = fresh.keep();
        }
        return Err(failed("replace")(error));
    }
    Ok(())
}

/// The directory of a new project, which must not be there.
fn fresh_dir(name: &str) -> Result<PathBuf, Failure> {
    let dir = PathBuf::from(name);
    if dir.exists() {
        return Err(taken(
            format!("`{name}` is there already"),
            "give another name, or move it away: nothing is overwritten",
        ));
    }
    Ok(dir)
}

fn taken(what: String, next: &str) -> Failure {
    Failure::Taken {
        what,
        next: next.to_owned(),
    }
}

fn mark(dir: &Path, lang: Lang) -> Result<(), Failure> {
    write(&dir.join(MARK), format!("{}\n", lang.id()).as_bytes())
}

fn write_all(dir: &Path, files: &[(PathBuf, Cow<'static, [u8]>)]) -> Result<(), Failure> {
    files.iter().try_for_each(|(path, bytes)| write(&dir.join(path), bytes))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let parent = path.parent().unwrap_or(path);
    std::fs::create_dir_all(parent)
        .and_then(|()| std::fs::write(path, bytes))
        .map_err(|source| Failure::File {
            doing: "write",
            path: path.to_owned(),
            source,
        })
}

fn tell(dir: &Path, next: &[String], output: Output) -> Result<(), Failure> {
    let commands: Vec<_> = next.iter().map(|command| format!("    {command}")).collect();
    let text = format!(
        "{} is written. What comes next:\n\n{}",
        dir.display(),
        commands.join("\n")
    );
    output.result(&text, &json!({ "dir": dir, "next": next }))
}
