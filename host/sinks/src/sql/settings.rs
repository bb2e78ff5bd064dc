//! The settings of `mysql` and `sqlite`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use record::sink::SinkError;
use record::topology::Connector;
use serde::Deserialize;
use sqlx::ConnectOptions;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use crate::redact::Redactor;
use crate::settings::{parse, wrong};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// A row replaces the one with the same key.
    #[default]
    Upsert,
    /// Every record is a new row.
    Insert,
}

/// What a table and its use are to be.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Settings {
    pub(super) table: String,
    #[serde(default)]
    pub(super) key: Vec<String>,
    #[serde(default)]
    pub(super) mode: Mode,
    #[serde(default)]
    pub(super) create_table: bool,
    /// Column names and types as the database spells them, in order.
    #[serde(default)]
    columns: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default = "default_timeout_ms")]
    timeout_ms: u64,
}

fn default_timeout_ms() -> u64 {
    60_000
}

impl Settings {
    /// How long one `open` or `write` may take.
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.max(1))
    }

    /// The columns that the settings name, with their types.
    pub(super) fn columns(&self) -> Option<impl Iterator<Item = (&str, &str)>> {
        let columns = self.columns.as_ref()?;
        Some(
            columns
                .iter()
                .map(|(name, of)| (name.as_str(), of.as_str().unwrap_or_default())),
        )
    }

    fn check(&self, connector: &Connector) -> Result<(), SinkError> {
        let names = std::iter::once(&self.table)
            .chain(&self.key)
            .chain(self.columns.iter().flat_map(|columns| columns.keys()));
        for name in names {
            if name.is_empty() || name.contains('\0') {
                return Err(wrong(
                    connector,
                    "the name of a table or column is empty or holds a zero byte",
                ));
            }
        }
        if self.table.eq_ignore_ascii_case(super::offsets::TABLE) {
            return Err(wrong(connector, "`table` names the table in which positions are kept"));
        }
        if self.mode == Mode::Upsert && self.key.is_empty() {
            return Err(wrong(
                connector,
                "mode \"upsert\" needs `key`, the columns that tell rows apart; or set mode = \"insert\"",
            ));
        }
        if let Some(twice) = self
            .key
            .iter()
            .enumerate()
            .find(|(i, name)| self.key[..*i].contains(name))
        {
            return Err(wrong(connector, &format!("`key` names {} twice", twice.1)));
        }
        let Some(columns) = &self.columns else { return Ok(()) };
        if let Some(missing) = self.key.iter().find(|name| !columns.contains_key(*name)) {
            return Err(wrong(
                connector,
                &format!("the key column {missing} is not among `columns`"),
            ));
        }
        for (name, of) in columns {
            if !of.as_str().is_some_and(is_type) {
                return Err(wrong(
                    connector,
                    &format!("the type of column {name} is not one; write for example \"BIGINT\" or \"VARCHAR(255)\""),
                ));
            }
        }
        Ok(())
    }
}

/// Types become part of `CREATE TABLE` as they are, so nothing but a type may stand there.
fn is_type(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.contains("--")
        && text.matches('\'').count().is_multiple_of(2)
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || " _(),.'-".contains(c))
        && text.chars().try_fold(0_i32, |open, c| match c {
            '(' => Some(open + 1),
            ')' => (open > 0).then_some(open - 1),
            _ => Some(open),
        }) == Some(0)
}

/// Where the database is.
#[derive(Clone)]
pub(super) enum Place {
    MySql(Box<MySqlConnectOptions>),
    Sqlite(Box<SqliteConnectOptions>),
}

#[derive(Deserialize)]
struct MySqlPlace {
    url: String,
}

#[derive(Deserialize)]
struct SqlitePlace {
    path: PathBuf,
}

/// Reads a connector's settings: where, what, and what is never shown.
pub(super) fn read(connector: &Connector) -> Result<(Place, Settings, Redactor), SinkError> {
    let settings: Settings = parse(connector)?;
    settings.check(connector)?;
    if connector.kind == "sqlite" {
        let SqlitePlace { path } = parse(connector)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // The group's offset is committed after the rows: they must be on the disk by then.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
            .disable_statement_logging();
        return Ok((Place::Sqlite(Box::new(options)), settings, Redactor::default()));
    }
    let MySqlPlace { url } = parse(connector)?;
    let redactor = Redactor::of_url(&url);
    let options = MySqlConnectOptions::from_str(&url).map_err(|error| {
        wrong(
            connector,
            &redactor.clean(&format!("`url` is not one of MySQL: {error}")),
        )
    })?;
    if !url.starts_with("mysql://") && !url.starts_with("mariadb://") {
        return Err(wrong(connector, "`url` does not start with mysql://"));
    }
    if options.get_database().is_none_or(str::is_empty) {
        return Err(wrong(
            connector,
            "`url` names no database; write mysql://user:password@host:3306/database",
        ));
    }
    let options = options
        .charset("utf8mb4")
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(Some("+00:00".to_owned()))
        .disable_statement_logging();
    Ok((Place::MySql(Box::new(options)), settings, redactor))
}

#[cfg(test)]
mod tests {
    use super::is_type;

    #[test]
    fn types_are_only_types() {
        for text in [
            "BIGINT",
            "VARCHAR(255)",
            "DECIMAL(20, 4)",
            "ENUM('a','b')",
            "BIGINT UNSIGNED NOT NULL",
        ] {
            assert!(is_type(text), "{text}");
        }
        for text in [
            "",
            "INT); DROP TABLE x",
            "INT, x INT)(",
            "INT'",
            "INT -- x",
            "1",
            "INT`",
        ] {
            assert!(!is_type(text), "{text}");
        }
    }
}
