//! Placeholders: `${env:X}` and `${file:path}`, in strings only, filled in after parsing. What
//! they hold is never shown: no message here contains it.

use std::path::Path;

use crate::Env;
use crate::code;
use crate::diagnostic::Problem;
use crate::text::Span;
use crate::value::{Str, Value};

/// The largest file that a placeholder may name, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Whether there is a placeholder, well-formed or not.
pub(crate) fn has_placeholder(text: &str) -> bool {
    segments(text).any(|segment| !matches!(segment, Segment::Text(_)))
}

/// Fills the placeholders of every string below `value`. Files are relative to `dir`. What the
/// placeholders hold is added to `secrets`. Where a placeholder is refused it stays as it is, so
/// that no later message can show what it holds.
pub(crate) fn fill(value: &mut Value, dir: &Path, env: &Env, secrets: &mut Vec<String>, problems: &mut Vec<Problem>) {
    let shown = problems.iter().filter(|problem| problem.code() == code::SECRET_SHOWN);
    let shown: Vec<Span> = shown.map(Problem::span).collect();
    value.strings_mut(&mut |span, text| {
        if shown.contains(&span) {
            text.failed = true;
        } else {
            fill_string(span, text, dir, env, secrets, problems);
        }
    });
}

/// Leaves the placeholders outside transforms as they are, as if they could not be filled. Those in a
/// transform's config are text.
pub(crate) fn leave(root: &mut Value) {
    let Some(root) = root.as_table_mut() else { return };
    for entry in root.entries.iter_mut().filter(|entry| entry.key != "transforms") {
        entry
            .value
            .strings_mut(&mut |_, text| text.failed |= has_placeholder(&text.written));
    }
}

fn fill_string(
    span: Span,
    text: &mut Str,
    dir: &Path,
    env: &Env,
    secrets: &mut Vec<String>,
    problems: &mut Vec<Problem>,
) {
    if !text.written.contains("${") {
        return;
    }
    let before = problems.len();
    let mut filled = String::new();
    for segment in segments(&text.written) {
        match segment {
            Segment::Text(part) => filled.push_str(part),
            Segment::Env(name) => match env.get(name) {
                Some(value) => {
                    filled.push_str(&value);
                    secrets.push(value);
                }
                None => problems.push(
                    Problem::new(
                        code::NO_SECRET,
                        span,
                        format!("the environment variable `{name}` is not set"),
                    )
                    .help(format!(
                        "set it before Wasmill starts: `export {name}=...`; \
                         for a node that `--embedded` replaces it is not asked for"
                    )),
                ),
            },
            Segment::File(path) => match read(&dir.join(path)) {
                Ok(value) => {
                    let value = value.trim_end_matches(['\n', '\r']);
                    filled.push_str(value);
                    secrets.push(value.to_owned());
                }
                Err(why) => problems.push(
                    Problem::new(code::NO_SECRET, span, format!("cannot read the file `{path}`: {why}"))
                        .help("the path is relative to the pipeline file"),
                ),
            },
            Segment::Malformed(part) => problems.push(
                Problem::new(code::BAD_PLACEHOLDER, span, format!("`{part}` is not a placeholder"))
                    .help("there are `${env:NAME}` and `${file:PATH}`; write `$${` for the characters `${` themselves"),
            ),
        }
    }
    text.filled = Some(filled);
    text.failed = problems.len() > before;
}

fn read(path: &Path) -> Result<String, String> {
    let bytes = crate::read_up_to(path, FILE_BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

enum Segment<'a> {
    Text(&'a str),
    Env(&'a str),
    File(&'a str),
    Malformed(&'a str),
}

fn segments(text: &str) -> impl Iterator<Item = Segment<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(open) = rest.find("${") else {
            return Some(Segment::Text(std::mem::take(&mut rest)));
        };
        // `$${` stands for `${`.
        if open > 0 && rest.as_bytes().get(open - 1) == Some(&b'$') {
            let (before, after) = (&rest[..open - 1], &rest[open..]);
            if before.is_empty() {
                let (escaped, after) = after.split_at(2);
                rest = after;
                return Some(Segment::Text(escaped));
            }
            rest = &rest[open - 1..];
            return Some(Segment::Text(before));
        }
        if open > 0 {
            let (before, after) = rest.split_at(open);
            rest = after;
            return Some(Segment::Text(before));
        }
        let Some(close) = rest.find('}') else {
            return Some(Segment::Malformed(std::mem::take(&mut rest)));
        };
        let (whole, after) = rest.split_at(close + 1);
        rest = after;
        let inner = &whole[2..close];
        Some(match inner.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Segment::Env(name),
            Some(("file", path)) if !path.is_empty() => Segment::File(path),
            _ => Segment::Malformed(whole),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(written: &str) -> (String, usize) {
        let mut text = Str {
            written: written.to_owned(),
            filled: None,
            failed: false,
        };
        let env = Env::from_pairs([("A", "1"), ("B", "${env:A}")]);
        let mut problems = Vec::new();
        fill_string(
            Span::START,
            &mut text,
            Path::new("."),
            &env,
            &mut Vec::new(),
            &mut problems,
        );
        (text.value().to_owned(), problems.len())
    }

    #[test]
    fn placeholders_are_filled_once() {
        assert_eq!(filled("plain $5 {n}"), ("plain $5 {n}".to_owned(), 0));
        assert_eq!(filled("x${env:A}y${env:A}"), ("x1y1".to_owned(), 0));
        // What is filled in is not looked at again.
        assert_eq!(filled("${env:B}"), ("${env:A}".to_owned(), 0));
        assert_eq!(filled("$${env:A} a$${b"), ("${env:A} a${b".to_owned(), 0));
        assert_eq!(filled("é${env:A}é"), ("é1é".to_owned(), 0));
    }

    #[test]
    fn malformed_and_missing_ones_are_problems() {
        for (written, problems) in [
            ("${env:MISSING}", 1),
            ("${A}", 1),
            ("${env:}", 1),
            ("${file:no-such-file}", 1),
            ("${env:A", 1),
            ("${x}${y}", 2),
        ] {
            assert_eq!(filled(written).1, problems, "{written}");
        }
    }
}
