//! A difference as people read it.

use serde_json::Value as Json;
use similar::{ChangeTag, TextDiff};

use super::compare::Difference;

/// Lines that are equal are shown so many around those that differ.
const CONTEXT: usize = 4;

/// The lines of a difference; `color` for a terminal.
pub(crate) fn lines(difference: &Difference, color: bool) -> Vec<String> {
    let (bold, off) = if color { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let mut lines = vec![format!("{bold}{}{off}: {}", difference.place, difference.what)];
    if let Some((expected, got)) = &difference.sides {
        lines.push(String::new());
        lines.extend(diff(expected, got, color));
    }
    lines
}

/// What is expected (-) and what came (+), line by line.
pub(crate) fn diff(expected: &[Json], got: &[Json], color: bool) -> Vec<String> {
    let (expected, got) = (pretty(expected), pretty(got));
    let diff = TextDiff::from_lines(&expected, &got);
    let (red, green, off) = if color {
        ("\x1b[31m", "\x1b[32m", "\x1b[0m")
    } else {
        ("", "", "")
    };
    let mut lines = Vec::new();
    for (i, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if i > 0 {
            lines.push("  ...".to_owned());
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let text = change.value().trim_end_matches('\n');
            lines.push(match change.tag() {
                ChangeTag::Delete => format!("{red}- {text}{off}"),
                ChangeTag::Insert => format!("{green}+ {text}{off}"),
                ChangeTag::Equal => format!("  {text}").trim_end().to_owned(),
            });
        }
    }
    lines
}

/// One field a line, so that a difference is seen; short values stay on their line.
fn pretty(records: &[Json]) -> String {
    let mut text = String::new();
    for record in records {
        text.push_str(&serde_json::to_string_pretty(record).unwrap_or_default());
        text.push('\n');
    }
    text
}
