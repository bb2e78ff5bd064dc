//! Keys taken out of JSON values: `key = "/room"`.

use record::error::Failure;
use record::{Batch, Column};

/// Replaces the keys of a batch by what the JSON Pointer finds in the values: a string's text, else
/// the value's JSON. Answers the records in which it finds nothing; those keep their key.
pub(crate) fn set_keys(batch: &mut Batch, pointer: &str) -> Vec<(usize, Failure)> {
    let mut failures = Vec::new();
    let mut keys = Column::default();
    for i in 0..batch.len() {
        match key_of(batch.values.get(i), pointer) {
            Ok(key) => keys.push(Some(&key)),
            Err((code, message)) => {
                keys.push(batch.keys.get(i));
                failures.push((
                    i,
                    Failure {
                        index: i as u32,
                        code: code.to_owned(),
                        message,
                        detail: String::new(),
                    },
                ));
            }
        }
    }
    batch.keys = keys;
    failures
}

fn key_of(value: Option<&[u8]>, pointer: &str) -> Result<Vec<u8>, (&'static str, String)> {
    let Some(value) = value else {
        return Err((
            "no-key",
            format!("the value is null, so `key = \"{pointer}\"` finds nothing"),
        ));
    };
    let json: serde_json::Value = serde_json::from_slice(value).map_err(|e| {
        (
            "bad-json",
            format!("the value is not JSON ({e}), so `key = \"{pointer}\"` finds nothing"),
        )
    })?;
    match json.pointer(pointer) {
        Some(serde_json::Value::String(text)) => Ok(text.clone().into_bytes()),
        Some(serde_json::Value::Null) | None => {
            Err(("no-key", format!("`key = \"{pointer}\"` finds nothing in the value")))
        }
        Some(other) => Ok(other.to_string().into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_strings_numbers_and_objects() {
        let mut batch = Batch::new("t".into(), 0);
        for value in [
            r#"{"room":"r1"}"#,
            r#"{"room":7}"#,
            r#"{"room":{"a":1}}"#,
            r#"{"x":1}"#,
            "nonsense",
        ] {
            batch.push(Some(b"old"), Some(value.as_bytes()), 0);
        }
        batch.push(Some(b"old"), None, 0);
        let failures = set_keys(&mut batch, "/room");
        let keys: Vec<_> = batch
            .keys
            .iter()
            .map(|k| String::from_utf8_lossy(k.unwrap()).into_owned())
            .collect();
        assert_eq!(keys, ["r1", "7", r#"{"a":1}"#, "old", "old", "old"]);
        let codes: Vec<_> = failures.iter().map(|(i, f)| (*i, f.code.as_str())).collect();
        assert_eq!(codes, [(3, "no-key"), (4, "bad-json"), (5, "no-key")]);
    }
}
