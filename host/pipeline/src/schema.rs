//! The JSON Schema of pipeline files, for editors and for [`crate::shape`].

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::raw::Pipeline;

/// The JSON Schema of a pipeline file (draft 2020-12, nothing by reference), as `wasmill schema`
/// prints it. Keywords that start with `x-wasmill-` are ours: `x-wasmill-secret` marks strings
/// that may hold placeholders, `x-wasmill-date` strings that may be TOML dates too.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schema_of::<Pipeline>();
    if let Some(properties) = schema.pointer_mut("/properties/embedded/properties/sinks") {
        inputs_are_optional(properties);
    }
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), "Wasmill pipeline".into());
    }
    schema
}

/// The tidied schema of a type, nothing by reference.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    schema
}

/// TOML has no null, and Rust's number formats say nothing to a user.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(map) => {
            if map.get("default").is_some_and(Value::is_null) {
                map.remove("default");
            }
            if map.get("format").is_some_and(Value::is_string) {
                map.remove("format");
            }
            if map.get("title").is_some_and(Value::is_string) {
                map.remove("title");
            }
            if let Some(Value::Array(choices)) = map.get_mut("enum") {
                choices.retain(|choice| !choice.is_null());
            }
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|t| t != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(options)) = map.get_mut("anyOf") {
                options.retain(|option| option.get("type").is_none_or(|t| t != "null"));
                if options.len() == 1
                    && let Some(Value::Object(only)) = options.pop()
                {
                    map.remove("anyOf");
                    for (key, value) in only {
                        map.entry(key).or_insert(value);
                    }
                }
            }
            map.values_mut().for_each(tidy);
        }
        _ => {}
    }
}

/// A sink that takes another's place takes its inputs too.
fn inputs_are_optional(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(inputs_are_optional),
        Value::Object(map) => {
            if let Some(Value::Array(required)) = map.get_mut("required") {
                required.retain(|key| key != "inputs");
            }
            map.values_mut().for_each(inputs_are_optional);
        }
        _ => {}
    }
}
