//! Makes the table when the settings ask for it, with the columns that they name or that the first
//! batch has.

use serde_json::value::RawValue;

use super::dialect::Dialect;
use super::settings::Settings;
use super::value::Kind;
use crate::json::{Fields, Json, classify};
use crate::records::Refusal;

/// `CREATE TABLE` with the columns of the settings; `None` when they name none.
pub(super) fn named(settings: &Settings, dialect: Dialect, key_collation: Option<&str>) -> Option<String> {
    let columns: Vec<(String, String)> = settings
        .columns()?
        .map(|(name, declared)| (name.to_owned(), declared.to_owned()))
        .collect();
    Some(sql(settings, &columns, dialect, key_collation))
}

fn sql(settings: &Settings, columns: &[(String, String)], dialect: Dialect, key_collation: Option<&str>) -> String {
    let mut parts: Vec<String> = columns
        .iter()
        .map(|(name, declared)| {
            let is_key = settings.key.contains(name);
            let upper = declared.to_ascii_uppercase();
            let quoted = dialect.quote(name);
            match key_collation {
                Some(collation)
                    if is_key
                        && dialect == Dialect::MySql
                        && dialect.kind(declared) == Kind::Text
                        && !["COLLATE", "CHARACTER SET", "BINARY"]
                            .iter()
                            .any(|word| upper.contains(word)) =>
                {
                    // The character set belongs to the type: it comes before NOT NULL and the like.
                    let end = declared
                        .find(')')
                        .map_or_else(|| declared.find(' ').unwrap_or(declared.len()), |close| close + 1);
                    let (of, rest) = declared.split_at(end);
                    format!("{quoted} {of} CHARACTER SET utf8mb4 COLLATE {collation}{rest}")
                }
                _ if is_key && dialect == Dialect::Sqlite && !upper.contains("NOT NULL") => {
                    format!("{quoted} {declared} NOT NULL")
                }
                _ => format!("{quoted} {declared}"),
            }
        })
        .collect();
    if !settings.key.is_empty() {
        let key: Vec<_> = settings.key.iter().map(|name| dialect.quote(name)).collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    let options = match dialect {
        Dialect::MySql => " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
        Dialect::Sqlite => "",
    };
    format!(
        "CREATE TABLE IF NOT EXISTS {} ({}){options}",
        dialect.quote(&settings.table),
        parts.join(", ")
    )
}

/// What the fields of one name have held so far.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    negative: bool,
    integer: bool,
    above_i64: bool,
    above_u64: bool,
    fraction: bool,
    boolean: bool,
    string: bool,
    nested: bool,
}

impl Seen {
    fn add(&mut self, raw: &RawValue) -> Result<(), Refusal> {
        match classify(raw)? {
            Json::Null => {}
            Json::Bool(_) => self.boolean = true,
            Json::String(_) => self.string = true,
            Json::Array(_) | Json::Object(_) => self.nested = true,
            Json::Number(text) if text.contains(['.', 'e', 'E']) => self.fraction = true,
            Json::Number(text) => {
                self.integer = true;
                self.negative |= text.starts_with('-');
                if text.parse::<i64>().is_err() {
                    self.above_i64 = true;
                    self.above_u64 |= text.parse::<u64>().is_err();
                }
            }
        }
        Ok(())
    }

    fn kind(self, dialect: Dialect) -> (Kind, bool) {
        let number = self.integer || self.fraction;
        match (number, self.boolean, self.string, self.nested) {
            (true, false, false, false) if self.fraction => (Kind::Float, false),
            (true, false, false, false) if !self.above_i64 => (Kind::Integer, false),
            (true, false, false, false) if dialect == Dialect::Sqlite => (Kind::Text, false),
            (true, false, false, false) if self.above_u64 || self.negative => (Kind::Decimal, false),
            (true, false, false, false) => (Kind::Integer, true),
            (false, true, false, false) => (Kind::Integer, false),
            (false, false, false, true) => (Kind::Json, false),
            _ => (Kind::Text, false),
        }
    }
}

/// The columns that records have had so far.
#[derive(Debug, Default)]
pub(super) struct Derived(Vec<(String, Seen)>);

impl Derived {
    pub(super) fn add(&mut self, fields: &Fields<'_>) -> Result<(), Refusal> {
        for (name, raw) in &fields.0 {
            if name.is_empty() || name.contains('\0') {
                return Err(Refusal::new(
                    "unknown-field",
                    "a field without a name, or with a zero byte in it",
                ));
            }
            let at = match self.0.iter().position(|(known, _)| known == name) {
                Some(at) => at,
                None => {
                    self.0.push((name.clone().into_owned(), Seen::default()));
                    self.0.len() - 1
                }
            };
            if let Some((_, seen)) = self.0.get_mut(at) {
                seen.add(raw)?;
            }
        }
        Ok(())
    }

    /// Whether there is a column for each key column.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// `CREATE TABLE`, and the columns as a person writes them into `columns`.
    pub(super) fn sql(&self, settings: &Settings, dialect: Dialect, key_collation: Option<&str>) -> (String, String) {
        let columns: Vec<(String, String)> = self
            .0
            .iter()
            .map(|(name, seen)| {
                let (kind, unsigned) = seen.kind(dialect);
                let declared = dialect.declared(kind, unsigned, settings.key.contains(name));
                (name.clone(), declared.to_owned())
            })
            .collect();
        let shown: Vec<_> = columns.iter().map(|(name, of)| format!("{name:?} = {of:?}")).collect();
        (
            sql(settings, &columns, dialect, key_collation),
            format!("{{ {} }}", shown.join(", ")),
        )
    }
}
