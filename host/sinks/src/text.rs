//! Records as lines: the formats of `stdout` and `file`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use record::batch::Batch;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::records::Record;

/// How a record becomes a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// The value's bytes as they are; `null` for a tombstone.
    #[default]
    Value,
    /// Key, tab, value.
    KeyValue,
    /// One JSON object with everything there is to the record.
    Json,
}

/// Appends the record and a newline to `out`.
pub(crate) fn write_line(out: &mut Vec<u8>, format: Format, batch: &Batch, record: &Record<'_>) {
    match format {
        Format::Value => out.extend(record.value.unwrap_or(b"null")),
        Format::KeyValue => {
            out.extend(record.key.unwrap_or(b"null"));
            out.push(b'\t');
            out.extend(record.value.unwrap_or(b"null"));
        }
        Format::Json => out.extend(as_json(batch, record).to_string().into_bytes()),
    }
    out.push(b'\n');
}

fn as_json(batch: &Batch, record: &Record<'_>) -> Value {
    let i = record.index as usize;
    let headers: Vec<Value> = batch
        .headers
        .of(i)
        .map(|(name, value)| {
            let mut header = Map::new();
            put(&mut header, "name", Some(name));
            put(&mut header, "value", value);
            Value::Object(header)
        })
        .collect();
    let mut object = Map::new();
    object.insert("topic".to_owned(), json!(&*batch.topic));
    object.insert("partition".to_owned(), json!(batch.partition));
    object.insert("offset".to_owned(), json!(record.offset));
    object.insert("timestamp".to_owned(), json!(batch.timestamps.get(i)));
    put(&mut object, "key", record.key);
    put(&mut object, "value", record.value);
    object.insert("headers".to_owned(), Value::Array(headers));
    Value::Object(object)
}

/// Text under `name`; what is not UTF-8 in base64 under `<name>_base64`.
fn put(object: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => object.insert(name.to_owned(), Value::Null),
        Some((_, Ok(text))) => object.insert(name.to_owned(), json!(text)),
        Some((bytes, Err(_))) => object.insert(format!("{name}_base64"), json!(STANDARD.encode(bytes))),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::wanted;

    fn lines(format: Format) -> Vec<Vec<u8>> {
        let mut batch = Batch::new("t".into(), 3);
        batch.push(Some(b"k"), Some("größe".as_bytes()), 5);
        batch.headers.push(b"h", Some(b"\xff"));
        batch.headers.push(b"h", None);
        batch.headers.close(0);
        batch.push(None, None, -1);
        batch.push(Some(b"\xfe"), Some(b""), 6);
        batch.headers.finish(3);
        batch.offsets = vec![7, 8, 9];
        let lines = wanted(&batch, &[], None).map(|record| {
            let mut out = Vec::new();
            write_line(&mut out, format, &batch, &record);
            out
        });
        lines.collect()
    }

    #[test]
    fn values_and_keys_are_written_byte_by_byte() {
        assert_eq!(lines(Format::Value), [&b"gr\xc3\xb6\xc3\x9fe\n"[..], b"null\n", b"\n"]);
        assert_eq!(
            lines(Format::KeyValue),
            [&b"k\tgr\xc3\xb6\xc3\x9fe\n"[..], b"null\tnull\n", b"\xfe\t\n"]
        );
    }

    #[test]
    fn json_loses_nothing() {
        let lines: Vec<String> = lines(Format::Json)
            .into_iter()
            .map(|line| String::from_utf8(line).expect("UTF-8"))
            .collect();
        assert_eq!(
            lines,
            [
                "{\"topic\":\"t\",\"partition\":3,\"offset\":7,\"timestamp\":5,\"key\":\"k\",\"value\":\"größe\",\
                 \"headers\":[{\"name\":\"h\",\"value_base64\":\"/w==\"},{\"name\":\"h\",\"value\":null}]}\n",
                "{\"topic\":\"t\",\"partition\":3,\"offset\":8,\"timestamp\":-1,\"key\":null,\"value\":null,\
                 \"headers\":[]}\n",
                "{\"topic\":\"t\",\"partition\":3,\"offset\":9,\"timestamp\":6,\"key_base64\":\"/g==\",\"value\":\"\",\
                 \"headers\":[]}\n",
            ]
        );
    }
}
