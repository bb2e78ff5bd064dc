//! What is granted works, what is not granted is not there, and waiting outside has an end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use common::{ENGINE, batch, resident, values, with_wasi};
use plugin::{LinkOptions, Linked, LoadOptions, PluginError};
use record::grant::{Grant, GrantedDir, Origin};
use record::topology::Limits;
use record::transform::{Call, CallError, CallErrorKind, StateSlot, Transform};
use wasmill_plugin as plugin;

static NOSY: LazyLock<Vec<u8>> = LazyLock::new(|| std::fs::read(with_wasi("misbehaving/nosy")).unwrap());

fn load(grant: &Grant) -> Result<plugin::Compiled, PluginError> {
    let options = LoadOptions {
        grant: grant.clone(),
        ..LoadOptions::default()
    };
    ENGINE.load_bytes_with(&NOSY, Path::new("nosy.wasm"), &options)
}

fn link(grant: &Grant, limits: Limits) -> Linked {
    load(grant)
        .unwrap()
        .link(LinkOptions {
            pipeline: Arc::from("test"),
            transform: Arc::from("nosy"),
            config_json: "{}".to_owned(),
            limits,
        })
        .unwrap()
}

fn ask_within(grant: &Grant, limits: Limits, text: &str) -> Result<String, CallError> {
    question(link(grant, limits).instance().unwrap().as_mut(), text)
}

fn question(instance: &mut dyn Transform, text: &str) -> Result<String, CallError> {
    let mut input = batch(&[(None, Some(text))]);
    let times = input.timestamps.clone();
    let emitted = instance.process(Call {
        batch: &mut input,
        input: None,
        stream_times: &times,
        siblings_before: 0,
        lateness: 0,
        now: 0,
        state: &mut StateSlot(None),
    })?;
    Ok(values(&emitted, &input).remove(0))
}

fn ask(grant: &Grant, question: &str) -> String {
    ask_within(grant, Limits::default(), question).unwrap()
}

#[test]
fn an_import_that_is_not_granted_is_refused_by_its_name_and_that_of_its_grant() {
    let without = |change: fn(&mut Grant)| {
        let mut grant = Grant::opened();
        change(&mut grant);
        match load(&grant).unwrap_err() {
            PluginError::ImportRefused { import, remedy, .. } => (import, remedy),
            other => panic!("{other}"),
        }
    };
    for (change, imports, key) in [
        (
            (|grant| grant.env = None) as fn(&mut Grant),
            "wasi:cli/environment@0.2.",
            "env = []",
        ),
        (|grant| grant.clocks = false, "wasi:clocks/", "clocks = true"),
        (|grant| grant.random = false, "wasi:random/random@0.2.", "random = true"),
        (|grant| grant.dirs = None, "wasi:filesystem/", "dir = []"),
        (|grant| grant.http = None, "wasi:http/", "http = []"),
        (|grant| *grant = Grant::default(), "wasi:", "[transforms.NAME.grant]"),
    ] {
        let (import, remedy) = without(change);
        assert!(import.starts_with(imports), "{import}");
        assert!(remedy.contains(key), "{remedy}");
    }
    let needs = load(&Grant::opened()).unwrap().needs().to_vec();
    assert_eq!(needs, ["env", "clocks", "random", "dir", "http"]);
    let inspection = plugin::inspect(&with_wasi("misbehaving/nosy"), None).unwrap();
    let mut shown: Vec<&str> = inspection
        .imports
        .iter()
        .filter_map(|import| match import.access {
            plugin::Access::Grant(key) => Some(key),
            _ => None,
        })
        .collect();
    shown.sort_unstable();
    shown.dedup();
    let mut needs = needs;
    needs.sort();
    assert_eq!(shown, needs);
}

#[test]
fn what_is_opened_shows_nothing_by_itself() {
    let grant = Grant::opened();
    assert_eq!(ask(&grant, "env PATH"), "not set");
    assert!(ask(&grant, "read Cargo.toml").contains("no-entry"));
    assert!(ask(&grant, "get http://127.0.0.1:9/").contains("HttpRequestDenied"));
}

#[test]
fn granted_variables_clocks_and_random_numbers_are_there() {
    let grant = Grant {
        env: Some(vec!["CARGO_MANIFEST_DIR".to_owned(), "NO_SUCH_VARIABLE".to_owned()]),
        ..Grant::opened()
    };
    assert_eq!(ask(&grant, "env CARGO_MANIFEST_DIR"), env!("CARGO_MANIFEST_DIR"));
    assert_eq!(ask(&grant, "env NO_SUCH_VARIABLE"), "not set");
    assert_eq!(ask(&grant, "env PATH"), "not set");
    let seconds: u64 = ask(&grant, "clock").split(' ').next().unwrap().parse().unwrap();
    assert!(seconds > 1_700_000_000, "{seconds}");
    assert_eq!(ask(&grant, "random 16"), "16");
    let error = ask_within(&grant, Limits::default(), "random 4294967296").unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Misuse, "{error}");
}

#[test]
fn a_granted_directory_is_all_that_a_plugin_sees() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("a.txt"), "inside").unwrap();
    std::fs::write(home.path().join("secret"), "outside").unwrap();
    std::os::unix::fs::symlink("../secret", data.join("up")).unwrap();
    std::os::unix::fs::symlink(home.path().join("secret"), data.join("absolute")).unwrap();
    std::os::unix::fs::symlink("a.txt", data.join("beside")).unwrap();
    let grant = |write| Grant {
        dirs: Some(vec![GrantedDir {
            host: data.clone(),
            guest: "/data".to_owned(),
            write,
        }]),
        ..Grant::opened()
    };
    let (read, write) = (grant(false), grant(true));
    assert_eq!(ask(&read, "read a.txt"), "inside");
    assert_eq!(ask(&read, "read beside"), "inside");
    for outside in ["../secret", "up", "absolute", "/etc/hostname", "a.txt/../../secret"] {
        let answer = ask(&write, &format!("read {outside}"));
        assert!(answer.starts_with("ErrorCode "), "{outside}: {answer}");
    }
    assert!(ask(&read, "write b.txt text").starts_with("ErrorCode "));
    assert!(!data.join("b.txt").exists());
    assert_eq!(ask(&write, "write b.txt text"), "written");
    assert_eq!(std::fs::read_to_string(data.join("b.txt")).unwrap(), "text");
    // A link that it makes itself leads nowhere either.
    ask(&write, "link ../secret own");
    assert!(ask(&write, "read own").starts_with("ErrorCode "));
    let error = ask_within(
        &grant(true),
        Limits {
            time_ms_per_call: 30,
            ..Limits::default()
        },
        "read a.txt",
    );
    assert_eq!(error.unwrap(), "inside");
}

/// A server that answers each connection with these bytes, and how many came.
fn server(answer: &'static str) -> (u16, Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let mut head = [0; 1024];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(answer.as_bytes());
            if answer.is_empty() {
                // Never answers, never closes.
                std::mem::forget(stream);
            }
        }
    });
    (port, count)
}

fn to(port: u16) -> Grant {
    Grant {
        http: Some(vec![Origin::parse(&format!("http://127.0.0.1:{port}")).unwrap()]),
        ..Grant::opened()
    }
}

#[test]
fn requests_go_to_granted_servers_and_nowhere_else() {
    let (port, count) = server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    let (other, other_count) = server("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad");
    let grant = to(port);
    assert_eq!(ask(&grant, &format!("get http://127.0.0.1:{port}/x?y=1")), "200 hello");
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1);
    for refused in [
        format!("http://127.0.0.1:{other}/"),
        format!("http://localhost:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}@127.0.0.1:{other}/"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
    ] {
        let answer = ask(&grant, &format!("get {refused}"));
        assert!(
            answer.contains("HttpRequestDenied") || answer.contains("bad authority"),
            "{refused}: {answer}"
        );
    }
    assert_eq!(other_count.load(std::sync::atomic::Ordering::SeqCst), 0);
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[test]
fn a_redirect_is_not_followed() {
    let (port, count) =
        server("HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest/meta-data\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(ask(&to(port), &format!("get http://127.0.0.1:{port}/")), "302 ");
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1);
}

fn short() -> Limits {
    Limits {
        time_ms_per_call: 30,
        ..Limits::default()
    }
}

#[test]
fn waiting_outside_counts_against_the_clock_on_the_wall() {
    let (silent, _) = server("");
    for (grant, question) in [
        (Grant::opened(), "sleep 3600000".to_owned()),
        (to(silent), format!("get http://127.0.0.1:{silent}/")),
    ] {
        let start = Instant::now();
        let error = ask_within(&grant, short(), &question).unwrap_err();
        assert_eq!(error.kind, CallErrorKind::TimedOut, "{error}");
        assert!(error.message.contains("waited"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }
    assert_eq!(ask_within(&Grant::opened(), short(), "sleep 20").unwrap(), "slept");
}

#[test]
fn a_pipe_that_nobody_writes_to_is_a_time_out() {
    let home = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(home.path().join("pipe"))
        .status();
    assert!(made.unwrap().success());
    let grant = Grant {
        dirs: Some(vec![GrantedDir {
            host: home.path().to_owned(),
            guest: "/".to_owned(),
            write: false,
        }]),
        ..Grant::opened()
    };
    let error = ask_within(&grant, short(), "read pipe").unwrap_err();
    assert_eq!(error.kind, CallErrorKind::TimedOut, "{error}");
}

#[test]
fn leaking_granted_handles_meets_a_limit() {
    let grant = Grant::opened();
    let mut before = 0;
    for round in 0..20 {
        let error = ask_within(&grant, Limits::default(), "leak").unwrap_err();
        assert_eq!(error.kind, CallErrorKind::LimitExceeded, "{error}");
        assert!(error.message.contains("`handles`"), "{error}");
        if round == 4 {
            before = resident();
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{} MiB", grown >> 20);
}

#[test]
fn requests_that_are_never_sent_hold_little() {
    let grant = Grant::opened();
    // What the first call of all needs is not counted.
    let _ = ask_within(&grant, Limits::default(), "leak").unwrap_err();
    let mut instance = link(&grant, Limits::default()).instance().unwrap();
    let before = resident();
    assert_eq!(question(instance.as_mut(), "hoard 900").unwrap(), "hoarded");
    let grown = resident().saturating_sub(before);
    // 900 times what wasmtime-wasi-http buffers by itself is 1.8 GiB.
    assert!(grown < 100 << 20, "{} MiB", grown >> 20);
    let error = question(instance.as_mut(), "hoard 900").unwrap_err();
    assert_eq!(error.kind, CallErrorKind::LimitExceeded, "{error}");
    assert!(error.message.contains("1024 at most"), "{error}");
}

#[test]
fn exit_ends_the_call_and_not_the_process() {
    let error = ask_within(&Grant::opened(), Limits::default(), "exit").unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Trap, "{error}");
    assert!(error.message.contains("`exit` with 1"), "{error}");
}

#[test]
fn standard_output_is_taken() {
    assert_eq!(ask(&Grant::opened(), "print hello"), "printed");
}

#[test]
fn an_instance_that_cannot_be_started_again_convicts_no_record() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    std::fs::create_dir(&dir).unwrap();
    let grant = Grant {
        dirs: Some(vec![GrantedDir {
            host: dir.clone(),
            guest: "/".to_owned(),
            write: false,
        }]),
        ..Grant::opened()
    };
    let mut instance = link(&grant, Limits::default()).instance().unwrap();
    std::fs::remove_dir(&dir).unwrap();
    instance.recycle().unwrap();
    let error = question(instance.as_mut(), "clock").unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("the granted directory"), "{error}");
    std::fs::create_dir(&dir).unwrap();
    question(instance.as_mut(), "clock").unwrap();
}

#[test]
fn a_granted_directory_that_has_gone_is_told() {
    let grant = Grant {
        dirs: Some(vec![GrantedDir {
            host: "/no/such/directory".into(),
            guest: "/data".to_owned(),
            write: false,
        }]),
        ..Grant::opened()
    };
    let options = LinkOptions {
        pipeline: Arc::from("test"),
        transform: Arc::from("nosy"),
        config_json: "{}".to_owned(),
        limits: Limits::default(),
    };
    let error = load(&grant).unwrap().link(options).unwrap_err();
    assert!(error.to_string().contains("/no/such/directory"), "{error}");
}
