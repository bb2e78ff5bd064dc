//! Custom sections: the one in which `wasmill build` keeps what a plugin says of itself, and the one
//! in which tools say that they made a component.

use std::borrow::Cow;

use wasm_encoder::{ComponentSection, CustomSection};
use wasmparser::{KnownCustom, Parser, Payload, ProducersSectionReader};

/// The section's name.
const NAME: &str = "wasmill:description";

/// Appends the section to a component.
pub(crate) fn append(component: &mut Vec<u8>, description: &serde_json::Value) {
    let json = description.to_string();
    CustomSection {
        name: Cow::Borrowed(NAME),
        data: Cow::Borrowed(json.as_bytes()),
    }
    .append_to_component(component);
}

/// What the section of a component holds; `None` when it has none. Those of modules inside do not
/// count.
pub(crate) fn read(component: &[u8]) -> Result<Option<serde_json::Value>, String> {
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(|error| error.to_string())? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 0 && section.name() == NAME => {
                return serde_json::from_slice(section.data())
                    .map(Some)
                    .map_err(|error| format!("its section `{NAME}` is no JSON: {error}"));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// What tools say of themselves in a component and the modules in it: `language Rust` and the like.
/// What cannot be read is left out: nothing depends on it.
pub(crate) fn producers(component: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        if let Ok(Payload::CustomSection(section)) = payload
            && let KnownCustom::Producers(reader) = section.as_known()
        {
            collect_producers(reader, &mut all);
        }
    }
    all
}

fn collect_producers(reader: ProducersSectionReader<'_>, into: &mut Vec<String>) {
    for field in reader.into_iter().flatten() {
        for value in field.values.into_iter().flatten() {
            let line = format!("{} {} {}", field.name, value.name, value.version);
            into.push(line.trim_end().to_owned());
        }
    }
}
