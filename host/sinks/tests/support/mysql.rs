//! A MySQL database of a test's own.

use std::collections::BTreeMap;

use record::sink::Sink;
use serde_json::{Value, json};
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

use super::{System, connector, over, service, unique};

pub(crate) struct MySql {
    /// The test's database.
    pub(crate) url: String,
    pub(crate) database: String,
    pub(crate) pipeline: String,
}

impl MySql {
    pub(crate) async fn connect(&self) -> MySqlConnection {
        MySqlConnection::connect(&self.url).await.expect("connected")
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
            "url": self.url,
            "table": "wordCount",
            "key": ["word"],
            "create_table": true,
            "columns": {"word": "VARCHAR(255)", "count": "BIGINT", "text": "LONGTEXT"},
        });
        over(base, more)
    }

    /// The ids of the connections to this database but the one that asks.
    pub(crate) async fn connections(&self) -> Vec<String> {
        let sql = format!(
            "SELECT CAST(ID AS CHAR) FROM information_schema.PROCESSLIST WHERE DB = '{}' AND ID <> CONNECTION_ID()",
            self.database
        );
        self.query(&sql).await.into_iter().flatten().flatten().collect()
    }
}

impl System for MySql {
    const KEEPS_POSITIONS: bool = true;

    async fn fresh() -> Self {
        let server = service("WASMILL_TEST_MYSQL");
        let database = unique("wasmill_sinks");
        let mut connection = MySqlConnection::connect(&server)
            .await
            .expect("connected to WASMILL_TEST_MYSQL");
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {database}")))
            .execute(&mut connection)
            .await
            .expect("a database for the test");
        let (place, _) = server.rsplit_once('/').expect("a URL with a database");
        Self {
            url: format!("{place}/{database}"),
            database,
            pipeline: unique("pipeline"),
        }
    }

    fn sink(&self, more: &Value) -> Box<dyn Sink> {
        wasmill_sinks::open(&connector("mysql", &self.settings(more)), &self.pipeline, "0").expect("a sink")
    }

    async fn counts(&self) -> BTreeMap<String, Option<i64>> {
        let rows = self.query("SELECT word, CAST(count AS CHAR) FROM wordCount").await;
        super::sqlite::as_counts(rows)
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
