//! The report that CI systems read: JUnit's XML.

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::run::{CaseReport, FileReport};
use super::show;

/// The report of all files: a suite per file.
///
/// # Errors
/// It cannot be written as XML.
pub(crate) fn xml(reports: &[FileReport]) -> Result<String, SerializeError> {
    let mut report = Report::new("wasmill test");
    for file in reports {
        let name = file.path.display().to_string();
        let mut suite = TestSuite::new(name.as_str());
        suite.set_time(file.time);
        for case in &file.cases {
            suite.add_test_case(test_case(file, case, &name));
        }
        // A file that cannot be read has no cases, and has not passed.
        if file.cases.is_empty() && !file.diagnostics.is_empty() {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(format!("{name} is not valid"));
            status.set_description(diagnostics(file));
            suite.add_test_case(TestCase::new(name.as_str(), status));
        }
        report.add_test_suite(suite);
    }
    report.to_string()
}

fn test_case(file: &FileReport, case: &CaseReport, name: &str) -> TestCase {
    let status = if case.is_ok() {
        TestCaseStatus::success()
    } else if case.is_invalid {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message("the test or its pipeline is not valid");
        status.set_description(diagnostics(file));
        status
    } else {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        if let Some(first) = case.differences.first() {
            status.set_message(format!("{}: {}", first.place, first.what));
        }
        let lines: Vec<String> = case
            .differences
            .iter()
            .flat_map(|difference| show::lines(difference, false))
            .collect();
        status.set_description(format!("at {name}:{}\n\n{}\n", case.line, lines.join("\n")));
        status
    };
    let mut test_case = TestCase::new(case.name.as_str(), status);
    test_case.set_classname(name);
    test_case.set_time(case.time);
    test_case
}

fn diagnostics(file: &FileReport) -> String {
    let list = file.diagnostics.iter();
    list.map(|diagnostic| format!("{}\n\n", diagnostic.render(false).trim_end()))
        .collect()
}
