//! A SQLite file of a test's own.

use std::collections::BTreeMap;

use record::sink::Sink;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use tempfile::TempDir;

use super::{System, connector, over};

pub(crate) struct Sqlite {
    pub(crate) directory: TempDir,
}

impl Sqlite {
    pub(crate) async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new()
            .filename(self.directory.path().join("out.db"))
            .create_if_missing(true);
        options.connect().await.expect("connected")
    }

    pub(crate) async fn run(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut self.connect().await)
            .await
            .expect(sql);
    }

    /// The rows of a query whose columns are all text.
    pub(crate) async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let rows = sqlx::query(AssertSqlSafe(sql.to_owned()))
            .fetch_all(&mut self.connect().await)
            .await
            .expect(sql);
        rows.iter()
            .map(|row| {
                (0..row.len())
                    .map(|i| row.try_get_unchecked(i).expect("text"))
                    .collect()
            })
            .collect()
    }

    pub(crate) fn settings(&self, more: &Value) -> Value {
        let base = json!({
            "path": self.directory.path().join("out.db"),
            "table": "wordCount",
            "key": ["word"],
            "create_table": true,
            "columns": {"word": "TEXT", "count": "INTEGER", "text": "TEXT"},
        });
        over(base, more)
    }
}

pub(crate) fn as_counts(rows: Vec<Vec<Option<String>>>) -> BTreeMap<String, Option<i64>> {
    rows.into_iter()
        .map(|mut row| {
            let count = row.pop().flatten().map(|count| count.parse().expect("a number"));
            (row.pop().flatten().expect("a word"), count)
        })
        .collect()
}

impl System for Sqlite {
    const KEEPS_POSITIONS: bool = true;

    async fn fresh() -> Self {
        Self {
            directory: TempDir::new().expect("a directory"),
        }
    }

    fn sink(&self, more: &Value) -> Box<dyn Sink> {
        wasmill_sinks::open(&connector("sqlite", &self.settings(more)), "wc", "0").expect("a sink")
    }

    async fn counts(&self) -> BTreeMap<String, Option<i64>> {
        as_counts(self.query("SELECT word, CAST(count AS TEXT) FROM wordCount").await)
    }

    async fn text(&self, word: &str) -> Option<Option<String>> {
        let row = sqlx::query("SELECT text FROM wordCount WHERE word = ?")
            .bind(word)
            .fetch_optional(&mut self.connect().await)
            .await
            .expect("read");
        row.map(|row| row.get(0))
    }
}
