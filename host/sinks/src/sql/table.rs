//! The table that rows go to: its columns, and whether the key tells its rows apart.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::Error;

use super::connection::Connection;
use super::dialect::Dialect;
use super::settings::{Mode, Settings};
use super::value::{Kind, Value};

/// A column that records can fill.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The SQL that stands for a missing field.
    pub(super) default: String,
}

/// A table as the sink uses it.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) by_name: HashMap<String, usize>,
    /// The places of the key columns in `columns`, in the order of the settings.
    pub(super) key: Vec<usize>,
    /// Whether the database takes two keys for the same only when we do: integers, and text whose
    /// collation compares bytes.
    pub(super) exact_key: bool,
}

/// Why there is no usable table.
pub(super) enum TableError {
    Missing,
    /// What is wrong and what to do.
    Unfit(String),
    Database(Error),
}

impl From<Error> for TableError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

/// A column as the database describes it.
struct Described {
    name: String,
    declared: String,
    default: Option<String>,
    /// The database makes the value by itself when none is given.
    automatic: bool,
    generated: bool,
    collation: Option<String>,
}

/// Reads the table's description and checks it against the settings.
pub(super) async fn read(connection: &mut Connection, settings: &Settings) -> Result<Table, TableError> {
    let dialect = connection.dialect();
    let described = match dialect {
        Dialect::MySql => describe_mysql(connection, settings).await?,
        Dialect::Sqlite => describe_sqlite(connection, settings).await?,
    };
    if described.is_empty() {
        return Err(TableError::Missing);
    }
    let unique = unique_indexes(connection, &settings.table).await?;
    check(dialect, settings, &described, unique)
}

fn check(
    dialect: Dialect,
    settings: &Settings,
    described: &[Described],
    mut unique: BTreeMap<String, BTreeSet<String>>,
) -> Result<Table, TableError> {
    let table = &settings.table;
    let named: Option<HashMap<&str, &str>> = settings.columns().map(Iterator::collect);
    for name in settings
        .key
        .iter()
        .map(String::as_str)
        .chain(named.iter().flat_map(|named| named.keys().copied()))
    {
        if !described.iter().any(|column| column.name == name) {
            return Err(TableError::Unfit(format!(
                "table {table} has no column {name}; add it, or correct `key` or `columns`"
            )));
        }
    }
    // Numbers that the database gives out are not the record's, unless the settings say so.
    let is_ours = |column: &Described| match &named {
        Some(named) => named.contains_key(column.name.as_str()),
        None => {
            !column.generated
                && (!column.automatic || settings.mode == Mode::Insert || settings.key.contains(&column.name))
        }
    };
    let ours: Vec<&Described> = described.iter().filter(|column| is_ours(column)).collect();
    if settings.mode == Mode::Upsert {
        let key: BTreeSet<String> = settings.key.iter().cloned().collect();
        let before = unique.len();
        unique.retain(|_, columns| *columns != key);
        if unique.len() == before {
            return Err(TableError::Unfit(format!(
                "table {table} has no unique index on {keys}, so that an upsert finds no row to replace; \
                 run ALTER TABLE {table} ADD UNIQUE ({keys}), or set mode = \"insert\"",
                keys = settings.key.join(", ")
            )));
        }
        // MySQL would take a row that is equal by any unique index for the one to update.
        let other = unique.iter().find(|(_, columns)| {
            ours.iter()
                .any(|column| columns.contains(&column.name) && !settings.key.contains(&column.name))
        });
        if let (Dialect::MySql, Some((name, _))) = (dialect, other) {
            return Err(TableError::Unfit(format!(
                "table {table} has another unique index, {name}: MySQL would update the row that is equal by it, \
                 not the one with the key; drop it, leave its columns out of `columns`, or set mode = \"insert\""
            )));
        }
    }
    let columns: Vec<Column> = ours
        .iter()
        .map(|column| {
            let declared = named
                .as_ref()
                .and_then(|named| named.get(column.name.as_str()).copied());
            Column {
                name: column.name.clone(),
                kind: dialect.kind(declared.unwrap_or(&column.declared)),
                default: dialect.default(column.default.as_deref()).to_owned(),
            }
        })
        .collect();
    let by_name: HashMap<String, usize> = columns
        .iter()
        .enumerate()
        .map(|(i, column)| (column.name.clone(), i))
        .collect();
    let key = settings
        .key
        .iter()
        .filter_map(|name| by_name.get(name).copied())
        .collect::<Vec<_>>();
    if key.len() != settings.key.len() {
        return Err(TableError::Unfit(format!(
            "a key column of table {table} is generated and cannot be written"
        )));
    }
    let exact_key = settings.key.iter().all(|name| {
        described.iter().any(|column| {
            column.name == *name
                && match dialect.kind(&column.declared) {
                    Kind::Integer => true,
                    Kind::Text => column.collation.as_deref().is_some_and(compares_bytes),
                    _ => false,
                }
        })
    });
    Ok(Table {
        columns,
        by_name,
        key,
        exact_key,
    })
}

fn compares_bytes(collation: &str) -> bool {
    collation == "binary" || collation == "BINARY" || collation.ends_with("_bin")
}

async fn describe_mysql(connection: &mut Connection, settings: &Settings) -> Result<Vec<Described>, TableError> {
    let name = [Value::Text(settings.table.as_str().into())];
    let engines = connection
        .fetch(
            "SELECT CAST(COALESCE(ENGINE, TABLE_TYPE) AS CHAR) FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?",
            &name,
        )
        .await?;
    match engines.into_iter().flatten().flatten().next() {
        None => return Ok(Vec::new()),
        Some(engine) if ["InnoDB", "ndbcluster", "ROCKSDB"].contains(&engine.as_str()) => {}
        Some(engine) => {
            return Err(TableError::Unfit(format!(
                "table {table} is of {engine}, which has no transactions; run ALTER TABLE {table} ENGINE = InnoDB",
                table = settings.table
            )));
        }
    }
    let columns = connection
        .fetch(
            "SELECT CAST(COLUMN_NAME AS CHAR), CAST(COLUMN_TYPE AS CHAR), CAST(EXTRA AS CHAR), \
             CAST(COLLATION_NAME AS CHAR) FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION",
            &name,
        )
        .await?;
    let json = json_checks(connection, &name).await?;
    Ok(columns
        .into_iter()
        .map(|row| {
            let [name, declared, extra, collation] = cells(row);
            let name = name.unwrap_or_default();
            let extra = extra.unwrap_or_default().to_ascii_uppercase();
            let is_json = json
                .iter()
                .any(|check| check.contains(&format!("json_valid(`{name}`)")));
            Described {
                declared: if is_json {
                    "json".to_owned()
                } else {
                    declared.unwrap_or_default()
                },
                default: None,
                automatic: extra.contains("AUTO_INCREMENT"),
                // Not DEFAULT_GENERATED, which is a default that is an expression.
                generated: ["VIRTUAL", "STORED", "PERSISTENT", "INVISIBLE"]
                    .iter()
                    .any(|word| extra.contains(word)),
                collation,
                name,
            }
        })
        .collect())
}

/// MariaDB's JSON is text with a check.
async fn json_checks(connection: &mut Connection, name: &[Value<'_>]) -> Result<Vec<String>, TableError> {
    if !connection.is_mariadb {
        return Ok(Vec::new());
    }
    let checks = connection
        .fetch(
            "SELECT CAST(CHECK_CLAUSE AS CHAR) FROM information_schema.CHECK_CONSTRAINTS \
             WHERE CONSTRAINT_SCHEMA = DATABASE() AND TABLE_NAME = ?",
            name,
        )
        .await?;
    Ok(checks.into_iter().flatten().flatten().collect())
}

async fn describe_sqlite(connection: &mut Connection, settings: &Settings) -> Result<Vec<Described>, TableError> {
    let columns = connection
        .fetch(
            "SELECT name, type, dflt_value, CAST(hidden AS TEXT), CAST(pk AS TEXT) FROM pragma_table_xinfo(?)",
            &[Value::Text(settings.table.as_str().into())],
        )
        .await?;
    let primary = columns
        .iter()
        .filter(|row| row.get(4).is_some_and(|pk| pk.as_deref() != Some("0")))
        .count();
    let collations = sqlite_key_collations(connection, settings).await?;
    Ok(columns
        .into_iter()
        .map(|row| {
            let [name, declared, default, hidden, pk] = cells(row);
            let name = name.unwrap_or_default();
            let declared = declared.unwrap_or_default();
            Described {
                // The one integer primary key is the row's number, given out by SQLite.
                automatic: primary == 1 && pk.as_deref() != Some("0") && declared.eq_ignore_ascii_case("integer"),
                generated: hidden.as_deref() != Some("0"),
                collation: collations.get(&name).cloned(),
                default: default.map(|sql| format!("({sql})")),
                declared,
                name,
            }
        })
        .collect())
}

/// The collations by which the unique indexes of the table compare.
async fn sqlite_key_collations(
    connection: &mut Connection,
    settings: &Settings,
) -> Result<HashMap<String, String>, TableError> {
    let rows = connection
        .fetch(
            "SELECT ii.name, ii.coll FROM pragma_index_list(?) il, pragma_index_xinfo(il.name) ii \
             WHERE il.\"unique\" = 1 AND ii.key = 1 AND ii.name IS NOT NULL ORDER BY ii.coll = 'BINARY' DESC",
            &[Value::Text(settings.table.as_str().into())],
        )
        .await?;
    // The last one wins: a collation that is not binary counts.
    Ok(rows
        .into_iter()
        .map(|row| {
            let [name, collation] = cells(row);
            (name.unwrap_or_default(), collation.unwrap_or_default())
        })
        .collect())
}

/// The columns of each unique index. Partial ones and those on parts of a column do not count.
async fn unique_indexes(
    connection: &mut Connection,
    table: &str,
) -> Result<BTreeMap<String, BTreeSet<String>>, TableError> {
    let name = Value::Text(table.into());
    let rows = match connection.dialect() {
        Dialect::MySql => {
            let sql = "SELECT CAST(INDEX_NAME AS CHAR), CAST(COALESCE(COLUMN_NAME, '') AS CHAR), CAST(SUB_PART AS CHAR) \
                       FROM information_schema.STATISTICS \
                       WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND NON_UNIQUE = 0";
            connection.fetch(sql, &[name]).await?
        }
        Dialect::Sqlite => {
            let sql = "SELECT il.name, COALESCE(ii.name, ''), NULL FROM pragma_index_list(?) il, pragma_index_info(il.name) ii \
                       WHERE il.\"unique\" = 1 AND il.partial = 0 \
                       UNION ALL SELECT 'PRIMARY KEY', name, NULL FROM pragma_table_info(?) WHERE pk > 0";
            connection.fetch(sql, &[name.clone(), name]).await?
        }
    };
    let mut indexes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        let [index, column, part] = cells(row);
        let column = column.unwrap_or_default();
        // Part of a column: unique too, but never equal to the key.
        let column = if part.is_some() {
            format!("{column} (its first characters)")
        } else {
            column
        };
        indexes.entry(index.unwrap_or_default()).or_default().insert(column);
    }
    Ok(indexes)
}

fn cells<const N: usize>(row: Vec<Option<String>>) -> [Option<String>; N] {
    let mut cells = row.into_iter();
    std::array::from_fn(|_| cells.next().flatten())
}
