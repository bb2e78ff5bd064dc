//! One batch as one transaction.

use std::iter::zip;

use record::error::Failure;
use sqlx::Error;

use super::connection::Connection;
use super::dialect::Dialect;
use super::error::{Fault, classify};
use super::offsets::{self, Row};
use super::plan::{Op, Run, rows_of_next};
use super::settings::{Mode, Settings};
use super::table::Table;
use super::value::Value;

/// How a transaction ended when it did not commit.
pub(super) enum Stop {
    /// An error before the commit: nothing was written.
    Failed(Fault),
    /// The commit was sent and not answered: it may have happened.
    Unknown(String),
    /// The epoch is another's.
    Fenced,
    /// Rows that the database refuses.
    Rejected(Vec<Failure>),
}

/// The position that is written with the rows.
pub(super) struct Advance<'a> {
    pub(super) row: &'a Row,
    pub(super) epoch: i64,
    pub(super) next: i64,
}

/// The statements' texts for one table.
struct Statements<'a> {
    settings: &'a Settings,
    table: &'a Table,
    dialect: Dialect,
}

impl Statements<'_> {
    /// A statement for these operations, which are of one kind; and whether it can be kept
    /// prepared, because others will be the same.
    fn of(&self, ops: &[Op<'_>], is_delete: bool) -> (String, bool) {
        let table = self.dialect.quote(&self.settings.table);
        if is_delete {
            let condition = self.dialect.key_is_one_of(&self.settings.key, ops.len());
            return (format!("DELETE FROM {table} WHERE {condition}"), true);
        }
        let names: Vec<_> = self
            .table
            .columns
            .iter()
            .map(|column| self.dialect.quote(&column.name))
            .collect();
        let mut sql = format!("INSERT INTO {table} ({}) VALUES ", names.join(", "));
        let mut keep = true;
        for (i, op) in ops.iter().enumerate() {
            sql.push_str(if i == 0 { "(" } else { ", (" });
            for (at, (value, column)) in zip(&op.values, &self.table.columns).enumerate() {
                if at > 0 {
                    sql.push_str(", ");
                }
                if matches!(value, Value::Default) {
                    sql.push_str(&column.default);
                    keep = false;
                } else {
                    sql.push('?');
                }
            }
            sql.push(')');
        }
        if self.settings.mode == Mode::Upsert {
            let updated: Vec<String> = self
                .table
                .columns
                .iter()
                .map(|column| column.name.clone())
                .filter(|name| !self.settings.key.contains(name))
                .collect();
            sql.push_str(&self.dialect.on_conflict(&self.settings.key, &updated));
        }
        (sql, keep)
    }

    async fn execute(&self, connection: &mut Connection, ops: &[Op<'_>], is_delete: bool) -> Result<(), Error> {
        let (sql, keep) = self.of(ops, is_delete);
        let values = ops
            .iter()
            .flat_map(|op| &op.values)
            .filter(|value| !matches!(value, Value::Default))
            .collect();
        connection.execute(sql, values, keep).await.map(drop)
    }
}

/// Writes `runs` and the position in one transaction. After every error but
/// [`Stop::Unknown`] nothing was written, as far as the connection could still say so.
pub(super) async fn transaction(
    connection: &mut Connection,
    settings: &Settings,
    table: Option<&Table>,
    runs: &[Run<'_>],
    advance: &Advance<'_>,
) -> Result<(), Stop> {
    let dialect = connection.dialect();
    let failed = |error: &Error| Stop::Failed(classify(error, dialect));
    connection.run(dialect.begin()).await.map_err(|error| failed(&error))?;
    if !offsets::advance(connection, advance.row, advance.epoch, advance.next)
        .await
        .map_err(|error| failed(&error))?
    {
        return Err(Stop::Fenced);
    }
    if let Some(table) = table {
        let statements = Statements {
            settings,
            table,
            dialect,
        };
        if let Err(error) = write_rows(connection, &statements, runs).await {
            return Err(match classify(&error, dialect) {
                Fault::Row(refusal) => {
                    connection.run("ROLLBACK").await.map_err(|error| failed(&error))?;
                    find_guilty(connection, &statements, runs, &refusal.message).await
                }
                fault => Stop::Failed(fault),
            });
        }
    }
    connection
        .run("COMMIT")
        .await
        .map_err(|error| Stop::Unknown(error.to_string()))
}

async fn write_rows(connection: &mut Connection, statements: &Statements<'_>, runs: &[Run<'_>]) -> Result<(), Error> {
    for run in runs {
        let mut rest = run.ops.as_slice();
        while let Some(first) = rest.first() {
            let rows_max = statements.dialect.placeholders_max() / first.values.len().max(1);
            let mut bytes = 0_usize;
            let fitting = rest
                .iter()
                .take_while(|op| {
                    bytes = bytes.saturating_add(op.bytes());
                    bytes <= connection.bytes_max
                })
                .take(rows_max)
                .count();
            let (ops, others) = rest.split_at(rows_of_next(rest.len(), fitting).min(rest.len()));
            statements.execute(connection, ops, run.is_delete).await?;
            rest = others;
        }
    }
    Ok(())
}

/// Tries the operations one by one, in a transaction that is then rolled back: all guilty rows
/// are named at once, as they would be after the good ones before them.
async fn find_guilty(connection: &mut Connection, statements: &Statements<'_>, runs: &[Run<'_>], first: &str) -> Stop {
    match try_each(connection, statements, runs).await {
        // Another writer's doing that has passed by now.
        Ok(failures) if failures.is_empty() => Stop::Failed(Fault::Retriable(first.to_owned())),
        Ok(failures) => Stop::Rejected(failures),
        Err(error) => Stop::Failed(classify(&error, statements.dialect)),
    }
}

async fn try_each(
    connection: &mut Connection,
    statements: &Statements<'_>,
    runs: &[Run<'_>],
) -> Result<Vec<Failure>, Error> {
    let mut failures = Vec::new();
    connection.run(statements.dialect.begin()).await?;
    for run in runs {
        for op in &run.ops {
            connection.run("SAVEPOINT wasmill_row").await?;
            if let Err(error) = statements
                .execute(connection, std::slice::from_ref(op), run.is_delete)
                .await
            {
                match classify(&error, statements.dialect) {
                    Fault::Row(refusal) => failures.push(refusal.of(op.index)),
                    _ => return Err(error),
                }
                connection.run("ROLLBACK TO SAVEPOINT wasmill_row").await?;
            }
            connection.run("RELEASE SAVEPOINT wasmill_row").await?;
        }
    }
    connection.run("ROLLBACK").await?;
    Ok(failures)
}
