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

#[cfg(test)]
mod tests {
    use super::*;

    /// A component with a module in it, which has names, DWARF and producers.
    fn component() -> Vec<u8> {
        wat::parse_str(
            r#"(component $c
                (core module $m
                    (func $first (param $a i32)) (func $second call $third) (func $third)
                    (export "second" (func $second))
                    (@custom ".debug_info" "dwarf")
                    (@producers (language "C" "11"))
                    (@custom "mine" "kept")))"#,
        )
        .unwrap()
    }

    fn sections(component: &[u8]) -> Vec<String> {
        let payloads = Parser::new(0).parse_all(component);
        payloads
            .filter_map(|payload| match payload.unwrap() {
                Payload::CustomSection(section) => Some(section.name().to_owned()),
                _ => None,
            })
            .collect()
    }

    fn names(component: &[u8]) -> usize {
        Parser::new(0)
            .parse_all(component)
            .filter_map(|payload| match payload.unwrap() {
                Payload::CustomSection(section) => match section.as_known() {
                    KnownCustom::Name(names) => Some(names.into_iter().count()),
                    _ => None,
                },
                _ => None,
            })
            .sum()
    }

    #[test]
    fn dwarf_goes_and_the_names_of_functions_stay() {
        let before = component();
        assert!(names(&before) > 1, "of functions, of locals and more");
        let after = strip(&before, true).unwrap();
        wasmparser::Validator::new().validate_all(&after).unwrap();
        assert_eq!(names(&after), 1);
        let mut left = sections(&after);
        left.sort();
        assert_eq!(left, ["mine", "name", "producers"]);
        assert!(after.windows(5).any(|bytes| bytes == b"third"));
        assert_eq!(strip(&after, true).unwrap(), after, "once is enough");
    }

    #[test]
    fn names_of_an_interpreter_go_too() {
        let after = strip(&component(), false).unwrap();
        wasmparser::Validator::new().validate_all(&after).unwrap();
        assert_eq!(sections(&after), ["producers", "mine"]);
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let whole = component();
        assert!(strip(&whole[..whole.len() - 3], true).is_err());
    }
}
