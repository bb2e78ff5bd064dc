//! The commands that the READMEs show, in a copy of the pipelines: verbatim on the embedded log, and
//! against real services with their addresses.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod common;
mod listening;
mod services;

use std::path::Path;

use services::{brokers, mongodb_url, mysql_url, plugin, root, unique};

/// The pipelines and the plugins, as in the repository.
fn copy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let plugins = dir.path().join("plugins/dist");
    std::fs::create_dir_all(&plugins).unwrap();
    for name in [
        "word_split",
        "word_count",
        "temperature",
        "label",
        "enrich",
        "game_stats",
        "recommend",
        "popularity",
        "cooccurrence",
    ] {
        std::fs::copy(plugin(name), plugins.join(format!("{name}.wasm"))).unwrap();
    }
    for entry in std::fs::read_dir(root().join("pipelines")).unwrap() {
        let from = entry.unwrap().path();
        let to = dir.path().join("pipelines").join(from.file_name().unwrap());
        std::fs::create_dir_all(&to).unwrap();
        for file in std::fs::read_dir(&from).unwrap() {
            let file = file.unwrap().path();
            // Databases are what somebody's own run has left.
            if file.extension().is_some_and(|extension| extension != "db") {
                std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
            }
        }
    }
    dir
}

/// The commands on the embedded log that a README shows.
fn embedded_commands(readme: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(readme)).unwrap();
    let commands: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("    wasmill "))
        .filter(|line| line.contains("--embedded"))
        // What listens needs somebody who sends: tests of their own do that.
        .filter(|line| !line.contains("--embedded=.wasmill/http"))
        // In the project that `wasmill new` writes: the tests of building run those.
        .filter(|line| !line.contains("clicks"))
        .map(str::to_owned)
        .collect();
    assert!(!commands.is_empty(), "{readme}");
    commands
}

fn run(dir: &Path, arguments: &[&str], variables: &[(&str, String)]) -> String {
    let mut command = common::command(dir, arguments);
    command.envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
    let output = command.output().unwrap();
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{arguments:?}: {}\n{}\n{}",
        output.status,
        shown(&output.stdout),
        shown(&output.stderr)
    );
    shown(&output.stdout)
}

#[test]
fn the_commands_on_the_embedded_log() {
    for readme in [
        "README.md",
        "pipelines/word-count/README.md",
        "pipelines/temperature/README.md",
        "pipelines/numbers/README.md",
    ] {
        let dir = copy();
        for command in embedded_commands(readme) {
            let mut arguments: Vec<&str> = command.split_whitespace().collect();
            if !command.contains("--until-end") {
                // As its README says, for a run that ends.
                arguments.extend("--until-end --set sources.a.count=5 --set sources.b.count=3".split(' '));
            }
            let printed = run(dir.path(), &arguments, &[]);
            if command.contains("numbers") {
                assert!(printed.contains("A: 4\n") && printed.contains("B: 5\n"), "{printed}");
            }
            if command.contains("consume") {
                assert!(printed.contains(r#""count":"#), "{printed}");
            }
        }
    }
}

#[test]
fn every_pipeline_is_drawn() {
    let dir = copy();
    for name in ["word-count", "temperature", "numbers", "game-events"] {
        let file = format!("pipelines/{name}/pipeline.toml");
        let variables = [("MYSQL_URL", mysql_url()), ("MONGODB_URL", mongodb_url())];
        for format in ["text", "mermaid", "dot", "json"] {
            let drawn = run(dir.path(), &["graph", &file, "--format", format], &variables);
            assert!(!drawn.is_empty());
        }
    }
}

/// The lines of a README that are commands.
fn shown(readme: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(readme)).unwrap();
    let commands = text.lines().filter_map(|line| line.strip_prefix("    "));
    commands.map(str::to_owned).collect()
}

#[test]
fn game_events_is_played_with_curl_and_shown_as_tables() {
    let dir = copy();
    let commands = shown("pipelines/game-events/README.md");
    let run_command = commands.iter().find(|line| line.starts_with("wasmill run")).unwrap();
    let arguments: Vec<&str> = run_command
        .split(' ')
        .skip(2)
        .chain(["--set", "sources.events.listen=127.0.0.1:0"])
        .collect();
    let mut process = listening::Listening::run(dir.path(), &arguments);
    let client = process.client();
    client.until_written("POST", "/");
    let mut answers = String::new();
    let (asked, played): (Vec<_>, Vec<_>) = commands
        .iter()
        .filter(|line| line.starts_with("curl "))
        .partition(|line| line.contains("/state/"));
    for command in played {
        let command = command.replace("127.0.0.1:5000", &client.address.to_string());
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("{} -sS --fail", command)])
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        common::said(&command, &output.stdout);
        answers.push_str(&String::from_utf8(output.stdout).unwrap());
    }
    assert_eq!(
        answers,
        "This is the default response!\nSword Purchased!\nKnife Purchased!\nJoined Guild!\n"
    );
    let [purchases, members] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    let state = |command: &str, wanted: &str| {
        let (_, path) = command.split_once(":7077").unwrap();
        let path = path.trim_end_matches('\'');
        let deadline = std::time::Instant::now() + listening::WAIT;
        loop {
            // It has what is committed.
            let answer = process.api(path);
            if answer.contains(wanted) {
                return answer;
            }
            assert!(std::time::Instant::now() < deadline, "{answer}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    let bought: serde_json::Value = serde_json::from_str(&state(purchases, "\"knife\"")).unwrap();
    assert_eq!(bought["value"], serde_json::json!({"knife": 1, "sword": 1}), "{bought}");
    let joined: serde_json::Value = serde_json::from_str(&state(members, "bob.example")).unwrap();
    assert_eq!(joined["entries"].as_array().map(Vec::len), Some(1), "{joined}");
    assert_eq!(joined["entries"][0]["value"]["requests"], 1, "{joined}");
    process.terminate();
    let bounded: Vec<&str> = commands
        .iter()
        .find(|line| line.starts_with("wasmill run") && line.contains("--until-end"))
        .map(|line| line.split(' ').skip(1).collect())
        .unwrap();
    self::run(dir.path(), &bounded, &[]);
    let mut tables = Vec::new();
    for command in commands.iter().filter(|line| line.starts_with("wasmill consume")) {
        let arguments: Vec<&str> = command.split(' ').skip(1).collect();
        tables.push(self::run(dir.path(), &arguments, &[]));
    }
    let [raw, enriched, players] = tables.as_slice() else {
        panic!("{} tables", tables.len());
    };
    let line = |table: &str, parts: &[&str]| table.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(
        line(
            raw,
            &["partition", "offset", "timestamp", "key", "event_type", "headers"]
        ),
        "{raw}"
    );
    assert!(
        line(
            raw,
            &["ada.example", "purchase_sword", "Host=ada.example", "User-Agent=curl/"]
        ),
        "{raw}"
    );
    assert!(
        line(enriched, &["event_type", "Accept", "Host", "User-Agent"]),
        "{enriched}"
    );
    assert!(
        line(enriched, &["ada.example", "purchase_knife", "*/*", "curl/"]),
        "{enriched}"
    );
    assert!(
        line(players, &["ada.example", r#"{"knife":1,"sword":1}"#, "false"]),
        "{players}"
    );
    assert!(line(players, &["bob.example", "{}", "true"]), "{players}");
}

#[test]
fn sensors_send_their_readings_by_http() {
    let dir = copy();
    let commands = shown("pipelines/temperature/README.md");
    let with = |part: &str| commands.iter().find(|line| line.contains(part)).unwrap();
    let arguments: Vec<&str> = with("http.toml")
        .split(' ')
        .skip(2)
        .chain(["--set", "sources.sensors.listen=127.0.0.1:0"])
        .collect();
    let mut process = listening::Listening::run(dir.path(), &arguments);
    let client = process.client();
    client.until_written("POST", "/rooms/room-1/readings?temp=20");
    let output = std::process::Command::new("sh")
        .current_dir(root())
        .args(["-c", &format!("{} http://{}", with("sensors.sh"), client.address)])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "sent 60 readings of 3 rooms\n"
    );
    process.terminate();
    let bounded = [
        "run",
        "pipelines/temperature/http.toml",
        "--embedded=.wasmill/http",
        "--until-end",
    ];
    run(dir.path(), &bounded, &[]);
    let consume: Vec<&str> = with("consume alpha --embedded").split(' ').skip(1).collect();
    let table = run(dir.path(), &consume, &[]);
    let rows = table.lines().filter(|line| line.contains("room-")).count();
    assert_eq!(rows, 61, "{table}");
    assert!(
        table.lines().any(|line| line.contains("delta") && line.contains("avg")),
        "{table}"
    );
}

#[test]
fn word_count_on_kafka_and_mysql() {
    let dir = copy();
    let name = unique("readme");
    let table = name.replace('-', "_");
    let arguments = format!(
        "run pipelines/word-count/pipeline.toml --until-end --set name={name} --set kafka.brokers={} \
         --set sinks.counts.topic={name}-counts --set sinks.totals.table={table}",
        brokers()
    );
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    run(dir.path(), &arguments, &[("MYSQL_URL", mysql_url())]);
    let words = std::fs::read_to_string(root().join("pipelines/word-count/lines.txt")).unwrap();
    let words = words
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .count();
    let total: (f64,) = services::runtime().block_on(async {
        use sqlx::Connection as _;
        let mut connection = sqlx::MySqlConnection::connect(&mysql_url()).await.unwrap();
        let sum = sqlx::AssertSqlSafe(format!("select cast(sum(`count`) as double) from `{table}`"));
        sqlx::query_as(sum).fetch_one(&mut connection).await.unwrap()
    });
    assert_eq!(total.0, words as f64);
}

/// The command of the README, on less data: items that go together are a better guess than what is popular.
#[test]
fn the_recommender_is_better_than_popularity() {
    let readme = std::fs::read_to_string(root().join("pipelines/recommender/README.md")).unwrap();
    let command = "python3 pipelines/recommender/recommender.py recall";
    assert!(readme.contains(&format!("    {command}\n")), "{readme}");
    let dir = copy();
    let mut words = command.split(' ');
    let output = std::process::Command::new(words.next().unwrap())
        .args(words)
        .args(["--users", "150", "--items", "400"])
        .current_dir(dir.path())
        .env("WASMILL", env!("CARGO_BIN_EXE_wasmill"))
        .envs(common::secrets::ENVIRONMENT)
        .output()
        .expect("Python 3");
    common::said(command, &output.stdout);
    common::said(command, &output.stderr);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let recall = |model: &str| -> f64 {
        let line = printed.lines().find_map(|line| line.trim().strip_prefix(model));
        line.unwrap().split_whitespace().next().unwrap().parse().unwrap()
    };
    let (popularity, items, users) = (recall("popularity"), recall("items"), recall("users"));
    assert!(
        items > popularity && users > popularity && popularity > 0.0,
        "{printed}"
    );
}
