//! Records as tables for a terminal: where each stands, its key, and the fields of its value.

use record::Batch;
use serde_json::Value;

use crate::output::Output;
use crate::time;

/// So many rows make a table; the next ones another.
pub(super) const ROWS_MAX: usize = 500;
/// Values with more different fields than this are shown as they are.
const FIELDS_MAX: usize = 12;
/// A cell is cut behind so many characters.
const CELL_CHARS_MAX: usize = 120;

/// A record, as the table shows it.
struct Row {
    place: [String; 4],
    /// A JSON object's fields; `Err`: anything else, as text.
    value: Result<serde_json::Map<String, Value>, String>,
    headers: String,
}

/// Gathers records.
#[derive(Default)]
pub(super) struct Rows(Vec<Row>);

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push(&mut self, batch: &Batch, i: usize) {
        let text = |bytes: Option<&[u8]>| bytes.map_or("null".to_owned(), shown);
        let value = match batch.values.get(i).map(serde_json::from_slice::<Value>) {
            Some(Ok(Value::Object(fields))) => Ok(fields),
            _ => Err(text(batch.values.get(i))),
        };
        let headers: Vec<String> = batch
            .headers
            .of(i)
            .map(|(name, value)| format!("{}={}", shown(name), text(value)))
            .collect();
        let timestamp = batch.timestamps.get(i).copied().unwrap_or(-1);
        self.0.push(Row {
            place: [
                batch.partition.to_string(),
                batch.offsets.get(i).map_or(String::new(), ToString::to_string),
                time::show(timestamp),
                text(batch.keys.get(i)),
            ],
            value,
            headers: headers.join(", "),
        });
    }

    /// The table of what was gathered, which is forgotten. `None`: there is nothing.
    pub(super) fn take(&mut self, output: Output) -> Option<String> {
        let rows = std::mem::take(&mut self.0);
        if rows.is_empty() {
            return None;
        }
        let mut fields: Vec<String> = Vec::new();
        for name in rows.iter().flat_map(|row| row.value.iter().flat_map(|map| map.keys())) {
            if !fields.contains(name) {
                fields.push(name.clone());
            }
        }
        let as_text = fields.len() > FIELDS_MAX;
        if as_text {
            fields.clear();
        }
        let has_text = as_text || rows.iter().any(|row| row.value.is_err());
        let has_headers = rows.iter().any(|row| !row.headers.is_empty());
        let mut head: Vec<String> = ["partition", "offset", "timestamp", "key"].map(str::to_owned).to_vec();
        head.extend(fields.iter().map(|name| cut(name)));
        head.extend(has_text.then(|| "value".to_owned()));
        head.extend(has_headers.then(|| "headers".to_owned()));
        let body = rows.into_iter().map(|row| {
            let mut cells: Vec<String> = row.place.iter().map(|cell| cut(cell)).collect();
            cells.extend(fields.iter().map(|name| {
                let found = row.value.as_ref().ok().and_then(|map| map.get(name));
                match found {
                    None => String::new(),
                    Some(Value::String(text)) => cut(&shown(text.as_bytes())),
                    Some(other) => cut(&other.to_string()),
                }
            }));
            if has_text {
                cells.push(match &row.value {
                    Err(text) => cut(text),
                    Ok(map) if as_text => cut(&Value::Object(map.clone()).to_string()),
                    Ok(_) => String::new(),
                });
            }
            if has_headers {
                cells.push(cut(&row.headers));
            }
            cells
        });
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        Some(output.table(&head, body))
    }
}

/// Text in which nothing moves the cursor.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(CELL_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_columns_and_nothing_moves_the_cursor() {
        let mut batch = Batch::new("t".into(), 1);
        batch.push(Some(b"k"), Some(br#"{"type":"buy","price":1.5}"#), 0);
        batch.headers.push(b"Host", Some(b"h\x1b[2J"));
        batch.headers.close(0);
        batch.push(None, Some(b"no JSON"), 1_767_225_600_000);
        batch.push(None, None, -1);
        batch.push(Some(b"k"), Some(br#"{"type":"join","more":{"a":[1]}}"#), 0);
        batch.headers.finish(4);
        batch.offsets = vec![7, 8, 9, 10];
        let mut rows = Rows::default();
        (0..4).for_each(|i| rows.push(&batch, i));
        assert_eq!(rows.len(), 4);
        let table = rows.take(Output::new(false)).unwrap();
        insta::assert_snapshot!(table);
        assert!(!table.contains('\x1b'));
        assert_eq!(rows.take(Output::new(false)), None);
    }

    #[test]
    fn values_of_many_shapes_are_shown_as_they_are() {
        let mut batch = Batch::new("t".into(), 0);
        let fields: Vec<String> = (0..20).map(|n| format!("\"f{n}\":{n}")).collect();
        let value = format!("{{{}}}", fields.join(","));
        batch.push(None, Some(value.as_bytes()), 0);
        batch.offsets = vec![0];
        let mut rows = Rows::default();
        rows.push(&batch, 0);
        let table = rows.take(Output::new(false)).unwrap();
        assert!(table.contains("value") && table.contains("\"f0\":0"), "{table}");
    }
}
