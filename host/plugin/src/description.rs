//! What a plugin may say of itself.

use std::collections::BTreeSet;

use record::transform::{Description, Port, StoreSpec};
use serde_json::{Value, json};

const PORTS_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 64;
const FORMATS: [&str; 6] = ["bytes", "utf8", "json", "s64-le", "u64-le", "f64-le"];

/// What is wrong with a description, or nothing.
pub(crate) fn check(description: &Description, extra: &[(String, String)]) -> Result<(), String> {
    name("plugin", &description.name)?;
    let version = &description.version;
    if version.is_empty() || version.len() > NAME_BYTES_MAX || !version.chars().all(|c| c.is_ascii_graphic()) {
        return Err(format!("`{version:.64}` is no version"));
    }
    if let Some((need, _)) = extra.first() {
        return Err(format!(
            "it needs `{need:.64}`, which this Wasmill does not know; a newer one may"
        ));
    }
    if description.ports.is_empty() {
        return Err("it has no ports".to_owned());
    }
    names("input", description.inputs.iter().map(String::as_str))?;
    names("port", description.ports.iter().map(|port| port.name.as_str()))?;
    names("store", description.stores.iter().map(|store| store.name.as_str()))?;
    for store in &description.stores {
        for format in [&store.key_format, &store.value_format] {
            if !FORMATS.contains(&format.as_str()) {
                return Err(format!(
                    "the store `{}` has the format `{format:.64}`; known are {}",
                    store.name,
                    FORMATS.join(", ")
                ));
            }
        }
    }
    if !description.config_schema.is_empty() {
        match serde_json::from_str::<Value>(&description.config_schema) {
            Ok(Value::Object(_)) => {}
            Ok(_) => return Err("its config schema is no JSON object".to_owned()),
            Err(error) => return Err(format!("its config schema is no JSON: {error}")),
        }
    }
    Ok(())
}

fn names<'a>(what: &str, all: impl ExactSizeIterator<Item = &'a str>) -> Result<(), String> {
    if all.len() > PORTS_MAX {
        return Err(format!("it has {} {what}s; {PORTS_MAX} are the most", all.len()));
    }
    let mut seen = BTreeSet::new();
    for one in all {
        name(what, one)?;
        if !seen.insert(one) {
            return Err(format!("the {what} `{one}` is there twice"));
        }
    }
    Ok(())
}

/// Kebab-case or snake_case: words of lower-case letters and digits, the first with a letter first.
fn name(what: &str, name: &str) -> Result<(), String> {
    let words_are_good = name
        .split(['-', '_'])
        .all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
    if words_are_good && name.len() <= NAME_BYTES_MAX && name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Ok(());
    }
    Err(format!(
        "`{name:.64}` is no name of a {what}: lower-case words with `-` or `_` between, at most {NAME_BYTES_MAX} bytes"
    ))
}

/// A description as JSON: what the custom section holds.
pub(crate) fn to_json(description: &Description) -> Value {
    let ports = description
        .ports
        .iter()
        .map(|port| json!({ "name": port.name, "doc": port.doc, "rekeys": port.rekeys }));
    let stores = description.stores.iter().map(|store| {
        json!({
            "name": store.name,
            "doc": store.doc,
            "table": store.table,
            "keyed": store.keyed,
            "key_format": store.key_format,
            "value_format": store.value_format,
        })
    });
    json!({
        "name": description.name,
        "version": description.version,
        "doc": description.doc,
        "state_version": description.state_version,
        "inputs": description.inputs,
        "ports": ports.collect::<Vec<_>>(),
        "stores": stores.collect::<Vec<_>>(),
        "sets_timers": description.sets_timers,
        "reads_headers": description.reads_headers,
        "reads_origins": description.reads_origins,
        "config_schema": description.config_schema,
    })
}

/// A description from what the custom section holds; `None` when it is none. What is left out is as
/// in [`Description::default`].
pub(crate) fn of_json(value: &Value) -> Option<Description> {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let flag = |value: &Value, key: &str| value[key].as_bool().unwrap_or_default();
    let list = |key: &str| value[key].as_array().map(Vec::as_slice).unwrap_or_default();
    value.as_object()?;
    Some(Description {
        name: text(value, "name"),
        version: text(value, "version"),
        doc: text(value, "doc"),
        state_version: value["state_version"]
            .as_u64()
            .and_then(|version| version.try_into().ok())
            .unwrap_or_default(),
        inputs: list("inputs")
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        ports: list("ports")
            .iter()
            .map(|port| Port {
                name: text(port, "name"),
                doc: text(port, "doc"),
                rekeys: flag(port, "rekeys"),
            })
            .collect(),
        stores: list("stores")
            .iter()
            .map(|store| StoreSpec {
                name: text(store, "name"),
                doc: text(store, "doc"),
                table: flag(store, "table"),
                keyed: flag(store, "keyed"),
                key_format: text(store, "key_format"),
                value_format: text(store, "value_format"),
            })
            .collect(),
        sets_timers: flag(value, "sets_timers"),
        reads_headers: flag(value, "reads_headers"),
        reads_origins: flag(value, "reads_origins"),
        config_schema: text(value, "config_schema"),
    })
}

/// The first difference between what a plugin said when it was built and what it says now.
pub(crate) fn difference(then: &Value, now: &Value) -> Option<String> {
    if then == now {
        return None;
    }
    let (Value::Object(then), Value::Object(now)) = (then, now) else {
        return Some("what was kept is no description".to_owned());
    };
    let keys = now.keys().chain(then.keys());
    keys.into_iter().find(|key| then.get(*key) != now.get(*key)).map(|key| {
        let text = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
        format!("`{key}` was {} and is {}", text(then.get(key)), text(now.get(key)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Description {
        Description {
            name: "word_count".to_owned(),
            version: "1.0.0".to_owned(),
            ports: vec![Port {
                name: "out".to_owned(),
                doc: String::new(),
                rekeys: false,
            }],
            ..Description::default()
        }
    }

    fn wrong(change: impl FnOnce(&mut Description)) -> String {
        let mut description = good();
        change(&mut description);
        check(&description, &[]).unwrap_err()
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(check(&good(), &[]), Ok(()));
        for name in ["", "Word", "a--b", "a_", "1a", "a b", "\u{e9}"] {
            assert!(
                wrong(|d| d.name = name.to_owned()).contains("no name of a plugin"),
                "{name}"
            );
        }
        assert!(wrong(|d| d.version.clear()).contains("no version"));
        assert!(wrong(|d| d.ports.clear()).contains("no ports"));
        assert!(wrong(|d| d.ports.push(d.ports[0].clone())).contains("twice"));
        assert!(wrong(|d| d.inputs = (0..257).map(|i| format!("i{i}")).collect()).contains("257 inputs"));
        assert!(wrong(|d| d.config_schema = "[]".to_owned()).contains("no JSON object"));
        let store = StoreSpec {
            name: "s".to_owned(),
            doc: String::new(),
            table: false,
            keyed: true,
            key_format: "bytes".to_owned(),
            value_format: "xml".to_owned(),
        };
        assert!(wrong(|d| d.stores.push(store)).contains("`xml`"));
        let extra = [("timers".to_owned(), String::new())];
        assert!(check(&good(), &extra).unwrap_err().contains("`timers`"));
    }

    #[test]
    fn the_first_difference_is_named() {
        let mut other = good();
        other.state_version = 2;
        let (then, now) = (to_json(&good()), to_json(&other));
        assert_eq!(of_json(&now), Some(other), "what is kept can be read again");
        assert_eq!(difference(&then, &then), None);
        assert_eq!(
            difference(&then, &now).as_deref(),
            Some("`state_version` was 0 and is 2")
        );
    }
}
