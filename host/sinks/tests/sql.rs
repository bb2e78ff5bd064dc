//! What both databases do with modes, types, tables and older writers, in the words of each.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use record::sink::SinkError;
use serde_json::json;
use support::mysql::MySql;
use support::sqlite::Sqlite;
use support::{
    KeyValue, System, batch, connector, counts, expect_fatal, expect_retriable, expected, next_of, open, partition,
    rejections, write,
};

/// Runs the same case on both.
macro_rules! both {
    ($($case:ident),+ $(,)?) => {
        mod mysql {
            $(#[tokio::test]
            async fn $case() {
                super::$case(<super::MySql as super::System>::fresh().await).await;
            })+
        }
        mod sqlite {
            $(#[tokio::test]
            async fn $case() {
                super::$case(<super::Sqlite as super::System>::fresh().await).await;
            })+
        }
    };
}

both!(
    an_older_writer_is_fenced,
    a_write_needs_an_open,
    other_incarnations_start_anew,
    inserts_keep_every_record,
    a_missing_table_is_named,
    tables_that_do_not_fit_are_refused,
    columns_are_derived_from_the_first_batch,
    tombstones_first_leave_the_table_for_later,
    missing_fields_take_the_default,
    composite_keys_name_rows_by_json,
    number_keys_are_found_by_tombstones,
    generated_columns_are_left_to_the_database,
);

trait Sql: System {
    async fn run_sql(&self, sql: &str);
    async fn query_sql(&self, sql: &str) -> Vec<Vec<Option<String>>>;
    /// `columns` in the words of the database.
    fn is_mysql(&self) -> bool;
}

impl Sql for MySql {
    async fn run_sql(&self, sql: &str) {
        self.run(sql).await;
    }

    async fn query_sql(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.query(sql).await
    }

    fn is_mysql(&self) -> bool {
        true
    }
}

impl Sql for Sqlite {
    async fn run_sql(&self, sql: &str) {
        self.run(sql).await;
    }

    async fn query_sql(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.query(sql).await
    }

    fn is_mysql(&self) -> bool {
        false
    }
}

fn texts(rows: &[&[&str]]) -> Vec<Vec<Option<String>>> {
    rows.iter()
        .map(|row| row.iter().map(|cell| Some((*cell).to_owned())).collect())
        .collect()
}

async fn an_older_writer_is_fenced(system: impl Sql) {
    let mut old = system.sink(&json!({}));
    open(&mut *old, 0).await;
    open(&mut *old, 1).await;
    write(&mut *old, &counts(0, 0, &[("a", Some(1))])).await;

    let mut new = system.sink(&json!({}));
    assert_eq!(open(&mut *new, 0).await, Some(1));
    let zombie = counts(0, 1, &[("a", Some(-1))]);
    let result = old.write(&zombie, &[], next_of(&zombie)).await;
    assert!(
        matches!(&result, Err(SinkError::Fenced { at }) if *at == partition(0).at),
        "{result:?}"
    );
    write(&mut *new, &counts(0, 1, &[("a", Some(2))])).await;
    assert_eq!(system.counts().await, expected(&[("a", 2)]));

    // The partition that was not taken over goes on.
    write(&mut *old, &counts(1, 0, &[("b", Some(1))])).await;
    assert_eq!(system.counts().await, expected(&[("a", 2), ("b", 1)]));
    let epochs = system
        .query_sql("SELECT CAST(topic_partition AS CHAR), CAST(next_offset AS CHAR), CAST(epoch AS CHAR) FROM wasmill_offsets ORDER BY 1")
        .await;
    assert_eq!(epochs, texts(&[&["0", "2", "2"], &["1", "1", "1"]]));
}

async fn a_write_needs_an_open(system: impl Sql) {
    let mut sink = system.sink(&json!({}));
    let early = counts(0, 0, &[("a", Some(1))]);
    assert!(expect_retriable(sink.write(&early, &[], next_of(&early)).await).contains("opened first"));
    open(&mut *sink, 0).await;
    write(&mut *sink, &early).await;
    sink.close(&partition(0).at).await;
    let late = counts(0, 1, &[("a", Some(2))]);
    expect_retriable(sink.write(&late, &[], next_of(&late)).await);
    assert_eq!(system.counts().await, expected(&[("a", 1)]));
}

/// A reset pipeline has another incarnation, a recreated topic another id: both begin again.
async fn other_incarnations_start_anew(system: impl Sql) {
    let mut sink = system.sink(&json!({}));
    open(&mut *sink, 0).await;
    write(&mut *sink, &counts(0, 70, &[("a", Some(1))])).await;
    let mut recreated = partition(0);
    recreated.topic_id = "topic-id-2".to_owned();
    assert_eq!(sink.open(&recreated).await.expect("opened"), None);
    write(&mut *sink, &counts(0, 0, &[("a", Some(2))])).await;
    assert_eq!(system.counts().await, expected(&[("a", 2)]));
    assert_eq!(open(&mut *sink, 0).await, Some(71));
}

async fn inserts_keep_every_record(system: impl Sql) {
    let mut sink = system.sink(&json!({"mode": "insert", "key": [], "columns": null, "create_table": true}));
    open(&mut *sink, 0).await;
    let all = counts(0, 0, &[("a", Some(1)), ("a", Some(1)), ("b", Some(2))]);
    write(&mut *sink, &all).await;
    assert_eq!(open(&mut *sink, 0).await, Some(3));
    write(&mut *sink, &all).await;
    let rows = "SELECT word, CAST(count AS CHAR) FROM wordCount ORDER BY 1, 2";
    assert_eq!(
        system.query_sql(rows).await,
        texts(&[&["a", "1"], &["a", "1"], &["b", "2"]])
    );
    let tombstone = counts(0, 3, &[("a", None)]);
    assert_eq!(
        rejections(sink.write(&tombstone, &[], next_of(&tombstone)).await),
        [(0, "bad-key".to_owned())]
    );

    // With a key: every duplicate is named, the first one in the batch stays.
    system.run_sql("DROP TABLE wordCount").await;
    let mut sink = system.sink(&json!({"mode": "insert"}));
    open(&mut *sink, 0).await;
    write(&mut *sink, &counts(0, 3, &[("a", Some(1))])).await;
    let words = [
        ("b", Some(1)),
        ("a", Some(2)),
        ("b", Some(3)),
        ("a", None),
        ("a", Some(4)),
        ("c", Some(1)),
    ];
    let more = counts(0, 4, &words);
    let found = rejections(sink.write(&more, &[], next_of(&more)).await);
    assert_eq!(
        found,
        [(1, "duplicate-key".to_owned()), (2, "duplicate-key".to_owned())]
    );
    assert_eq!(system.counts().await, expected(&[("a", 1)]), "nothing was written");
    sink.write(&more, &[1, 2], next_of(&more))
        .await
        .expect("the rest is written");
    assert_eq!(system.counts().await, expected(&[("a", 4), ("b", 1), ("c", 1)]));
}

async fn a_missing_table_is_named(system: impl Sql) {
    let mut sink = system.sink(&json!({"create_table": false}));
    let what = expect_fatal(sink.open(&partition(0)).await);
    assert!(
        what.contains("table wordCount") && what.contains("create_table = true"),
        "{what}"
    );
}

async fn tables_that_do_not_fit_are_refused(system: impl Sql) {
    system
        .run_sql("CREATE TABLE wordCount (word VARCHAR(100) NOT NULL, count BIGINT)")
        .await;
    let what = expect_fatal(system.sink(&json!({"columns": null})).open(&partition(0)).await);
    assert!(
        what.contains("no unique index on word") && what.contains("ADD UNIQUE (word)"),
        "{what}"
    );
    let what = expect_fatal(
        system
            .sink(&json!({"columns": null, "key": ["wort"]}))
            .open(&partition(0))
            .await,
    );
    assert!(what.contains("no column wort"), "{what}");
    let what = expect_fatal(system.sink(&json!({})).open(&partition(0)).await);
    assert!(what.contains("no column text"), "{what}");
}

async fn columns_are_derived_from_the_first_batch(system: impl Sql) {
    let mut sink = system.sink(&json!({"columns": null}));
    open(&mut *sink, 0).await;
    let records: [KeyValue<'_>; 2] = [
        (
            None,
            Some(br#"{"word":"a","i":1,"f":2,"u":18446744073709551615,"b":true,"o":{"x":[1]},"s":"t","n":null,"m":1}"#),
        ),
        (None, Some(br#"{"word":"b","i":-1,"f":0.5,"b":false,"m":"x"}"#)),
    ];
    write(&mut *sink, &batch(0, 0, &records)).await;
    let declared = if system.is_mysql() {
        "SELECT CAST(COLUMN_NAME AS CHAR), CAST(COLUMN_TYPE AS CHAR) FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'wordCount' ORDER BY ORDINAL_POSITION"
    } else {
        "SELECT name, type FROM pragma_table_info('wordCount') ORDER BY cid"
    };
    let found = system.query_sql(declared).await;
    let types: Vec<String> = found
        .into_iter()
        .map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(" "))
        .collect();
    if system.is_mysql() {
        let json = types
            .iter()
            .find(|of| of.starts_with("o "))
            .cloned()
            .unwrap_or_default();
        assert!(json == "o json" || json == "o longtext", "{json}");
        let expected = [
            "word varchar(255)",
            "i bigint(20)",
            "f double",
            "u bigint(20) unsigned",
            "b bigint(20)",
            &json,
            "s longtext",
            "n longtext",
            "m longtext",
        ];
        assert_eq!(
            types.join(";").replace("bigint unsigned", "bigint(20) unsigned"),
            expected.join(";")
        );
    } else {
        let expected = [
            "word TEXT",
            "i INTEGER",
            "f REAL",
            "u TEXT",
            "b INTEGER",
            "o JSON",
            "s TEXT",
            "n TEXT",
            "m TEXT",
        ];
        assert_eq!(types, expected);
    }
    let row = system
        .query_sql("SELECT word, CAST(i AS CHAR), CAST(u AS CHAR), CAST(b AS CHAR), s, n, m FROM wordCount ORDER BY 1")
        .await;
    let text = |text: &str| Some(text.to_owned());
    let a = [
        text("a"),
        text("1"),
        text("18446744073709551615"),
        text("1"),
        text("t"),
        None,
        text("1"),
    ];
    let b = [text("b"), text("-1"), None, text("0"), None, None, text("x")];
    assert_eq!(row, [a.to_vec(), b.to_vec()]);

    // A field that came later has no column.
    let late = batch(0, 2, &[(None, Some(br#"{"word":"c","late":1}"#))]);
    assert_eq!(
        rejections(sink.write(&late, &[], next_of(&late)).await),
        [(0, "unknown-field".to_owned())]
    );

    // Records without the key make no table.
    system.run_sql("DROP TABLE wordCount").await;
    let mut sink = system.sink(&json!({"columns": null}));
    open(&mut *sink, 1).await;
    let keyless = batch(1, 0, &[(None, Some(br#"{"i":1}"#)), (None, Some(br#"{"word":"a"}"#))]);
    assert_eq!(
        rejections(sink.write(&keyless, &[], next_of(&keyless)).await),
        [(0, "missing-key".to_owned())]
    );
    sink.write(&keyless, &[0], next_of(&keyless)).await.expect("written");
    assert_eq!(system.query_sql("SELECT word FROM wordCount").await, texts(&[&["a"]]));
}

async fn tombstones_first_leave_the_table_for_later(system: impl Sql) {
    let mut sink = system.sink(&json!({"columns": null}));
    open(&mut *sink, 0).await;
    write(&mut *sink, &counts(0, 0, &[("a", None)])).await;
    assert_eq!(open(&mut *sink, 0).await, Some(1));
    write(&mut *sink, &counts(0, 1, &[("a", Some(1)), ("b", None)])).await;
    assert_eq!(system.counts().await, expected(&[("a", 1)]));
}

async fn missing_fields_take_the_default(system: impl Sql) {
    system
        .run_sql("CREATE TABLE wordCount (word VARCHAR(100) NOT NULL PRIMARY KEY, count BIGINT DEFAULT 42, text VARCHAR(9) NOT NULL)")
        .await;
    let mut sink = system.sink(&json!({"columns": null}));
    open(&mut *sink, 0).await;
    let records: [KeyValue<'_>; 3] = [
        (None, Some(br#"{"word":"a","text":"x","count":1}"#)),
        (None, Some(br#"{"word":"b","text":"x"}"#)),
        (None, Some(br#"{"word":"c","count":null,"text":"x"}"#)),
    ];
    write(&mut *sink, &batch(0, 0, &records)).await;
    let mut rows = expected(&[("a", 1), ("b", 42)]);
    rows.insert("c".to_owned(), None);
    assert_eq!(system.counts().await, rows);
    // A record is the whole row.
    write(&mut *sink, &batch(0, 3, &[(None, Some(br#"{"word":"a","text":"x"}"#))])).await;
    rows.insert("a".to_owned(), Some(42));
    assert_eq!(system.counts().await, rows);
    // Columns that the settings leave out stay as they are.
    let mut part = system.sink(&json!({"columns": {"word": "VARCHAR(100)", "text": "VARCHAR(9)"}}));
    open(&mut *part, 0).await;
    write(&mut *part, &batch(0, 4, &[(None, Some(br#"{"word":"a","text":"y"}"#))])).await;
    assert_eq!(system.text("a").await, Some(Some("y".to_owned())));
    assert_eq!(system.counts().await, rows);
    let without = batch(
        0,
        5,
        &[
            (None, Some(br#"{"word":"d"}"#)),
            (None, Some(br#"{"word":"e","text":null}"#)),
        ],
    );
    let found = rejections(part.write(&without, &[], next_of(&without)).await);
    assert_eq!(
        found,
        [(0, "null-not-allowed".to_owned()), (1, "null-not-allowed".to_owned())]
    );
}

async fn composite_keys_name_rows_by_json(system: impl Sql) {
    let columns = json!({"room": "VARCHAR(50)", "day": "INTEGER", "count": "BIGINT"});
    let mut sink = system.sink(&json!({"key": ["room", "day"], "columns": columns}));
    open(&mut *sink, 0).await;
    let records: [KeyValue<'_>; 6] = [
        (None, Some(br#"{"room":"k","day":1,"count":1}"#)),
        (None, Some(br#"{"room":"k","day":2,"count":1}"#)),
        (None, Some(br#"{"room":"l","day":1,"count":1}"#)),
        (None, Some(br#"{"room":"k","day":1,"count":2}"#)),
        (Some(br#"["k",2]"#), None),
        (Some(br#"{"day":1,"room":"l"}"#), None),
    ];
    write(&mut *sink, &batch(0, 0, &records)).await;
    let rows = "SELECT room, CAST(day AS CHAR), CAST(count AS CHAR) FROM wordCount ORDER BY 1, 2";
    assert_eq!(system.query_sql(rows).await, texts(&[&["k", "1", "2"]]));
    let bad = batch(
        0,
        6,
        &[
            (Some(b"k"), None),
            (Some(br#"["k"]"#), None),
            (Some(br#"["k",null]"#), None),
        ],
    );
    let found = rejections(sink.write(&bad, &[], next_of(&bad)).await);
    assert_eq!(
        found.iter().map(|(_, code)| code.as_str()).collect::<Vec<_>>(),
        ["bad-key"; 3]
    );
}

async fn number_keys_are_found_by_tombstones(system: impl Sql) {
    let mut sink = system.sink(&json!({"key": ["id"], "columns": {"id": "BIGINT", "count": "BIGINT"}}));
    open(&mut *sink, 0).await;
    let records: [KeyValue<'_>; 4] = [
        (Some(b"7"), Some(br#"{"id":7,"count":1}"#)),
        (Some(b"-8"), Some(br#"{"id":-8,"count":1}"#)),
        (Some(b"9"), Some(br#"{"id":9.0,"count":1}"#)),
        (Some(b"7"), None),
    ];
    write(&mut *sink, &batch(0, 0, &records)).await;
    let rows = "SELECT CAST(id AS CHAR), CAST(count AS CHAR) FROM wordCount ORDER BY id";
    assert_eq!(system.query_sql(rows).await, texts(&[&["-8", "1"], &["9", "1"]]));
    let bad = batch(
        0,
        4,
        &[
            (Some(b"seven"), None),
            (Some(b"\xff"), None),
            (None, Some(br#"{"id":"7"}"#)),
        ],
    );
    let found = rejections(sink.write(&bad, &[], next_of(&bad)).await);
    let codes = ["bad-key", "bad-key", "wrong-type"];
    assert_eq!(found.iter().map(|(_, code)| code.as_str()).collect::<Vec<_>>(), codes);
}

async fn generated_columns_are_left_to_the_database(system: impl Sql) {
    let id = if system.is_mysql() {
        "BIGINT AUTO_INCREMENT PRIMARY KEY"
    } else {
        "INTEGER PRIMARY KEY"
    };
    system
        .run_sql(&format!(
            "CREATE TABLE wordCount (id {id}, word VARCHAR(100) NOT NULL, count BIGINT, \
             twice BIGINT GENERATED ALWAYS AS (count * 2) STORED, UNIQUE (word))"
        ))
        .await;
    let mut sink = system.sink(&json!({"columns": null}));
    open(&mut *sink, 0).await;
    write(&mut *sink, &counts(0, 0, &[("a", Some(1)), ("b", Some(2))])).await;
    let before = system
        .query_sql("SELECT CAST(id AS CHAR), word FROM wordCount ORDER BY 2")
        .await;
    write(&mut *sink, &counts(0, 2, &[("a", Some(5))])).await;
    assert_eq!(
        system
            .query_sql("SELECT CAST(id AS CHAR), word FROM wordCount ORDER BY 2")
            .await,
        before
    );
    let twice = system
        .query_sql("SELECT word, CAST(twice AS CHAR) FROM wordCount ORDER BY 1")
        .await;
    assert_eq!(twice, texts(&[&["a", "10"], &["b", "4"]]));
}

#[tokio::test]
async fn sqlite_says_what_is_wrong_with_the_path() {
    let settings = json!({"path": "/nonexistent/out.db", "table": "t", "key": ["k"]});
    let mut sink = wasmill_sinks::open(&connector("sqlite", &settings), "p", "0").expect("a sink");
    let what = expect_fatal(sink.open(&partition(0)).await);
    assert!(what.contains("check `path`"), "{what}");
}

#[tokio::test]
async fn sqlite_waits_for_another_writer_and_then_says_so() {
    let system = Sqlite::fresh().await;
    let mut sink = system.sink(&json!({}));
    open(&mut *sink, 0).await;
    let mut other = system.connect().await;
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .expect("locked");
    let one = counts(0, 0, &[("a", Some(1))]);
    assert!(expect_retriable(sink.write(&one, &[], next_of(&one)).await).contains("locked"));
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("unlocked");
    write(&mut *sink, &one).await;
    assert_eq!(system.counts().await, expected(&[("a", 1)]));
}

#[test]
fn settings_that_do_not_fit_are_named() {
    for (settings, part) in [
        (
            json!({"url": "mysql://h/d", "table": "t"}),
            "mode \"upsert\" needs `key`",
        ),
        (
            json!({"url": "mysql://h/d", "table": "t", "key": ["a", "a"]}),
            "names a twice",
        ),
        (
            json!({"url": "mysql://h/d", "table": "t", "key": ["a"], "columns": {"b": "INT"}}),
            "not among `columns`",
        ),
        (
            json!({"url": "mysql://h/d", "table": "t", "key": ["a"], "columns": {"a": "INT); DROP TABLE x"}}),
            "type of column a",
        ),
        (
            json!({"url": "mysql://h/d", "table": "wasmill_offsets", "key": ["a"]}),
            "positions are kept",
        ),
        (
            json!({"url": "mysql://bob:hunter2@h", "table": "t", "key": ["a"]}),
            "names no database",
        ),
        (json!({"url": "bob:hunter2@h/d", "table": "t", "key": ["a"]}), "`url`"),
        (
            json!({"url": "mysql://h/d", "table": "t", "key": ["a"], "mode": "hunter2"}),
            "unknown variant",
        ),
    ] {
        let what = expect_fatal(wasmill_sinks::open(&connector("mysql", &settings), "p", "0").map(drop));
        assert!(what.contains(part) && !what.contains("hunter2"), "{what}");
    }
}
