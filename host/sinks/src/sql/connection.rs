//! One connection to either database: prepared statements with bound values, nothing more.

use std::convert::identity;

use sqlx::mysql::{MySql, MySqlConnection};
use sqlx::sqlite::{Sqlite, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Error, Row};

use super::dialect::Dialect;
use super::settings::Place;
use super::value::Value;

/// Errors where another server would silently store something else than was given.
const STRICT: &str = "STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,NO_ENGINE_SUBSTITUTION";

enum Inner {
    MySql(Box<MySqlConnection>),
    Sqlite(Box<SqliteConnection>),
}

/// A connection, and what its server is like.
pub(super) struct Connection {
    inner: Inner,
    /// The most bytes of one statement.
    pub(super) bytes_max: usize,
    /// The collation of text keys, in which texts are equal only when their bytes are.
    pub(super) key_collation: Option<String>,
    pub(super) is_mariadb: bool,
}

/// Binds values of ours to a query of sqlx: the calls are the same, the types are not.
macro_rules! bound {
    ($database:ty, $unsigned:expr, $sql:expr, $values:expr) => {{
        let mut query = sqlx::query::<$database>(AssertSqlSafe($sql));
        for value in $values {
            query = match value {
                Value::Default => query,
                Value::Null => query.bind(None::<i64>),
                Value::Integer(value) => query.bind(*value),
                Value::Unsigned(value) => query.bind($unsigned(*value)),
                Value::Float(value) => query.bind(*value),
                Value::Text(text) => query.bind(text.as_ref()),
                Value::Bytes(bytes) => query.bind(bytes.as_ref()),
            };
        }
        query
    }};
}

/// Values for SQLite are never made larger than an `i64`; text keeps the digits all the same.
fn as_text(value: u64) -> String {
    value.to_string()
}

impl Connection {
    pub(super) async fn open(place: &Place) -> Result<Self, Error> {
        let inner = match place {
            Place::MySql(options) => Inner::MySql(Box::new(options.connect().await?)),
            Place::Sqlite(options) => Inner::Sqlite(Box::new(options.connect().await?)),
        };
        let mut connection = Self {
            inner,
            bytes_max: 512 << 20,
            key_collation: None,
            is_mariadb: false,
        };
        if connection.dialect() == Dialect::MySql {
            connection.set_session().await?;
        }
        Ok(connection)
    }

    async fn set_session(&mut self) -> Result<(), Error> {
        self.run(&format!("SET SESSION sql_mode = '{STRICT}'")).await?;
        // Locks only the rows that are written, not the gaps between them: fewer deadlocks
        // between the writers of different partitions.
        self.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            .await?;
        let facts = self
            .fetch(
                "SELECT CAST(@@max_allowed_packet AS CHAR), CAST(VERSION() AS CHAR)",
                &[],
            )
            .await?;
        let mut facts = facts.into_iter().flatten();
        let packet = facts.next().flatten().and_then(|bytes| bytes.parse::<usize>().ok());
        // The packet holds types and lengths beside the values.
        self.bytes_max = packet.map_or(1 << 20, |packet| (packet - packet / 16).min(64 << 20));
        self.is_mariadb = facts
            .next()
            .flatten()
            .is_some_and(|version| version.contains("MariaDB"));
        // Not utf8mb4_bin where there is better: to it texts are equal but for spaces at their end.
        let collations = self
            .fetch(
                "SELECT CAST(COLLATION_NAME AS CHAR) FROM information_schema.COLLATIONS \
                 WHERE COLLATION_NAME IN ('utf8mb4_0900_bin', 'utf8mb4_nopad_bin', 'utf8mb4_bin') \
                 ORDER BY COLLATION_NAME = 'utf8mb4_bin'",
                &[],
            )
            .await?;
        self.key_collation = collations.into_iter().flatten().flatten().next();
        Ok(())
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self.inner {
            Inner::MySql(_) => Dialect::MySql,
            Inner::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Runs a statement without values: transactions, savepoints, tables.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), Error> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match &mut self.inner {
            Inner::MySql(connection) => query.execute(&mut **connection).await.map(drop),
            Inner::Sqlite(connection) => query.execute(&mut **connection).await.map(drop),
        }
    }

    /// Runs a statement with values; `keep` keeps it prepared. Answers how many rows it found.
    pub(super) async fn execute(&mut self, sql: String, values: Vec<&Value<'_>>, keep: bool) -> Result<u64, Error> {
        match &mut self.inner {
            Inner::MySql(connection) => {
                let query = bound!(MySql, identity, sql, values).persistent(keep);
                Ok(query.execute(&mut **connection).await?.rows_affected())
            }
            Inner::Sqlite(connection) => {
                let query = bound!(Sqlite, as_text, sql, values).persistent(keep);
                Ok(query.execute(&mut **connection).await?.rows_affected())
            }
        }
    }

    /// Reads rows whose columns are all text.
    pub(super) async fn fetch(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Vec<Option<String>>>, Error> {
        let sql = sql.to_owned();
        match &mut self.inner {
            Inner::MySql(connection) => {
                let rows = bound!(MySql, identity, sql, values)
                    .fetch_all(&mut **connection)
                    .await?;
                rows.iter()
                    .map(|row| (0..row.len()).map(|i| row.try_get_unchecked(i)).collect())
                    .collect()
            }
            Inner::Sqlite(connection) => {
                let rows = bound!(Sqlite, as_text, sql, values)
                    .fetch_all(&mut **connection)
                    .await?;
                rows.iter()
                    .map(|row| (0..row.len()).map(|i| row.try_get_unchecked(i)).collect())
                    .collect()
            }
        }
    }
}
