//! The web page in a real browser: host/server/ui/tests says what is clicked. Leaves a screenshot of each view in
//! target/screenshots.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::secrets::MARK;
use common::served::Served;

/// Counts words that never end.
const WORDS: &str = r#"
name = "words"
create_topics = true
[sources.lines]
type = "generator"
kind = "template"
template = "the quick brown fox jumps over lazy dog number {n}"
rate = 40
[transforms.split]
inputs = ["lines"]
type = "wasm"
plugin = "../word_split.wasm"
[transforms.count]
inputs = ["split"]
type = "wasm"
plugin = "../word_count.wasm"
[sinks.totals]
inputs = ["count"]
type = "blackhole"
[sinks.counts]
inputs = ["count"]
type = "kafka"
topic = "word-counts"
"#;

/// Refuses some of its records.
const ORDERS: &str = r#"
name = "orders"
create_topics = true
[sources.orders]
type = "file"
path = "orders.ndjson"
format = "ndjson"
key = "/k"
loop = true
rate = 20
[transforms.check]
inputs = ["orders"]
type = "wasm"
plugin = "../poison.wasm"
on_error = "dead_letter"
[sinks.checked]
inputs = ["check"]
type = "kafka"
topic = "checked"
"#;

/// A line of the input of `orders`: each fifth is refused, each twentieth traps.
fn order(n: usize) -> String {
    let says = match n % 20 {
        3 => "poison",
        8 | 13 | 18 => "bad",
        _ => "fine",
    };
    let hostile = r#"<img src=x onerror=\"window.hacked=1\"><script>window.hacked=1</script>"#;
    format!(r#"{{"k":"k{}","v":"{hostile} {says} {n}"}}"#, n % 10)
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ui/tests")
}

fn on_path(command: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(command))
        .find(|file| file.is_file())
}

/// The browser, or what is missing.
fn browser() -> Result<PathBuf, &'static str> {
    let named = std::env::var_os("WASMILL_CHROMIUM")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
    let browser = named
        .or_else(|| {
            ["chromium", "chromium-browser", "google-chrome"]
                .iter()
                .find_map(|name| on_path(name))
        })
        .ok_or("Chromium (Debian: apt-get install chromium), or its path in WASMILL_CHROMIUM")?;
    on_path("node").ok_or("Node 20 (Debian: apt-get install nodejs)")?;
    if !tests().join("node_modules/playwright-core").is_dir() {
        return Err("Playwright (`npm ci` in host/server/ui/tests)");
    }
    Ok(browser)
}

/// Runs one of the scripts. Where there is no browser it says so, and fails if that was asked for.
fn click_through(script: &str, url: &str) {
    let browser = match browser() {
        Ok(browser) => browser,
        Err(missing) => {
            let required = std::env::var("WASMILL_TEST_PAGE").is_ok_and(|wanted| wanted == "required");
            assert!(!required, "the page cannot be tested without {missing}");
            // Past the capture of the test runner: nobody shall believe that it was tested.
            let _ = writeln!(
                std::io::stderr(),
                "\n*** NOT TESTED: the web page ({script}): there is no {missing} ***\n"
            );
            return;
        }
    };
    let shots = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/screenshots");
    let output = Command::new("node")
        .args(["--test-reporter=spec", script])
        .current_dir(tests())
        .env("WASMILL_CHROMIUM", browser)
        .env("WASMILL_PAGE_SHOTS", shots)
        .env("WASMILL_PAGE_URL", url)
        .env("WASMILL_PAGE_SECRET", MARK)
        .env("NO_COLOR", "1")
        .output()
        .expect("node starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    println!("{said}");
}

#[test]
fn the_page_of_a_process_that_runs() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for plugin in ["word_split", "word_count", "poison"] {
        let file = format!("{plugin}.wasm");
        let built = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../plugins/dist")
            .join(&file);
        std::fs::copy(&built, dir.join(&file)).expect("`wasmill build plugins` and `plugins/misbehaving/poison`");
    }
    let pipelines = dir.join("pipelines");
    std::fs::create_dir(&pipelines).unwrap();
    std::fs::write(pipelines.join("words.toml"), WORDS).unwrap();
    std::fs::write(pipelines.join("orders.toml"), ORDERS).unwrap();
    let lines: Vec<String> = (0..200).map(order).collect();
    std::fs::write(pipelines.join("orders.ndjson"), lines.join("\n") + "\n").unwrap();

    let process = Served::run(dir, &["pipelines", "--embedded", "--no-watch"]);
    click_through("page.mjs", &format!("http://{}", process.api));
}

/// Hostile records, an API that tells little, one that goes away: answers are invented.
#[test]
fn the_page_on_bad_days() {
    click_through("bad_days.mjs", "");
}

/// Rates, quantiles, the layout, how values are written.
#[test]
fn what_the_page_computes() {
    click_through("units.mjs", "");
}
