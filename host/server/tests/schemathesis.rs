//! The API is asked for everything that its OpenAPI document has, with good and with bad requests made up from it:
//! no answer is one of 5xx, and none is other than the document says. `scripts/test.sh` installs what asks.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;

use std::process::Command;

use common::served::Served;
use common::{plugin, said, write};

const PIPELINE: &str = r#"
name = "words"
partitions = 2
[sources.lines]
type = "file"
path = "lines.txt"
format = "lines"
loop = true
rate = 200
[transforms.split]
inputs = ["lines"]
type = "wasm"
plugin = "word_split.wasm"
[transforms.count]
inputs = ["split"]
type = "wasm"
plugin = "poison.wasm"
on_error = "dead_letter"
[sinks.out]
inputs = ["count"]
type = "blackhole"
"#;

#[test]
fn every_answer_is_as_the_document_says() {
    let Some(schemathesis) = std::env::var_os("WASMILL_TEST_SCHEMATHESIS") else {
        eprintln!("PASSED OVER: WASMILL_TEST_SCHEMATHESIS names no schemathesis; scripts/test.sh installs it");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for name in ["word_split", "poison"] {
        write(&dir.join(format!("{name}.wasm")), &plugin(name));
    }
    write(&dir.join("lines.txt"), b"one two three\na bad word\n");
    write(&dir.join("words.toml"), PIPELINE.as_bytes());
    let process = Served::run(dir, &["words.toml", "--embedded", "--no-watch"]);
    process.until_ready();
    process.until("there is a dead letter", || {
        process.json("/v1/pipelines/words")["counters"]["dead_letters"].as_u64() > Some(0)
    });
    // What is there is asked for too, not only what is not.
    let config = "[parameters]\nname = \"words\"\nnode = \"count\"\ntransform = \"count\"\nstore = \"seen\"\n\
                  topic = \"words-lines\"\n";
    write(&dir.join("schemathesis.toml"), config.as_bytes());
    let ran = Command::new(schemathesis)
        .current_dir(dir)
        .args(["--config-file", "schemathesis.toml", "run"])
        .arg(format!("http://{}/openapi.json", process.api))
        // Events have no end; a reload waits for its turn.
        .args(["--exclude-path-regex", "/tap/|/reload$"])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        .args([
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            "25",
            "--seed",
            "1",
            "--no-color",
        ])
        .args([
            "--request-timeout",
            "20",
            "--report",
            "har",
            "--report-har-path",
            "answers.har",
        ])
        .output()
        .expect("schemathesis");
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    println!("{printed}");
    assert!(ran.status.success(), "{printed}");
    let answers = std::fs::read(dir.join("answers.har")).unwrap();
    assert!(answers.len() > 100_000, "{} bytes of answers", answers.len());
    said("the API", answers);
    process.until_ready();
}
