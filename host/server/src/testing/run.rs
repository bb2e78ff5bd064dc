//! Runs the cases of test files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline::testing::{self, Case, TestFile};
use pipeline::{Diagnostic, LoadOptions, Loaded, code};
use task::{Cuts, Parts};

use super::compare::{Difference, compare, compare_cuts};
use super::outcome::{Bench, Outcome};
use crate::pipelines::Host;

/// How a case ended.
pub(crate) struct CaseReport {
    /// Its name.
    pub(crate) name: String,
    /// The line of the file that it begins at.
    pub(crate) line: usize,
    /// Its place in the file.
    pub(crate) index: usize,
    /// What is not as expected; empty: it passed.
    pub(crate) differences: Vec<Difference>,
    /// The test or its pipeline is wrong, so it was not run.
    pub(crate) is_invalid: bool,
    /// How long it took.
    pub(crate) time: Duration,
    /// What came, when it was run.
    pub(crate) outcome: Option<Outcome>,
}

impl CaseReport {
    /// Whether it was run and everything was as expected.
    pub(crate) fn is_ok(&self) -> bool {
        !self.is_invalid && self.differences.is_empty()
    }
}

/// How the cases of a file ended.
pub(crate) struct FileReport {
    /// The file.
    pub(crate) path: PathBuf,
    /// What is wrong with it or its pipeline.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Those that were chosen.
    pub(crate) cases: Vec<CaseReport>,
    /// The file, if it could be read.
    pub(crate) file: Option<TestFile>,
    /// The pipeline, if it is right.
    pub(crate) loaded: Option<Arc<Loaded>>,
    /// The whole took.
    pub(crate) time: Duration,
}

/// What the command line says.
pub(crate) struct Options {
    /// Only cases whose file or name contains this.
    pub(crate) filter: Option<String>,
    /// Where plugins may be.
    pub(crate) plugin_root: PathBuf,
    /// A case may expect nothing: what comes will be written.
    pub(crate) update: bool,
    /// Of the random cuts.
    pub(crate) seed: u64,
}

type Planned = Result<(Arc<Loaded>, Arc<dyn Parts>), Vec<Diagnostic>>;

/// Runs the cases of a file.
pub(crate) fn run_file(host: &mut Host, path: &Path, options: &Options) -> FileReport {
    let began = Instant::now();
    let mut report = FileReport {
        path: path.to_owned(),
        diagnostics: Vec::new(),
        cases: Vec::new(),
        file: None,
        loaded: None,
        time: Duration::ZERO,
    };
    let file = match testing::load(path) {
        Ok(file) => file,
        Err(diagnostics) => {
            report.diagnostics = diagnostics.list;
            return report;
        }
    };
    let mut runner = Runner {
        host,
        file: &file,
        options,
        plans: BTreeMap::new(),
        diagnostics: Vec::new(),
    };
    for (index, case) in file.cases.iter().enumerate() {
        let is_wanted = options.filter.as_ref().is_none_or(|filter| {
            case.name.contains(filter.as_str()) || path.display().to_string().contains(filter.as_str())
        });
        if is_wanted {
            let case_began = Instant::now();
            let mut case_report = CaseReport {
                name: case.name.clone(),
                line: file.line_of(case),
                index,
                differences: Vec::new(),
                is_invalid: false,
                time: Duration::ZERO,
                outcome: None,
            };
            runner.run(case, &mut case_report);
            case_report.time = case_began.elapsed();
            report.cases.push(case_report);
        }
    }
    report.loaded = runner.base().ok();
    report.diagnostics = runner.diagnostics;
    report.file = Some(file);
    report.time = began.elapsed();
    report
}

struct Runner<'a> {
    host: &'a mut Host,
    file: &'a TestFile,
    options: &'a Options,
    /// By what cases override.
    plans: BTreeMap<Vec<(String, String)>, Planned>,
    diagnostics: Vec<Diagnostic>,
}

impl Runner<'_> {
    fn run(&mut self, case: &Case, report: &mut CaseReport) {
        if !case.expects_something() && !self.options.update {
            let about = self.file.about(
                case,
                code::EXPECTS_NOTHING,
                format!("the case `{}` expects nothing", case.name),
                Some("add `expect`, `dead_letters`, `final_state` or `error`; `--update` writes what comes".to_owned()),
            );
            self.invalid(report, vec![about]);
            return;
        }
        if let Ok(base) = self.base() {
            let wrong = self.file.check(case, &base);
            if !wrong.is_empty() {
                self.invalid(report, wrong);
                return;
            }
        }
        let set: Vec<(String, String)> = case.config.iter().map(|option| option.set.clone()).collect();
        let (loaded, parts) = match self.plan(set) {
            Ok(planned) => planned,
            Err(diagnostics) => {
                let expected = case.error.as_ref();
                let is_expected = |d: &Diagnostic| {
                    expected.is_some_and(|error| {
                        error.code == d.code.0 && error.message.as_ref().is_none_or(|part| d.message.contains(part))
                    })
                };
                if !diagnostics.iter().any(is_expected) {
                    let diagnostics = diagnostics.iter().map(|d| self.file.relocate(case, d));
                    self.invalid(report, diagnostics.collect());
                }
                return;
            }
        };
        let bench = Bench::new(self.file, case, &loaded, &*parts);
        let seed = self.options.seed;
        let whole = match bench.run(Cuts::Whole) {
            Ok(whole) => whole,
            Err(error) => {
                report.differences.push(broken(&error));
                return;
            }
        };
        report.differences = compare(case, &loaded, &whole);
        for (cuts, name) in [
            (Cuts::Single, "one record at a time, each on a new instance,".to_owned()),
            (
                Cuts::Random(seed),
                format!("cut at random (`--seed {seed}` repeats it)"),
            ),
        ] {
            match bench.run(cuts) {
                Ok(other) => report.differences.extend(compare_cuts(&whole, &other, &name)),
                Err(error) => report.differences.push(broken(&error)),
            }
            // One such difference says all.
            if report
                .differences
                .iter()
                .any(|difference| difference.what.contains("cut into batches"))
            {
                break;
            }
        }
        report.outcome = Some(whole);
    }

    /// The pipeline as it stands in its file.
    fn base(&mut self) -> Result<Arc<Loaded>, Vec<Diagnostic>> {
        self.plan(Vec::new()).map(|(loaded, _)| loaded)
    }

    fn plan(&mut self, set: Vec<(String, String)>) -> Planned {
        if let Some(planned) = self.plans.get(&set) {
            return planned.clone();
        }
        let options = LoadOptions {
            embedded: self.file.embedded,
            set: set.clone(),
            plugin_root: self.options.plugin_root.clone(),
            testing: true,
            ..LoadOptions::default()
        };
        let planned = match self.host.plan(&self.file.pipeline, &options) {
            Ok(loaded) => match self.host.make(&loaded.topology, &self.file.pipeline, "test", &[]) {
                Ok(made) => Ok((Arc::new(loaded), made.parts)),
                Err(failure) => Err(self
                    .file
                    .cases
                    .first()
                    .map(|case| {
                        let next = Some(failure.next());
                        self.file.about(case, failure.code(), failure.to_string(), next)
                    })
                    .into_iter()
                    .collect()),
            },
            Err(diagnostics) => Err(diagnostics.list),
        };
        self.plans.insert(set, planned.clone());
        planned
    }

    /// The same mistake of the pipeline is shown once, not for every case.
    fn invalid(&mut self, report: &mut CaseReport, diagnostics: Vec<Diagnostic>) {
        report.is_invalid = true;
        for diagnostic in diagnostics {
            if !self.diagnostics.contains(&diagnostic) {
                self.diagnostics.push(diagnostic);
            }
        }
    }
}

fn broken(error: &task::RunError) -> Difference {
    Difference {
        place: "run".to_owned(),
        what: format!("{}: {error}", error.code()),
        sides: None,
    }
}
