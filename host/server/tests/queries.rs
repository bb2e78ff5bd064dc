//! Plugins answer queries through the API, well and badly, while records flow.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;

use std::path::Path;

use common::served::Served;
use common::{built_anew, is_built, plugin, wasmill, write};
use serde_json::Value;

const TOML: &str = r#"
name = "asked"
partitions = 3
[sources.numbers]
type = "generator"
kind = "temperature"
rate = 2000
key = "/room"
[transforms.oracle]
inputs = ["numbers"]
type = "wasm"
plugin = "oracle.wasm"
limits = { time_ms = 50, call_time_ms = 100 }
[transforms.count]
inputs = ["numbers"]
type = "wasm"
plugin = "word_count.wasm"
[sinks.nothing]
inputs = ["oracle", "count"]
type = "blackhole"
"#;

fn start(dir: &Path) -> Served {
    for plugin in ["oracle.wasm", "word_count.wasm"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../plugins/dist")
            .join(plugin);
        std::fs::copy(from, dir.join(plugin)).expect("`wasmill build plugins`, and plugins/misbehaving/oracle");
    }
    std::fs::write(dir.join("asked.toml"), TOML).unwrap();
    let process = Served::run(dir, &["asked.toml", "--no-watch", "--embedded"]);
    process.until("it comes to that", || process.read(&path("seen/room-1")).0 == 200);
    process
}

fn path(rest: &str) -> String {
    format!("/v1/pipelines/asked/query/oracle/{rest}")
}

#[test]
fn a_plugin_answers_while_records_flow() {
    let dir = tempfile::tempdir().unwrap();
    let process = start(dir.path());
    assert_eq!(
        process.read("/v1/pipelines/asked/query/oracle"),
        (200, "hello".to_owned())
    );
    let seen = || process.read(&path("seen/room-1")).1.parse::<u64>().unwrap();
    let first = seen();
    process.until("it comes to that", || seen() > first);
    let all = process.read(&path("all")).1;
    assert!(
        all.starts_with("room-1=") && all.contains(" room-2=") && all.contains(" room-3="),
        "{all}"
    );
    assert_eq!(process.read(&path("status/404")), (404, "so be it".to_owned()));
    let (_, echo) = process.read(&path("echo?a=1%262&b=%C3%A9"));
    assert!(echo.contains(r#"[("a", "1&2"), ("b", "é")]"#), "{echo}");
    assert_eq!(process.read(&path("seen/a%2Fb")).0, 404);
    assert_eq!(process.read(&path("seen/%ff")).0, 400);

    // Somebody's page in the browser of who runs this.
    let page = process.get(&path("html"));
    assert_eq!(
        (page.status, page.body.as_slice()),
        (200, &b"<script>alert(1)</script>"[..])
    );
    for header in [
        "content-type: text/html",
        "content-security-policy: sandbox",
        "x-content-type-options: nosniff",
    ] {
        assert!(page.head.contains(header), "{}", page.head);
    }

    for (asked, status, says) in [
        ("oracle/panic", 502, "asked for it"),
        ("oracle/refuse", 502, "not today"),
        ("oracle/loop", 502, "time_ms"),
        ("oracle/memory", 502, "memory_mib"),
        ("oracle/put", 502, "in `answer`"),
        ("oracle/seen-of/none/a", 502, "no transform `none`"),
        ("count/anything", 404, "exports no `query-handler`"),
        ("none/anything", 404, "no transform `none`"),
    ] {
        let (found, body) = process.read(&format!("/v1/pipelines/asked/query/{asked}"));
        assert_eq!(found, status, "{asked}: {body}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert!(problem["status"] == status && body.contains(says), "{asked}: {body}");
    }
    assert_eq!(process.read("/v1/pipelines/none/query/oracle").0, 404);
    // Records have flowed all the time.
    let pipeline = process.json("/v1/pipelines/asked");
    assert_eq!(
        (&pipeline["state"], &pipeline["counters"]["aborts"]),
        (&"running".into(), &0.into())
    );
    let before = seen();
    process.until("it comes to that", || seen() > before);
}

#[test]
fn after_a_reload_the_new_version_answers() {
    let dir = tempfile::tempdir().unwrap();
    let process = start(dir.path());
    let answers = || process.read(&path("answers")).1.parse::<u64>().unwrap();
    let before = answers();
    assert_eq!(answers(), before + 1);
    let component = std::fs::read(dir.path().join("oracle.wasm")).unwrap();
    write(&dir.path().join("oracle.wasm"), &built_anew(&component, 1));
    let api = format!("http://{}", process.api);
    let ran = wasmill(dir.path(), &["reload", "asked", "--api", &api, "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    // An instance of it that has answered nothing yet.
    assert_eq!(answers(), 1);
    assert_eq!(process.read(&path("seen/room-1")).0, 200);
}

/// The word count and the migrating oracle of a language, beside the oracle.
const LANGUAGE_TOML: &str = r#"
name = "asked"
partitions = 3
[sources.numbers]
type = "generator"
kind = "temperature"
rate = 100
count = 300
key = "/room"
[transforms.oracle]
inputs = ["numbers"]
type = "wasm"
plugin = "oracle.wasm"
[transforms.count]
inputs = ["numbers"]
type = "wasm"
plugin = "word_count.wasm"
[transforms.seen]
inputs = ["numbers"]
type = "wasm"
plugin = "migrating.wasm"
[sinks.nothing]
inputs = ["oracle", "count", "seen"]
type = "blackhole"
"#;

/// Plugins of a language answer, with own stores and with those of a plugin in Rust.
fn plugins_answer(language: &str) {
    if !is_built(language) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (name, component) in [
        ("oracle", plugin("oracle")),
        ("word_count", plugin(&format!("{language}/word_count"))),
        ("migrating", plugin(&format!("{language}/migrating"))),
    ] {
        std::fs::write(dir.path().join(format!("{name}.wasm")), component).unwrap();
    }
    std::fs::write(dir.path().join("asked.toml"), LANGUAGE_TOML).unwrap();
    let process = Served::run(dir.path(), &["asked.toml", "--no-watch", "--embedded"]);
    let ask = |path: &str| process.read(&format!("/v1/pipelines/asked/query/{path}"));
    let hundred = r#"{"word":"room-1","count":100}"#;
    process.until("it comes to that", || {
        ask("count/count/room-1") == (200, hundred.to_owned())
            && ask("seen/seen/room-1").1 == r#"{"count":100}"#
            && ask("oracle/all").1 == "room-1=100 room-2=100 room-3=100"
    });
    for (asked, status, body) in [
        ("count/count/none", 200, r#"{"word":"none","count":0}"#),
        ("count/count/%C3%A9", 200, r#"{"word":"é","count":0}"#),
        (
            "count/top?n=2",
            200,
            r#"[{"word":"room-1","count":100},{"word":"room-2","count":100}]"#,
        ),
        ("count/top?n=0", 400, "`n` is a number from 1 to 1000"),
        ("count", 404, "ask for count/WORD or top?n=10"),
        ("seen/seen/none", 404, "never seen"),
        ("seen/many/room-3/none", 200, r#"[{"count":100},null]"#),
        ("seen/seen-of/oracle/room-2", 200, "100"),
        ("seen/seen-of/oracle/none", 200, "null"),
        ("seen/all-of/oracle", 200, r#"{"room-2":100,"room-3":100}"#),
        ("seen/many-of/oracle/none/room-1", 200, "[null,100]"),
    ] {
        assert_eq!(ask(asked), (status, body.to_owned()), "{language}: {asked}");
    }
    let (status, now) = ask("seen/now");
    assert!(
        status == 299 && now.parse::<u64>().unwrap() > 1_700_000_000_000,
        "{now}"
    );
    for (asked, says) in [
        ("seen/refuse", "no-mood: not today"),
        ("seen/seen-of/none/a", "no transform `none`"),
    ] {
        let (status, body) = ask(asked);
        assert!(status == 502 && body.contains(says), "{language}: {asked}: {body}");
    }
    // One that fails costs itself alone.
    assert_eq!(ask("seen/seen/room-1"), (200, r#"{"count":100}"#.to_owned()));
}

#[test]
fn plugins_in_go_answer() {
    plugins_answer("go");
}

#[test]
fn plugins_in_c_answer() {
    plugins_answer("c");
}

#[test]
fn plugins_in_python_answer() {
    plugins_answer("python");
}

#[test]
fn plugins_in_javascript_answer() {
    plugins_answer("js");
}
