//! Takes out of a component what only debuggers read.

use wasm_encoder::{ComponentSectionId, Encode, NameMap, NameSection, Section};
use wasmparser::{BinaryReaderError, Encoding, KnownCustom, Name, Parser, Payload};

/// A component without the DWARF sections of the modules in it, and without their names but for
/// those of functions, which a trap's backtrace shows; without these too unless `keep_names`.
pub(super) fn strip(component: &[u8], keep_names: bool) -> Result<Vec<u8>, BinaryReaderError> {
    let mut done: Vec<Vec<u8>> = Vec::new();
    let mut output = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload?;
        match &payload {
            Payload::Version { encoding, .. } => output.extend_from_slice(match encoding {
                Encoding::Component => &wasm_encoder::Component::HEADER,
                Encoding::Module => &wasm_encoder::Module::HEADER,
            }),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                done.push(std::mem::take(&mut output));
                continue;
            }
            Payload::End(_) => {
                let Some(mut parent) = done.pop() else { break };
                let id = if output.starts_with(&wasm_encoder::Component::HEADER) {
                    ComponentSectionId::Component
                } else {
                    ComponentSectionId::CoreModule
                };
                parent.push(id as u8);
                output.encode(&mut parent);
                output = parent;
            }
            _ => {}
        }
        if let Payload::CustomSection(section) = &payload {
            match section.as_known() {
                KnownCustom::Name(names) => {
                    if keep_names {
                        append_function_names(names, &mut output);
                    }
                    continue;
                }
                KnownCustom::ComponentName(_) => continue,
                _ if is_for_debuggers(section.name()) => continue,
                _ => {}
            }
        }
        if let Some((id, range)) = payload.as_section() {
            output.push(id);
            bytes_of(component, &range).encode(&mut output);
        }
    }
    Ok(output)
}

fn bytes_of<'a>(all: &'a [u8], range: &std::ops::Range<u64>) -> &'a [u8] {
    let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    all.get(place(range.start)..place(range.end)).unwrap_or_default()
}

fn is_for_debuggers(name: &str) -> bool {
    name.starts_with(".debug")
        || name.starts_with("reloc.")
        || matches!(name, "linking" | "sourceMappingURL" | "external_debug_info")
}

/// The part of a name section that a backtrace shows. Names that cannot be read are left out.
fn append_function_names(names: wasmparser::NameSectionReader<'_>, output: &mut Vec<u8>) {
    let mut kept = NameMap::new();
    for part in names {
        if let Ok(Name::Function(functions)) = part {
            for one in functions.into_iter().flatten() {
                kept.append(one.index, one.name);
            }
        }
    }
    if !kept.is_empty() {
        let mut section = NameSection::new();
        section.functions(&kept);
        let section = section.as_custom();
        section.append_to(output);
    }
}
