//! Everything in which MySQL and SQLite differ in their SQL.

use super::value::Kind;

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    MySql,
    Sqlite,
}

impl Dialect {
    /// As errors name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MySql => "mysql",
            Self::Sqlite => "sqlite",
        }
    }

    /// `name` as an identifier, whatever it holds.
    pub(super) fn quote(self, name: &str) -> String {
        match self {
            Self::MySql => format!("`{}`", name.replace('`', "``")),
            Self::Sqlite => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    }

    /// Starts a transaction that will write.
    pub(super) fn begin(self) -> &'static str {
        match self {
            Self::MySql => "START TRANSACTION",
            // A transaction that reads first cannot always become a writing one.
            Self::Sqlite => "BEGIN IMMEDIATE",
        }
    }

    /// At the end of a `SELECT` whose row the transaction is going to rely on.
    pub(super) fn for_update(self) -> &'static str {
        match self {
            Self::MySql => " FOR UPDATE",
            Self::Sqlite => "",
        }
    }

    /// The text type that every column can be read as.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::MySql => "CHAR",
            Self::Sqlite => "TEXT",
        }
    }

    /// After the rows of an `INSERT`: what happens to a row whose `key` is there already.
    pub(super) fn on_conflict(self, key: &[String], updated: &[String]) -> String {
        let quoted = |name: &String| self.quote(name);
        match self {
            Self::MySql => {
                // With nothing to update the row is left as it is.
                let updated = if updated.is_empty() {
                    key.get(..1).unwrap_or_default()
                } else {
                    updated
                };
                let set: Vec<_> = updated
                    .iter()
                    .map(quoted)
                    .map(|column| format!("{column} = VALUES({column})"))
                    .collect();
                format!(" ON DUPLICATE KEY UPDATE {}", set.join(", "))
            }
            Self::Sqlite => {
                let key: Vec<_> = key.iter().map(quoted).collect();
                let set: Vec<_> = updated
                    .iter()
                    .map(quoted)
                    .map(|column| format!("{column} = excluded.{column}"))
                    .collect();
                match set.is_empty() {
                    true => format!(" ON CONFLICT ({}) DO NOTHING", key.join(", ")),
                    false => format!(" ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), set.join(", ")),
                }
            }
        }
    }

    /// The condition that finds `rows` rows by their key columns.
    pub(super) fn key_is_one_of(self, key: &[String], rows: usize) -> String {
        let columns: Vec<_> = key.iter().map(|name| self.quote(name)).collect();
        let row = match key.len() {
            1 => "?".to_owned(),
            n => format!("({})", vec!["?"; n].join(", ")),
        };
        let rows = vec![row; rows].join(", ");
        match (columns.as_slice(), self) {
            ([column], _) => format!("{column} IN ({rows})"),
            (columns, Self::MySql) => format!("({}) IN ({rows})", columns.join(", ")),
            (columns, Self::Sqlite) => format!("({}) IN (VALUES {rows})", columns.join(", ")),
        }
    }

    /// What stands for a field that the record does not have. `default` is the column's.
    pub(super) fn default(self, default: Option<&str>) -> &str {
        match self {
            Self::MySql => "DEFAULT",
            Self::Sqlite => default.unwrap_or("NULL"),
        }
    }

    /// The most placeholders that a statement may have.
    pub(super) fn placeholders_max(self) -> usize {
        match self {
            Self::MySql => 65_535,
            Self::Sqlite => 32_766,
        }
    }

    /// What a column of this declared type holds.
    pub(super) fn kind(self, declared: &str) -> Kind {
        let declared = declared.trim().to_ascii_lowercase();
        let word = declared
            .split(|c: char| !c.is_ascii_alphanumeric())
            .next()
            .unwrap_or_default();
        let kind = match word {
            "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" | "year" | "bool" | "boolean"
            | "bit" | "serial" => Kind::Integer,
            "decimal" | "numeric" | "dec" | "fixed" => Kind::Decimal,
            "float" | "double" | "real" => Kind::Float,
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set" | "uuid"
            | "character" | "nchar" | "nvarchar" | "clob" => Kind::Text,
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Kind::Binary,
            "json" | "jsonb" => Kind::Json,
            "date" | "datetime" | "timestamp" | "time" => Kind::Time,
            _ => Kind::Other,
        };
        match (self, kind) {
            // SQLite takes any word for a type and looks for these parts (datatype3.html, 3.1).
            (Self::Sqlite, Kind::Other) if declared.contains("int") => Kind::Integer,
            (Self::Sqlite, Kind::Other) if ["char", "clob", "text"].iter().any(|part| declared.contains(part)) => {
                Kind::Text
            }
            (_, kind) => kind,
        }
    }

    /// The type of a derived column of this kind. Text that is a key is short enough for an index.
    pub(super) fn declared(self, kind: Kind, unsigned: bool, is_key: bool) -> &'static str {
        match (self, kind) {
            (Self::MySql, Kind::Integer) if unsigned => "BIGINT UNSIGNED",
            (Self::MySql, Kind::Integer) => "BIGINT",
            (Self::MySql, Kind::Float) => "DOUBLE",
            (Self::MySql, _) if is_key => "VARCHAR(255)",
            (Self::MySql, Kind::Json) => "JSON",
            (Self::MySql, Kind::Decimal) => "DECIMAL(65, 0)",
            (Self::MySql, _) => "LONGTEXT",
            (Self::Sqlite, Kind::Integer) => "INTEGER",
            (Self::Sqlite, Kind::Float) => "REAL",
            (Self::Sqlite, Kind::Json) => "JSON",
            (Self::Sqlite, _) => "TEXT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_cannot_break_out() {
        assert_eq!(Dialect::MySql.quote("a`b"), "`a``b`");
        assert_eq!(Dialect::Sqlite.quote("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn kinds_follow_the_declared_type() {
        for (declared, kind) in [
            ("VARCHAR(20)", Kind::Text),
            ("bigint(20) unsigned", Kind::Integer),
            ("DOUBLE PRECISION", Kind::Float),
            ("geometry", Kind::Other),
        ] {
            assert_eq!(Dialect::MySql.kind(declared), kind, "{declared}");
        }
        assert_eq!(Dialect::Sqlite.kind("UNSIGNED BIG INT"), Kind::Integer);
        assert_eq!(Dialect::Sqlite.kind(""), Kind::Other);
    }
}
