//! `--update`: what came becomes what is expected. Everything else in the file stays as it is, and so
//! does what is expected already.

use pipeline::Loaded;
use pipeline::testing::{Case, Data, ExpectedRecord, decode};
use serde_json::Value as Json;
use task::{Produced, Refused};
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use super::compare::{Difference, hex, order, read_like};
use super::outcome::{Entries, Outcome};
use super::run::FileReport;

/// The text of the file with the outcomes of its failed cases; `None`: nothing is to be changed.
///
/// # Errors
/// The text is no TOML; it was when it was read.
pub(crate) fn updated(report: &FileReport, text: &str) -> Result<Option<String>, String> {
    let (Some(file), Some(loaded)) = (&report.file, &report.loaded) else {
        return Ok(None);
    };
    let mut document: DocumentMut = text.parse().map_err(|error| format!("{error}"))?;
    let mut is_changed = false;
    for result in &report.cases {
        let Some(outcome) = &result.outcome else { continue };
        let case = &file.cases[result.index];
        if let Some(table) = case_table(&mut document, result.index) {
            is_changed |= update_case(table, case, loaded, &result.differences, outcome);
        }
    }
    Ok(is_changed.then(|| document.to_string()))
}

fn case_table(document: &mut DocumentMut, index: usize) -> Option<&mut dyn TableLike> {
    match document.get_mut("cases")? {
        Item::ArrayOfTables(tables) => tables.get_mut(index).map(|table| table as &mut dyn TableLike),
        Item::Value(Value::Array(array)) => array
            .get_mut(index)?
            .as_inline_table_mut()
            .map(|table| table as &mut dyn TableLike),
        _ => None,
    }
}

fn update_case(
    table: &mut dyn TableLike,
    case: &Case,
    loaded: &Loaded,
    differences: &[Difference],
    outcome: &Outcome,
) -> bool {
    let is_new = !case.expects_something();
    let differs = |place: &str| differences.iter().any(|difference| difference.place == place);
    let mut is_changed = false;
    for (name, got) in &outcome.outputs {
        if is_new || differs(&format!("expect.{name}")) {
            let expected = case.expect.iter().find(|expected| expected.name == *name);
            let records = expected.map_or(&[][..], |expected| expected.records.as_slice());
            let order = match expected {
                Some(expected) => order(expected, got),
                None => (0..got.len()).collect(),
            };
            let expect = sub_table(table, "expect");
            write_list(expect, name, got.len(), &mut |i, into| {
                let like = records.get(i).or(records.last());
                write_record(into, &got[order[i]], like, records.get(i));
            });
            is_changed = true;
        }
    }
    if differs("dead_letters") {
        let expected = case.dead_letters.as_deref().unwrap_or(&[]);
        write_list(table, "dead_letters", outcome.refused.len(), &mut |i, into| {
            write_letter(into, &outcome.refused[i], expected.get(i));
        });
        is_changed = true;
    }
    if differs("error") {
        match outcome.failures.first() {
            None => {
                table.remove("error");
            }
            Some((code, message)) => {
                let mut error = InlineTable::new();
                error.insert("code", code.as_str().into());
                error.insert("message", message.as_str().into());
                table.insert("error", Item::Value(error.into()));
            }
        }
        is_changed = true;
    }
    for (name, got) in &outcome.stores {
        if differs(&format!("final_state.{name}")) {
            let content = case
                .final_state
                .iter()
                .find(|content| format!("{}.{}", content.transform, content.store) == *name);
            if let Some(content) = content
                && let Some((_, spec, _)) = content.resolve(loaded)
            {
                let stores = sub_table(sub_table(table, "final_state"), &content.transform);
                write_store(stores, &content.store, got, spec);
                is_changed = true;
            }
        }
    }
    is_changed
}

/// The table under `name`, made when it is missing.
fn sub_table<'a>(table: &'a mut dyn TableLike, name: &str) -> &'a mut dyn TableLike {
    if table.get(name).is_none_or(|item| !item.is_table_like()) {
        let mut new = Table::new();
        // Without a header of its own as long as it holds only lists of tables.
        new.set_implicit(true);
        table.insert(name, Item::Table(new));
    }
    match table.get_mut(name).and_then(Item::as_table_like_mut) {
        Some(inner) => inner,
        // It was just made.
        None => unreachable!("`{name}` is a table"),
    }
}

/// Writes a list of `count` tables: those that are there are changed in place.
fn write_list(parent: &mut dyn TableLike, name: &str, count: usize, write: &mut dyn FnMut(usize, &mut dyn TableLike)) {
    match parent.get_mut(name) {
        Some(Item::ArrayOfTables(tables)) if count > 0 => {
            while tables.len() > count {
                tables.remove(tables.len() - 1);
            }
            for i in 0..count {
                match tables.get_mut(i) {
                    Some(table) => write(i, table),
                    None => tables.push(new_table(i, write)),
                }
            }
        }
        Some(Item::Value(Value::Array(array))) if !array.is_empty() && count > 0 => {
            while array.len() > count {
                array.remove(array.len() - 1);
            }
            let before = array.get(0).map(|first| first.decor().clone());
            for i in 0..count {
                match array.get_mut(i).and_then(Value::as_inline_table_mut) {
                    Some(table) => write(i, table),
                    None => {
                        let mut table = InlineTable::new();
                        write(i, &mut table);
                        let mut value = Value::InlineTable(table);
                        if let Some(before) = &before {
                            *value.decor_mut() = before.clone();
                        }
                        array.push_formatted(value);
                    }
                }
            }
        }
        _ if count == 0 => {
            parent.insert(name, Item::Value(Array::new().into()));
        }
        _ => {
            let mut tables = ArrayOfTables::new();
            for i in 0..count {
                tables.push(new_table(i, write));
            }
            let list = Item::ArrayOfTables(tables);
            // An inline table holds no tables with headers.
            let is_inline = parent.get(name).is_none() && is_inline(parent);
            parent.remove(name);
            parent.insert(name, if is_inline { as_array(list) } else { list });
        }
    }
}

fn is_inline(parent: &dyn TableLike) -> bool {
    // Every key of an inline table is a value.
    parent.iter().next().is_some() && parent.iter().all(|(_, item)| item.is_value()) && !parent.contains_key("steps")
}

fn as_array(list: Item) -> Item {
    match list.into_value() {
        Ok(value) => Item::Value(value),
        Err(item) => item,
    }
}

fn new_table(i: usize, write: &mut dyn FnMut(usize, &mut dyn TableLike)) -> Table {
    let mut table = Table::new();
    table.decor_mut().set_prefix("\n");
    write(i, &mut table);
    table
}

/// Sets a value, unless it is that already, and keeps what stands around it.
fn set(table: &mut dyn TableLike, key: &str, value: Value) {
    match table.get_mut(key) {
        Some(Item::Value(old)) => {
            if old.to_string().trim() != value.to_string().trim() {
                let decor = old.decor().clone();
                *old = value;
                *old.decor_mut() = decor;
            }
        }
        _ => {
            table.insert(key, Item::Value(value));
        }
    }
}

/// Writes bytes in the form that `like` has, else in the simplest that fits.
fn set_data(table: &mut dyn TableLike, name: &str, bytes: Option<&[u8]>, like: Option<&Data>) {
    let (json_key, hex_key) = (format!("{name}_json"), format!("{name}_hex"));
    let keys = [name, json_key.as_str(), hex_key.as_str()];
    let got = read_like(bytes, like);
    let (key, value) = match &got {
        Data::Null => {
            for key in keys {
                table.remove(key);
            }
            return;
        }
        Data::Json(json) => match toml(json).filter(|_| table.get(&json_key).is_none() && !json.is_string()) {
            Some(value) => (name, value),
            None => (json_key.as_str(), json.to_string().into()),
        },
        Data::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => (name, text.into()),
            Err(_) => (hex_key.as_str(), hex(bytes).into()),
        },
    };
    for other in keys.into_iter().filter(|other| *other != key) {
        table.remove(other);
    }
    set(table, key, value);
}

/// JSON as TOML; `None` for what TOML does not have.
fn toml(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => return None,
        Json::Bool(b) => (*b).into(),
        Json::Number(n) => match (n.as_i64(), n.is_f64().then(|| n.as_f64()).flatten()) {
            (Some(n), _) => n.into(),
            (None, Some(x)) => x.into(),
            (None, None) => return None,
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => items.iter().map(toml).collect::<Option<Array>>()?.into(),
        Json::Object(map) => {
            let mut table = InlineTable::new();
            for (key, value) in map {
                table.insert(key.as_str(), toml(value)?);
            }
            table.into()
        }
    })
}

/// `same`: the expected record that is written over, which may match in part.
fn write_record(
    into: &mut dyn TableLike,
    got: &Produced,
    like: Option<&ExpectedRecord>,
    same: Option<&ExpectedRecord>,
) {
    let keeps = |expected: Option<&Data>, bytes: Option<&[u8]>| {
        expected.is_some_and(|expected| match (expected, read_like(bytes, Some(expected))) {
            (Data::Json(a), Data::Json(b)) => super::compare::equal(a, &b),
            (a, b) => *a == b,
        })
    };
    if !keeps(same.map(|same| &same.key), got.key.as_deref()) {
        set_data(into, "key", got.key.as_deref(), like.map(|like| &like.key));
    }
    if !keeps(same.map(|same| &same.value), got.value.as_deref()) {
        set_data(into, "value", got.value.as_deref(), like.map(|like| &like.value));
    }
    if like.is_some_and(|like| like.timestamp.is_some())
        && same.is_none_or(|same| same.timestamp != Some(got.timestamp))
    {
        set(into, "timestamp", got.timestamp.into());
    }
    if like.is_some_and(|like| like.partition.is_some())
        && same.is_none_or(|same| same.partition != Some(got.partition))
    {
        set(into, "partition", i64::from(got.partition).into());
    }
    if like.is_some_and(|like| like.headers.is_some()) {
        let mut headers = InlineTable::new();
        for (name, value) in &got.headers {
            let text = String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned();
            match headers.get_mut(name) {
                Some(Value::Array(list)) => list.push(text),
                Some(first) => {
                    let mut list = Array::new();
                    list.push(first.clone());
                    list.push(text);
                    headers.insert(name, list.into());
                }
                None => {
                    headers.insert(name, text.into());
                }
            }
        }
        set(into, "headers", headers.into());
    }
}

fn write_letter(into: &mut dyn TableLike, got: &Refused, expected: Option<&pipeline::testing::ExpectedLetter>) {
    set(into, "node", got.node.as_str().into());
    set(into, "code", got.code.as_str().into());
    let has_part = expected
        .and_then(|expected| expected.message.as_ref())
        .is_some_and(|part| got.message.contains(part));
    if !has_part && expected.is_none_or(|expected| expected.message.is_some()) {
        set(into, "message", got.message.as_str().into());
    }
    if let Some(like) = expected.and_then(|expected| expected.key.as_ref()) {
        set_data(into, "key", got.key.as_deref(), Some(like));
    }
    if let Some(like) = expected.and_then(|expected| expected.value.as_ref()) {
        set_data(into, "value", got.value.as_deref(), Some(like));
    }
}

fn write_store(stores: &mut dyn TableLike, name: &str, got: &Entries, spec: &record::transform::StoreSpec) {
    let entries: Vec<(&Vec<u8>, &Vec<u8>)> = got.iter().collect();
    write_list(stores, name, entries.len(), &mut |i, into| {
        let (key, value) = entries[i];
        for (field, bytes, format) in [("key", key, &spec.key_format), ("value", value, &spec.value_format)] {
            for form in ["_json", "_hex"] {
                into.remove(&format!("{field}{form}"));
            }
            let (form, written) = match decode(bytes, format) {
                Data::Json(json) => match toml(&json) {
                    Some(value) => ("", value),
                    None => ("_json", json.to_string().into()),
                },
                Data::Bytes(bytes) if format != "json" => match std::str::from_utf8(&bytes) {
                    // Bytes that happen to be text but for control characters are easier as such.
                    Ok(text) if !text.contains(char::is_control) => ("", text.into()),
                    _ => ("_hex", hex(&bytes).into()),
                },
                _ => ("_hex", hex(bytes).into()),
            };
            if !form.is_empty() {
                into.remove(field);
            }
            set(into, &format!("{field}{form}"), written);
        }
    });
}
