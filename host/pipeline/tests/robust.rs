//! Whatever is in a pipeline file: diagnostics, never a panic; and plans whose promises hold.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]

mod common;

use common::{check_plan, load, options};
use proptest::prelude::*;
use wasmill_pipeline::{Diagnostics, Format, Loaded, graph};

const SECRET: &str = "planted-secret";

/// Looks at everything that can be shown.
fn examine(text: &str, result: &Result<Loaded, Diagnostics>) {
    let lines = text.matches('\n').count() + 1;
    match result {
        Ok(loaded) => {
            check_plan(&loaded.topology);
            for format in [Format::Text, Format::Mermaid, Format::Dot, Format::Json] {
                assert!(!graph(&loaded.topology, format).contains(SECRET));
            }
            for warning in &loaded.warnings {
                assert!(!warning.render(false).is_empty());
            }
        }
        Err(diagnostics) => {
            assert!(diagnostics.errors() > 0);
            let shown = diagnostics.render(false);
            assert!(!shown.contains(SECRET), "{shown}");
            assert!(diagnostics.render(true).contains("\u{1b}["));
            for diagnostic in &diagnostics.list {
                assert!(!diagnostic.message.is_empty() && diagnostic.line <= lines && diagnostic.column >= 1);
            }
            assert!(serde_json::to_string(diagnostics).is_ok());
        }
    }
}

fn run(text: &str, embedded: bool) {
    let mut options = options(&[
        ("URL", "mysql://me:planted-secret@db"),
        ("SET", SECRET),
        ("CONFIG", SECRET),
    ]);
    options.embedded = embedded;
    examine(text, &load(text, &options));
}

/// Small and fast; the seed is the number of the case, so that a failure can be run again.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
}

const PIECES: [&str; 40] = [
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    "\"",
    "'",
    "\"\"\"",
    ",",
    ".",
    "\n",
    "#",
    "${",
    "${env:URL}",
    "${env:NO}",
    "${file:x}",
    "}",
    "$$",
    "-1",
    "99999999999999999999",
    "1e999",
    "nan",
    "true",
    "2026-11-21T08:00:00Z",
    "\u{0}",
    "é",
    "\u{2028}",
    "\\",
    "\\u0000",
    "type",
    "inputs",
    "key",
    "sources.",
    "transforms.",
    "embedded.",
    "\"/\"",
    "[]",
    "{}",
];

fn mutate(text: &str, random: &mut Random) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=random.next(4) {
        let at = random.next(chars.len() + 1);
        match random.next(7) {
            0 => chars.truncate(at),
            1 => {
                let end = (at + random.next(20)).min(chars.len());
                chars.drain(at..end);
            }
            2 => {
                let piece = PIECES[random.next(PIECES.len())];
                chars.splice(at..at, piece.chars());
            }
            3 => {
                let end = (at + random.next(6)).min(chars.len());
                let piece = PIECES[random.next(PIECES.len())];
                chars.splice(at..end, piece.chars());
            }
            4 if at + 1 < chars.len() => chars.swap(at, at + 1),
            5 => {
                // A line somewhere else.
                let text: String = chars.iter().collect();
                let mut lines: Vec<&str> = text.split('\n').collect();
                let line = lines.remove(random.next(lines.len()));
                if random.next(2) == 0 {
                    lines.insert(random.next(lines.len() + 1), line);
                }
                chars = lines.join("\n").chars().collect();
            }
            _ => {
                let end = (at + random.next(60)).min(chars.len());
                let piece = chars[at..end].to_vec();
                let to = random.next(chars.len() + 1);
                chars.splice(to..to, piece);
            }
        }
    }
    chars.into_iter().collect()
}

#[test]
fn ten_thousand_mutated_files() {
    let dir = common::tests_dir().join("mistakes");
    let mut texts: Vec<String> = std::fs::read_dir(dir)
        .expect("mistakes")
        .map(|file| file.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .map(|path| std::fs::read_to_string(path).expect("a pipeline"))
        .map(|text| text.replace("\"../plugins", "\"plugins"))
        .collect();
    texts.sort();
    let whole = std::fs::read_to_string(common::tests_dir().join("whole.toml")).expect("a pipeline");
    run(&whole, false);
    run(&whole, true);
    let mut loads = 0;
    for case in 1..=10_000_u64 {
        let mut random = Random(case.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let text = if case % 2 == 0 {
            &whole
        } else {
            &texts[random.next(texts.len())]
        };
        let text = mutate(text, &mut random);
        let result = std::panic::catch_unwind(|| run(&text, case % 3 == 0));
        assert!(result.is_ok(), "case {case}:\n{text}");
        loads += usize::from(load(&text, &options(&[])).is_ok());
    }
    assert!(
        loads > 0 && loads < 9_000,
        "{loads} of them load: the mutations are too weak or too strong"
    );
}

#[derive(Debug, Clone)]
struct Shape {
    sources: Vec<(u8, bool)>,
    transforms: Vec<(u8, Vec<(usize, bool)>)>,
    sinks: Vec<(bool, Vec<usize>)>,
}

fn shapes() -> impl Strategy<Value = Shape> {
    let sources = proptest::collection::vec((0_u8..3, any::<bool>()), 1..4);
    let feeds = || proptest::collection::vec((any::<usize>(), any::<bool>()), 1..3);
    let transforms = proptest::collection::vec((0_u8..5, feeds()), 0..7);
    let sinks = proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<usize>(), 1..3)), 1..4);
    (sources, transforms, sinks).prop_map(|(sources, transforms, sinks)| Shape {
        sources,
        transforms,
        sinks,
    })
}

/// A pipeline in which every node reads earlier ones, and what is left unread goes to a sink.
fn pipeline(shape: &Shape) -> String {
    let mut text = "name = \"p\"\n[kafka]\nbrokers = \"b:9092\"\n".to_owned();
    let mut nodes: Vec<String> = Vec::new();
    let mut ports: Vec<Vec<String>> = Vec::new();
    for (i, (kind, key)) in shape.sources.iter().enumerate() {
        let key = if *key { "key = \"/k\"\n" } else { "" };
        text.push_str(&match kind {
            0 => format!("[sources.s{i}]\ntype = \"kafka\"\ntopics = [\"t{i}\"]\n{key}"),
            1 => format!("[sources.s{i}]\ntype = \"kafka\"\ntopics = [\"t{i}\", \"u{i}\"]\n{key}"),
            _ => format!("[sources.s{i}]\ntype = \"file\"\npath = \"x\"\nkey = \"/k\"\n"),
        });
        nodes.push(format!("s{i}"));
        ports.push(vec![format!("s{i}")]);
    }
    let mut read = std::collections::BTreeSet::new();
    for (i, (kind, feeds)) in shape.transforms.iter().enumerate() {
        let (plugin, names): (&str, &[&str]) = match kind {
            0 => ("word_split", &["words", "errors"]),
            1 => ("word_count", &["counts"]),
            2 => ("temperature", &["changes", "rooms"]),
            3 => ("enrich", &["out"]),
            _ => ("join", &["out"]),
        };
        let all: Vec<String> = ports.iter().flatten().cloned().collect();
        let mut chosen: Vec<&String> = feeds.iter().map(|(n, _)| &all[n % all.len()]).collect();
        chosen.sort();
        chosen.dedup();
        read.extend(chosen.iter().map(|name| (*name).clone()));
        let inputs = if plugin == "join" {
            format!("{{ orders = {chosen:?}, prices = [{:?}] }}", chosen[0])
        } else {
            format!("{chosen:?}")
        };
        text.push_str(&format!(
            "[transforms.x{i}]\ntype = \"wasm\"\nplugin = \"plugins/{plugin}.wasm\"\ninputs = {inputs}\n"
        ));
        nodes.push(format!("x{i}"));
        ports.push(names.iter().map(|port| format!("x{i}.{port}")).collect());
    }
    let all: Vec<String> = ports.iter().flatten().cloned().collect();
    for (i, (topic, feeds)) in shape.sinks.iter().enumerate() {
        let mut chosen: Vec<String> = feeds.iter().map(|n| all[n % all.len()].clone()).collect();
        if i == 0 {
            chosen.extend(all.iter().filter(|name| !read.contains(*name)).cloned());
        }
        chosen.sort();
        chosen.dedup();
        let kind = if *topic {
            "type = \"kafka\"\ntopic = \"out\""
        } else {
            "type = \"blackhole\""
        };
        text.push_str(&format!("[sinks.k{i}]\n{kind}\ninputs = {chosen:?}\n"));
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_plan_keeps_its_promises(shape in shapes()) {
        let text = pipeline(&shape);
        let loaded = load(&text, &options(&[])).unwrap_or_else(|e| panic!("{text}\n{e}"));
        check_plan(&loaded.topology);
        let again = load(&text, &options(&[])).expect("as before");
        prop_assert_eq!(&loaded.plan_hash, &again.plan_hash);
        prop_assert_eq!(&loaded.topology, &again.topology);
        // Every transform is somewhere exactly once, and every sink is fed.
        let nodes: usize = loaded.topology.processes.iter().map(|sub| sub.nodes.len()).sum();
        prop_assert_eq!(nodes, shape.transforms.len());
        let external = shape.sinks.iter().filter(|(topic, _)| !topic).count();
        prop_assert_eq!(loaded.topology.deliveries.len(), external);
    }

    #[test]
    fn any_text_at_all(text in "\\PC{0,200}") {
        run(&text, false);
    }

    #[test]
    fn any_path_and_value_of_set(path in "[a-z.\"'\\[\\]= #\n]{0,20}", value in "\\PC{0,20}") {
        let mut options = options(&[]);
        options.set = vec![(path, value)];
        let text = "name = \"p\"\n";
        let result = load(text, &options);
        if let Err(diagnostics) = &result {
            prop_assert!(!diagnostics.render(false).is_empty());
        }
    }
}
