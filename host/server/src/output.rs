//! What is shown to people and to scripts.
//!
//! Results go to standard output, everything else (errors, progress, logs) to standard error, so
//! that a pipe gets results only. With `--json` both are JSON. Colours appear on a terminal only,
//! and never when `NO_COLOR` is set.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};
use indicatif::{ProgressBar, ProgressStyle};
use pipeline::Diagnostic;
use serde_json::{Value, json};

use crate::failure::Failure;

/// How this command talks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    color_errors: bool,
    terminal_errors: bool,
    terminal_results: bool,
}

impl Output {
    /// Looks at what standard output and standard error are.
    pub(crate) fn new(json: bool) -> Self {
        let terminal_errors = std::io::stderr().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            json,
            color_errors: terminal_errors && !no_color && !json,
            terminal_errors,
            terminal_results: std::io::stdout().is_terminal(),
        }
    }

    /// Whether scripts read this.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Whether a person reads the results.
    pub(crate) fn is_terminal(self) -> bool {
        self.terminal_results
    }

    /// Whether text on standard error may be coloured.
    pub(crate) fn colors(self) -> bool {
        self.color_errors
    }

    /// Whether progress may be shown: standard error is a terminal, and no script reads along.
    pub(crate) fn shows_progress(self) -> bool {
        self.terminal_errors && !self.json
    }

    /// Prints a result: `text` for people, or `value` as one line of JSON.
    pub(crate) fn result(self, text: &str, value: &Value) -> Result<(), Failure> {
        if self.json {
            self.print(&value.to_string())
        } else {
            self.print(text.trim_end_matches('\n'))
        }
    }

    /// Prints a result as it stands, and a line feed.
    pub(crate) fn print(self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}")
            .and_then(|()| out.flush())
            .map_err(|source| Failure::Stdio {
                doing: "write to standard output",
                source,
            })
    }

    /// Tells people what happened; not shown with `--json`, where results say all.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }

    /// Shows what is wrong with a pipeline, each with its place.
    pub(crate) fn diagnostics(self, list: &[Diagnostic]) {
        let mut err = std::io::stderr().lock();
        for diagnostic in list {
            let _ = if self.json {
                writeln!(err, "{}", serde_json::to_string(diagnostic).unwrap_or_default())
            } else {
                writeln!(err, "{}\n", diagnostic.render(self.color_errors).trim_end())
            };
        }
    }

    /// Shows why the command failed.
    pub(crate) fn failure(self, failure: &Failure) {
        let mut err = std::io::stderr().lock();
        let code = failure.code();
        let page = format!("docs/errors/{code}.md");
        let _ = if self.json {
            let value = json!({
                "level": "error",
                "code": code.0,
                "message": failure.to_string(),
                "where": failure.place(),
                "next": failure.next(),
                "page": page,
            });
            writeln!(err, "{value}")
        } else {
            let (red, bold, off) = if self.color_errors {
                ("\x1b[1;31m", "\x1b[1m", "\x1b[0m")
            } else {
                ("", "", "")
            };
            let place = failure
                .place()
                .map(|place| format!("  where: {}\n", visible(&place)))
                .unwrap_or_default();
            writeln!(
                err,
                "{red}error[{code}]{off}: {bold}{}{off}\n{place}   next: {}\n   page: {page}",
                visible(&failure.to_string()),
                visible(&failure.next())
            )
        };
    }

    /// A table for people, as wide as the terminal, else as wide as its content.
    pub(crate) fn table(self, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
        let mut table = Table::new();
        table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
        table.set_content_arrangement(if self.terminal_results {
            ContentArrangement::Dynamic
        } else {
            ContentArrangement::Disabled
        });
        if !header.is_empty() {
            table.set_header(header.to_vec());
        }
        for row in rows {
            table.add_row(row.iter().map(|cell| visible(cell)).collect::<Vec<_>>());
        }
        let text = table.to_string();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n")
    }

    /// A spinner with a text, for work that has no measure; nothing when standard error is not a
    /// terminal.
    pub(crate) fn waiting(self, text: &str) -> ProgressBar {
        if !self.shows_progress() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new_spinner();
        bar.set_message(text.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }

    /// A progress bar over `total` bytes, or a spinner when the total is not known; nothing when
    /// standard error is not a terminal.
    pub(crate) fn progress(self, total: Option<u64>) -> ProgressBar {
        if !self.shows_progress() {
            return ProgressBar::hidden();
        }
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "{bar:30} {percent:>3}% {bytes}/{total_bytes} {msg} {eta}",
            ),
            None => (ProgressBar::new_spinner(), "{spinner} {elapsed} {bytes} {msg}"),
        };
        bar.enable_steady_tick(Duration::from_millis(200));
        match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }
}

/// Text that others have written, such as a plugin's, with nothing in it that a terminal obeys.
fn visible(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().map(|c| {
        if obeyed(c) {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    });
    Cow::Owned(shown.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(visible("a \u{e9}\n\tb"), "a \u{e9}\n\tb");
        assert_eq!(visible("\u{1b}[2Kfine\r\u{9b}1A"), "\\u{1b}[2Kfine\\r\\u{9b}1A");
        let table = Output::new(false).table(&[], [vec!["\u{1b}[1A".to_owned()]]);
        assert!(!table.contains('\u{1b}'), "{table}");
    }
}
