//! Points in time on the command line.

use std::time::{SystemTime, UNIX_EPOCH};

use record::offset::Timestamp;

/// Now, in milliseconds since 1970.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| {
        Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
    })
}

/// Reads milliseconds since 1970, or RFC 3339 with a zone.
///
/// # Errors
/// A sentence that says what is wrong.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    if let Ok(millis) = text.parse::<Timestamp>() {
        return if millis >= 0 {
            Ok(millis)
        } else {
            Err(format!("`{text}` is before 1970"))
        };
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(time) if time.as_millisecond() >= 0 => Ok(time.as_millisecond()),
        Ok(_) => Err(format!("`{text}` is before 1970")),
        Err(_) => Err(format!(
            "`{text}` is neither milliseconds since 1970 nor a time such as 2026-11-30T12:00:00Z"
        )),
    }
}

/// As people read it; nothing where there is none.
pub(crate) fn show(time: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(time) {
        Ok(shown) if time >= 0 => format!("{shown:.3}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        assert_eq!(parse("1700000000123"), Ok(1_700_000_000_123));
        assert_eq!(parse("2023-11-14T22:13:20.123Z"), Ok(1_700_000_000_123));
        assert_eq!(parse("2023-11-15T00:13:20.123+02:00"), Ok(1_700_000_000_123));
    }

    #[test]
    fn others_are_refused() {
        for text in ["", "yesterday", "-5", "2023-11-14", "1969-01-01T00:00:00Z"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
