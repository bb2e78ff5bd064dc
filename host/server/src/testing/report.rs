//! What is shown of test files: lines for people, a value for scripts.

use std::time::Duration;

use pipeline::Diagnostic;
use serde_json::{Value, json};

use super::run::{CaseReport, FileReport};
use super::show;

/// A file and its cases, for people. Diagnostics are shown apart.
pub(crate) fn text(report: &FileReport, color: bool) -> String {
    let (red, green, bold, off) = if color {
        ("\x1b[1;31m", "\x1b[32m", "\x1b[1m", "\x1b[0m")
    } else {
        ("", "", "", "")
    };
    let mut text = format!("{bold}{}{off}\n", report.path.display());
    let width = report.cases.iter().map(|case| case.name.chars().count()).max();
    let width = width.unwrap_or(0).min(70);
    for case in &report.cases {
        let status = match (case.is_ok(), case.is_invalid) {
            (true, _) => format!("{green}ok    {off}"),
            (false, true) => format!("{red}wrong {off}"),
            (false, false) => format!("{red}FAILED{off}"),
        };
        text.push_str(&format!("  {status} {:width$}  {}\n", case.name, time(case.time)));
        for difference in &case.differences {
            text.push('\n');
            for line in show::lines(difference, color) {
                text.push_str(format!("      {line}").trim_end());
                text.push('\n');
            }
        }
        if !case.differences.is_empty() {
            let legend = case.differences.iter().any(|difference| difference.sides.is_some());
            let legend = if legend { " (- expected, + got)" } else { "" };
            text.push_str(&format!(
                "\n      at {}:{}{legend}\n\n",
                report.path.display(),
                case.line
            ));
        }
    }
    text
}

fn time(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}

/// The last line.
pub(crate) fn summary(reports: &[FileReport], total: Duration, seed: u64) -> String {
    let (passed, failed, invalid) = counts(reports);
    let mut parts = vec![format!("{passed} passed")];
    if failed > 0 {
        parts.push(format!("{failed} failed"));
    }
    if invalid > 0 {
        parts.push(format!("{invalid} wrong"));
    }
    let files = reports.len();
    let plural = if files == 1 { "" } else { "s" };
    format!(
        "{} in {files} file{plural}, {} (seed {seed})",
        parts.join(", "),
        time(total)
    )
}

/// Cases that passed, failed, and were not run because something is wrong.
pub(crate) fn counts(reports: &[FileReport]) -> (usize, usize, usize) {
    let cases = || reports.iter().flat_map(|report| &report.cases);
    let invalid = cases().filter(|case| case.is_invalid).count();
    let passed = cases().filter(|case| case.is_ok()).count();
    (passed, cases().count() - passed - invalid, invalid)
}

/// Everything, for scripts.
pub(crate) fn value(reports: &[FileReport], total: Duration, seed: u64) -> Value {
    let (passed, failed, wrong) = counts(reports);
    let files: Vec<Value> = reports.iter().map(file_value).collect();
    json!({
        "passed": passed,
        "failed": failed,
        "wrong": wrong,
        "seed": seed,
        "ms": total.as_secs_f64() * 1_000.0,
        "files": files,
    })
}

fn file_value(report: &FileReport) -> Value {
    let diagnostics: &[Diagnostic] = &report.diagnostics;
    json!({
        "file": report.path,
        "pipeline": report.file.as_ref().map(|file| &file.pipeline),
        "diagnostics": diagnostics,
        "cases": report.cases.iter().map(case_value).collect::<Vec<_>>(),
    })
}

fn case_value(case: &CaseReport) -> Value {
    let differences = case.differences.iter().map(|difference| {
        let (expected, got) = difference.sides.clone().unzip();
        json!({
            "where": difference.place,
            "message": difference.what,
            "expected": expected,
            "got": got,
        })
    });
    json!({
        "name": case.name,
        "line": case.line,
        "result": if case.is_ok() { "ok" } else if case.is_invalid { "wrong" } else { "failed" },
        "ms": case.time.as_secs_f64() * 1_000.0,
        "differences": differences.collect::<Vec<_>>(),
    })
}
