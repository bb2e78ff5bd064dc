//! Keys and values of stores, as their declared formats show them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

/// What cannot be shown in its format, and what has none, is shown so.
pub(super) const BASE64: &str = "base64";

/// An entry's key or value, and `base64` when it is shown so. Numbers are JSON numbers.
pub(super) fn show(format: &str, bytes: &[u8]) -> (Value, Option<&'static str>) {
    let number = |make: fn([u8; 8]) -> Option<Value>| <[u8; 8]>::try_from(bytes).ok().and_then(make);
    let shown = match format {
        "utf8" => std::str::from_utf8(bytes).ok().map(Value::from),
        "json" => serde_json::from_slice(bytes).ok(),
        "s64-le" => number(|bytes| Some(i64::from_le_bytes(bytes).into())),
        "u64-le" => number(|bytes| Some(u64::from_le_bytes(bytes).into())),
        "f64-le" => number(|bytes| serde_json::Number::from_f64(f64::from_le_bytes(bytes)).map(Value::Number)),
        _ => None,
    };
    match shown {
        Some(value) => (value, None),
        None => (STANDARD.encode(bytes).into(), Some(BASE64)),
    }
}

/// The bytes that a text in a query string stands for.
///
/// # Errors
/// What it should be.
pub(super) fn read(format: &str, text: &str) -> Result<Vec<u8>, String> {
    let wrong = |what: &str| format!("`{text}` is not {what}");
    match format {
        "utf8" | "json" => Ok(text.as_bytes().to_vec()),
        "s64-le" => text
            .parse::<i64>()
            .map(|number| number.to_le_bytes().to_vec())
            .map_err(|_| wrong("a whole number")),
        "u64-le" => text
            .parse::<u64>()
            .map(|number| number.to_le_bytes().to_vec())
            .map_err(|_| wrong("a whole number that is not negative")),
        "f64-le" => text
            .parse::<f64>()
            .map(|number| number.to_le_bytes().to_vec())
            .map_err(|_| wrong("a number")),
        _ => {
            // A query string turns `+` into a space where it is not written as `%2B`.
            let url_safe: String = text
                .trim_end_matches('=')
                .chars()
                .map(|c| match c {
                    '+' | ' ' => '-',
                    '/' => '_',
                    other => other,
                })
                .collect();
            URL_SAFE_NO_PAD.decode(url_safe).map_err(|_| wrong("base64"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_back() {
        let cases: [(&str, &[u8], Value); 8] = [
            ("utf8", "a b+ß".as_bytes(), "a b+ß".into()),
            ("bytes", b"\xff\xfe\xfb", "//77".into()),
            ("bytes", b"\xfb\xef", "++8=".into()),
            ("s64-le", &(-5_i64).to_le_bytes(), (-5).into()),
            ("u64-le", &u64::MAX.to_le_bytes(), u64::MAX.into()),
            ("f64-le", &1.5_f64.to_le_bytes(), 1.5.into()),
            ("json", b"[1,\"a\"]", serde_json::json!([1, "a"])),
            ("bytes", b"", "".into()),
        ];
        for (format, bytes, shown) in cases {
            let (value, _) = show(format, bytes);
            assert_eq!(value, shown, "{format}");
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            assert_eq!(read(format, &text).unwrap(), bytes, "{format}");
        }
        // As a form would send it.
        assert_eq!(read("bytes", "  8=").unwrap(), b"\xfb\xef");
        assert_eq!(read("bytes", "--8").unwrap(), b"\xfb\xef");
    }

    #[test]
    fn what_is_not_in_its_format_is_shown_as_bytes() {
        for (format, bytes) in [
            ("utf8", &b"\xff"[..]),
            ("json", b"{"),
            ("u64-le", b"1234567"),
            ("f64-le", &f64::NAN.to_le_bytes()),
        ] {
            assert_eq!(show(format, bytes), (STANDARD.encode(bytes).into(), Some(BASE64)));
        }
        for (format, text) in [("u64-le", "-1"), ("s64-le", "1.5"), ("f64-le", "x"), ("bytes", "a?")] {
            assert!(read(format, text).is_err(), "{format} {text}");
        }
    }
}
