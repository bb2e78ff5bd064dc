//! Names, JSON Pointers and times.

use record::topology::Start;

use crate::code;
use crate::diagnostic::Problem;
use crate::fill::has_placeholder;
use crate::text::Span;

/// The longest name of a topic that Kafka takes.
const TOPIC_LENGTH_MAX: usize = 249;

/// A node's name goes into names of topics and groups, and stands before the dot of a port.
pub(crate) fn is_node(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !name.is_empty() && name.len() <= 100 && name.chars().all(fine)
}

pub(crate) fn check_node(name: &str, span: Span, problems: &mut Vec<Problem>) {
    if !is_node(name) {
        problems.push(
            Problem::new(code::BAD_NAME, span, format!("`{name}` cannot be the name of a node"))
                .help("1 to 100 letters, digits, `_` and `-`; `.` stands between a node and its port"),
        );
    }
}

pub(crate) fn check_topic(name: &str, what: &str, span: Span, problems: &mut Vec<Problem>) {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    // A placeholder is a mistake of its own here.
    if has_placeholder(name) {
        return;
    }
    if name.is_empty() || name == "." || name == ".." || name.len() > TOPIC_LENGTH_MAX || !name.chars().all(fine) {
        problems.push(
            Problem::new(code::BAD_NAME, span, format!("`{name}` cannot be {what}"))
                .help(format!("1 to {TOPIC_LENGTH_MAX} letters, digits, `.`, `_` and `-`")),
        );
    }
}

/// RFC 6901; the whole value cannot be a key.
pub(crate) fn check_pointer(pointer: &str, span: Span, problems: &mut Vec<Problem>) {
    let escapes_are_fine = pointer
        .split('~')
        .skip(1)
        .all(|after| after.starts_with('0') || after.starts_with('1'));
    if has_placeholder(pointer) {
        return;
    }
    if !pointer.starts_with('/') {
        problems.push(
            Problem::new(code::BAD_POINTER, span, "a JSON Pointer starts with `/`")
                .help(format!("write `\"/{}\"`", pointer.replace('.', "/"))),
        );
    } else if !escapes_are_fine {
        problems.push(
            Problem::new(
                code::BAD_POINTER,
                span,
                "`~` in a JSON Pointer is followed by `0` or `1`",
            )
            .help("`~0` stands for `~`, `~1` for `/`"),
        );
    }
}

/// `earliest`, `latest`, a time as RFC 3339 has it, or milliseconds since 1970: what `start` and
/// `--from` take.
///
/// # Errors
/// A sentence that says what is possible.
pub fn parse_start(text: &str) -> Result<Start, String> {
    match text {
        "earliest" => return Ok(Start::Earliest),
        "latest" => return Ok(Start::Latest),
        _ => {}
    }
    if let Ok(ms) = text.parse::<i64>()
        && ms >= 0
    {
        return Ok(Start::Time(ms));
    }
    let possible = "`earliest`, `latest`, a time such as `2026-11-21T08:00:00Z`, or milliseconds since 1970";
    let time: toml::value::Datetime = text.parse().map_err(|_| format!("`{text}` is none of {possible}"))?;
    let (Some(date), Some(clock), Some(offset)) = (time.date, time.time, time.offset) else {
        return Err(format!(
            "`{text}` lacks a part: a time has a date, a clock time and an offset, as in `2026-11-21T08:00:00Z`"
        ));
    };
    let minutes = match offset {
        toml::value::Offset::Z => 0,
        toml::value::Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days_since_1970(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let seconds = days * 86_400
        + i64::from(clock.hour) * 3_600
        + i64::from(clock.minute) * 60
        + i64::from(clock.second.unwrap_or(0))
        - minutes * 60;
    let ms = seconds * 1_000 + i64::from(clock.nanosecond.unwrap_or(0) / 1_000_000);
    if ms < 0 {
        return Err(format!("`{text}` is before 1970"));
    }
    Ok(Start::Time(ms))
}

/// Days of the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", `days_from_civil`).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2026-11-21T08:00:00.250+02:00", 1_795_240_800_250),
            ("1700000000000", 1_700_000_000_000),
        ] {
            assert_eq!(parse_start(text), Ok(Start::Time(ms)), "{text}");
        }
        assert_eq!(parse_start("latest"), Ok(Start::Latest));
        for text in [
            "",
            "now",
            "2026-11-21",
            "2026-11-21T08:00:00",
            "-5",
            "1950-01-01T00:00:00Z",
        ] {
            assert!(parse_start(text).is_err(), "{text}");
        }
    }
}
