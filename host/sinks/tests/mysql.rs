//! What only a real MySQL shows: its errors, its locks, its connections that end.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use serde_json::json;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection};
use support::mysql::MySql;
use support::proxy::Proxy;
use support::{
    KeyValue, System, batch, connector, counts, expect_fatal, expect_retriable, expected, next_of, open, partition,
    rejections, write,
};

async fn run(connection: &mut MySqlConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .expect(sql);
}

/// Every row that the server refuses is named at once, with a word for the reason.
#[tokio::test]
async fn refused_values_are_named_by_index() {
    let system = MySql::fresh().await;
    let columns = json!({"word": "VARCHAR(3)", "count": "TINYINT", "at": "DATETIME", "price": "DECIMAL(6,2)"});
    let mut sink = system.sink(&json!({"columns": columns}));
    open(&mut *sink, 0).await;
    let records: [KeyValue<'_>; 7] = [
        (
            None,
            Some(br#"{"word":"a","count":1,"at":"2026-01-02T03:04:05Z","price":12.345}"#),
        ),
        (None, Some(br#"{"word":"b","count":300}"#)),
        (None, Some(br#"{"word":"long","count":1}"#)),
        (None, Some(br#"{"word":"c","count":2,"price":"1.50"}"#)),
        (None, Some(br#"{"word":"d","at":"yesterday"}"#)),
        (None, Some(br#"{"word":"e","price":123456789}"#)),
        (None, Some(br#"{"word":"f","count":-128}"#)),
    ];
    let bad = batch(0, 0, &records);
    let found = rejections(sink.write(&bad, &[], next_of(&bad)).await);
    let named: Vec<_> = found.iter().map(|(index, code)| (*index, code.as_str())).collect();
    assert_eq!(
        named,
        [
            (1, "out-of-range"),
            (2, "too-long"),
            (4, "bad-value"),
            (5, "out-of-range")
        ]
    );
    assert_eq!(system.counts().await, expected(&[]), "nothing was written");
    sink.write(&bad, &[1, 2, 4, 5], next_of(&bad))
        .await
        .expect("the rest is written");
    let rows = system
        .query("SELECT word, CAST(count AS CHAR), CAST(at AS CHAR), CAST(price AS CHAR) FROM wordCount ORDER BY 1")
        .await;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        rows,
        [
            [text("a"), text("1"), text("2026-01-02 03:04:05"), text("12.35")],
            [text("c"), text("2"), None, text("1.50")],
            [text("f"), text("-128"), None, None],
        ]
    );
}

#[tokio::test]
async fn rows_larger_than_a_packet_are_refused() {
    let system = MySql::fresh().await;
    let mut sink = system.sink(&json!({}));
    open(&mut *sink, 0).await;
    let packet = system.query("SELECT CAST(@@max_allowed_packet AS CHAR)").await;
    let packet: usize = packet[0][0]
        .as_deref()
        .and_then(|bytes| bytes.parse().ok())
        .expect("a number");
    let value = json!({"word": "large", "count": 1, "text": "x".repeat(packet)}).to_string();
    let large = batch(0, 0, &[(None, Some(value.as_bytes()))]);
    assert_eq!(
        rejections(sink.write(&large, &[], next_of(&large)).await),
        [(0, "too-large".to_owned())]
    );
}

/// Keys that the column's collation takes for the same are one row, as the records' order has it.
#[tokio::test]
async fn forgiving_collations_keep_the_order_of_records() {
    let system = MySql::fresh().await;
    system
        .run("CREATE TABLE wordCount (word VARCHAR(50) COLLATE utf8mb4_general_ci PRIMARY KEY, count BIGINT)")
        .await;
    let mut sink = system.sink(&json!({"columns": null}));
    open(&mut *sink, 0).await;
    let words = [
        ("b", Some(1)),
        ("a", Some(2)),
        ("B", None),
        ("A", Some(3)),
        ("c", Some(1)),
        ("C", None),
        ("c", Some(9)),
    ];
    write(&mut *sink, &counts(0, 0, &words)).await;
    let rows = system.counts().await;
    assert_eq!(
        rows.iter()
            .map(|(word, count)| (word.to_lowercase(), *count))
            .collect::<Vec<_>>(),
        [("a".to_owned(), Some(3)), ("c".to_owned(), Some(9)),]
    );
}

#[tokio::test]
async fn tables_without_transactions_or_with_a_second_key_are_refused() {
    let system = MySql::fresh().await;
    system
        .run("CREATE TABLE wordCount (word VARCHAR(50) PRIMARY KEY, count BIGINT) ENGINE=MyISAM")
        .await;
    let what = expect_fatal(system.sink(&json!({"columns": null})).open(&partition(0)).await);
    assert!(what.contains("MyISAM") && what.contains("ENGINE = InnoDB"), "{what}");
    system
        .run("ALTER TABLE wordCount ENGINE=InnoDB, ADD UNIQUE second (count)")
        .await;
    let what = expect_fatal(system.sink(&json!({"columns": null})).open(&partition(0)).await);
    assert!(what.contains("another unique index, second"), "{what}");
    assert!(
        system
            .sink(&json!({"columns": null, "mode": "insert"}))
            .open(&partition(0))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn wrong_passwords_are_fatal_and_not_shown() {
    let system = MySql::fresh().await;
    let (_, place) = system.url.rsplit_once('@').expect("a URL with a user");
    let url = format!("mysql://nobody:hunter2%40x@{place}");
    let mut sink =
        wasmill_sinks::open(&connector("mysql", &system.settings(&json!({"url": url}))), "p", "0").expect("a sink");
    let what = expect_fatal(sink.open(&partition(0)).await);
    assert!(
        what.contains("Access denied") && what.contains("check user and password"),
        "{what}"
    );
    assert!(!what.contains("hunter2"), "{what}");
    let missing = system.url.replace(&system.database, "wasmill_no_such_database");
    let mut sink = wasmill_sinks::open(
        &connector("mysql", &system.settings(&json!({"url": missing}))),
        "p",
        "0",
    )
    .expect("a sink");
    let what = expect_fatal(sink.open(&partition(0)).await);
    assert!(
        what.contains("create the database") || what.contains("check user"),
        "{what}"
    );
}

#[tokio::test]
async fn an_absent_server_is_tried_again() {
    let settings = json!({"url": "mysql://a:hunter2@127.0.0.1:1/d", "table": "t", "key": ["k"]});
    let mut sink = wasmill_sinks::open(&connector("mysql", &settings), "p", "0").expect("a sink");
    let what = expect_retriable(sink.open(&partition(0)).await.map(drop));
    assert!(!what.contains("hunter2"), "{what}");
}

/// KILL between two batches.
#[tokio::test]
async fn a_killed_connection_is_replaced() {
    let system = MySql::fresh().await;
    let mut sink = system.sink(&json!({}));
    open(&mut *sink, 0).await;
    write(&mut *sink, &counts(0, 0, &[("a", Some(1))])).await;
    for id in system.connections().await {
        system.run(&format!("KILL {id}")).await;
    }
    let second = counts(0, 1, &[("a", Some(2)), ("b", Some(1))]);
    expect_retriable(sink.write(&second, &[], next_of(&second)).await);
    assert_eq!(open(&mut *sink, 0).await, Some(1));
    write(&mut *sink, &second).await;
    assert_eq!(system.counts().await, expected(&[("a", 2), ("b", 1)]));
}

/// KILL while rows are being written: the sink waits for a lock that another holds.
#[tokio::test]
async fn a_connection_killed_in_a_transaction_leaves_nothing() {
    let system = MySql::fresh().await;
    let mut sink = system.sink(&json!({}));
    open(&mut *sink, 0).await;
    write(&mut *sink, &counts(0, 0, &[("a", Some(1)), ("b", Some(1))])).await;
    let sinks_own = system.connections().await;
    let mut other = system.connect().await;
    run(&mut other, "START TRANSACTION").await;
    run(&mut other, "SELECT * FROM wordCount WHERE word = 'b' FOR UPDATE").await;
    let second = counts(0, 2, &[("a", Some(2)), ("b", Some(2))]);
    let kill = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        for id in sinks_own {
            system.run(&format!("KILL {id}")).await;
        }
    };
    let (result, ()) = tokio::join!(sink.write(&second, &[], next_of(&second)), kill);
    expect_retriable(result);
    run(&mut other, "ROLLBACK").await;
    assert_eq!(system.counts().await, expected(&[("a", 1), ("b", 1)]));
    assert_eq!(open(&mut *sink, 0).await, Some(2));
    write(&mut *sink, &second).await;
    assert_eq!(system.counts().await, expected(&[("a", 2), ("b", 2)]));
}

/// The sink is the one that InnoDB gives up: it has changed fewer rows.
#[tokio::test]
async fn a_deadlock_is_tried_again() {
    let system = MySql::fresh().await;
    let mut sink = system.sink(&json!({}));
    open(&mut *sink, 0).await;
    write(&mut *sink, &counts(0, 0, &[("a", Some(1)), ("b", Some(1))])).await;
    let mut other = system.connect().await;
    run(&mut other, "CREATE TABLE heavy (n INT)").await;
    run(&mut other, "START TRANSACTION").await;
    run(
        &mut other,
        &format!("INSERT INTO heavy VALUES {}", vec!["(1)"; 500].join(",")),
    )
    .await;
    run(&mut other, "UPDATE wordCount SET count = count + 100 WHERE word = 'b'").await;
    let second = counts(0, 2, &[("a", Some(2)), ("b", Some(2))]);
    let contend = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        run(&mut other, "UPDATE wordCount SET count = count + 100 WHERE word = 'a'").await;
        run(&mut other, "COMMIT").await;
    };
    let (result, ()) = tokio::join!(sink.write(&second, &[], next_of(&second)), contend);
    assert!(expect_retriable(result).contains("Deadlock"));
    assert_eq!(system.counts().await, expected(&[("a", 101), ("b", 101)]));
    // Its fate is known: it may be written again at once.
    write(&mut *sink, &second).await;
    assert_eq!(system.counts().await, expected(&[("a", 2), ("b", 2)]));
}

/// The server commits and nobody hears it: `open` tells, and nothing is written twice.
#[tokio::test]
async fn a_commit_without_an_answer_is_asked_about() {
    let system = MySql::fresh().await;
    let (head, tail) = system.url.rsplit_once('@').expect("a URL with a user");
    let (upstream, path) = tail.split_once('/').expect("a URL with a database");
    let proxy = Proxy::start(upstream.to_owned(), b"COMMIT").await;
    let url = format!("{head}@127.0.0.1:{}/{path}", proxy.port);
    let settings =
        json!({"url": url, "mode": "insert", "key": [], "columns": {"word": "VARCHAR(9)", "count": "BIGINT"}});
    let mut sink = system.sink(&settings);
    open(&mut *sink, 0).await;
    write(&mut *sink, &counts(0, 0, &[("a", Some(1))])).await;

    proxy.lose_answers(1);
    let second = counts(0, 1, &[("b", Some(1)), ("b", Some(2))]);
    let what = expect_retriable(sink.write(&second, &[], next_of(&second)).await);
    assert!(what.contains("not known whether the commit happened"), "{what}");
    assert_eq!(proxy.left(), 0, "the answer was lost");
    expect_retriable(sink.write(&second, &[], next_of(&second)).await);
    assert_eq!(open(&mut *sink, 0).await, Some(3), "it was committed");
    write(&mut *sink, &second).await;
    write(&mut *sink, &counts(0, 3, &[("c", Some(1))])).await;
    let rows = system
        .query("SELECT CONCAT(word, count) FROM wordCount ORDER BY 1")
        .await;
    assert_eq!(
        rows.into_iter().flatten().flatten().collect::<Vec<_>>(),
        ["a1", "b1", "b2", "c1"]
    );

    // The commit of `open` itself, too.
    proxy.lose_answers(1);
    expect_retriable(sink.open(&partition(0)).await.map(drop));
    assert_eq!(open(&mut *sink, 0).await, Some(4));
}

/// A call that is given up half-way leaves neither rows nor a connection in a transaction.
#[tokio::test]
async fn a_write_that_is_given_up_leaves_nothing() {
    let system = MySql::fresh().await;
    let mut sink = system.sink(&json!({"timeout_ms": 500}));
    open(&mut *sink, 0).await;
    write(&mut *sink, &counts(0, 0, &[("a", Some(1)), ("b", Some(1))])).await;
    let mut other = MySqlConnection::connect(&system.url).await.expect("connected");
    run(&mut other, "START TRANSACTION").await;
    run(&mut other, "SELECT * FROM wordCount WHERE word = 'b' FOR UPDATE").await;
    let second = counts(0, 2, &[("a", Some(2)), ("b", Some(2))]);
    assert!(expect_retriable(sink.write(&second, &[], next_of(&second)).await).contains("no answer within 500ms"));
    run(&mut other, "ROLLBACK").await;
    assert_eq!(open(&mut *sink, 0).await, Some(2));
    write(&mut *sink, &second).await;
    assert_eq!(system.counts().await, expected(&[("a", 2), ("b", 2)]));
}
