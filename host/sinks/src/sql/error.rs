//! What an error of a database means for the batch.

use sqlx::Error;
use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;

use super::dialect::Dialect;
use crate::records::Refusal;

/// What to do about an error.
#[derive(Debug)]
pub(super) enum Fault {
    /// Try the transaction again.
    Retriable(String),
    /// A row is at fault.
    Row(Refusal),
    /// Somebody has to mend it.
    Fatal(String),
}

/// What `error` asks for.
pub(super) fn classify(error: &Error, dialect: Dialect) -> Fault {
    let text = error.to_string();
    match error {
        Error::Database(error) => match dialect {
            Dialect::MySql => mysql(error.as_ref(), text),
            Dialect::Sqlite => sqlite(error.as_ref(), text),
        },
        Error::Io(_) | Error::Protocol(_) | Error::WorkerCrashed | Error::PoolTimedOut | Error::PoolClosed => {
            Fault::Retriable(text)
        }
        _ => Fault::Fatal(text),
    }
}

fn mysql(error: &dyn DatabaseError, text: String) -> Fault {
    let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() else {
        return Fault::Fatal(text);
    };
    match error.number() {
        // Deadlock, lock wait timeout, not waited for, changed since it was read, tables changed
        // under the transaction or statement.
        1213 | 1205 | 3572 | 1020 | 1412 | 1615 => Fault::Retriable(text),
        // Too many connections, shutting down, killed, interrupted, network, idle too long.
        1040 | 1203 | 1226 | 1053 | 1077 | 1079 | 1080 | 1152 | 1158..=1161 | 1184 | 1317 | 1927 | 3168 | 4031 => {
            Fault::Retriable(text)
        }
        // The disk is full, too many locks or transactions, failed at commit, read-only for now
        // (a failover), a node of a cluster that is not ready.
        1021 | 1114 | 1206 | 1637 | 1180 | 1290 | 1792 | 1836 | 1047 => Fault::Retriable(text),
        1062 | 1169 | 1586 => Fault::Row(Refusal::new("duplicate-key", text)),
        1264 | 1690 => Fault::Row(Refusal::new("out-of-range", text)),
        1406 => Fault::Row(Refusal::new("too-long", text)),
        1048 | 1364 => Fault::Row(Refusal::new("null-not-allowed", text)),
        1216 | 1217 | 1451 | 1452 => Fault::Row(Refusal::new("foreign-key", text)),
        3819 => Fault::Row(Refusal::new("check", text)),
        // MariaDB's number for a check; MySQL uses it for something else.
        4025 if error.code() == Some("23000") => Fault::Row(Refusal::new("check", text)),
        // Incorrect, truncated or unreadable values; no partition; JSON; the words of a trigger.
        1265 | 1292 | 1366 | 1367 | 1411 | 1416 | 1526 | 1644 | 1369 | 3140..=3157 => {
            Fault::Row(Refusal::new("bad-value", text))
        }
        1044 | 1045 | 1142 | 1143 | 1227 | 1698 => Fault::Fatal(format!(
            "{text}; check user and password in `url` and the user's rights (SELECT, INSERT, UPDATE, DELETE, and CREATE \
             for tables that do not exist yet)"
        )),
        1049 => Fault::Fatal(format!("{text}; create the database, or correct `url`")),
        1665 => Fault::Fatal(format!("{text}; set binlog_format to ROW or MIXED")),
        1071 | 1170 => Fault::Fatal(format!(
            "{text}; give text keys a type such as VARCHAR(255): an index holds 3072 bytes, four for each character"
        )),
        _ => match error.code().and_then(|state| state.get(..2)) {
            Some("22" | "23" | "45") => Fault::Row(Refusal::new("bad-value", text)),
            Some("08" | "40") => Fault::Retriable(text),
            _ => Fault::Fatal(text),
        },
    }
}

fn sqlite(error: &dyn DatabaseError, text: String) -> Fault {
    let code = error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(1);
    match (code & 0xff, code) {
        // Busy, locked, no memory, interrupted, I/O error, full, schema changed.
        (5 | 6 | 7 | 9 | 10 | 13 | 17, _) => Fault::Retriable(text),
        (18, _) => Fault::Row(Refusal::new("too-large", text)),
        (_, 1555 | 2067 | 2579) => Fault::Row(Refusal::new("duplicate-key", text)),
        (_, 1299) => Fault::Row(Refusal::new("null-not-allowed", text)),
        (_, 787) => Fault::Row(Refusal::new("foreign-key", text)),
        (_, 275) => Fault::Row(Refusal::new("check", text)),
        // Other constraints (a trigger's too), and values of the wrong type.
        (19 | 20, _) => Fault::Row(Refusal::new("bad-value", text)),
        (14, _) => Fault::Fatal(format!("{text}; check `path` and that its directory exists")),
        (8, _) => Fault::Fatal(format!(
            "{text}; give the process the right to write the file and its directory"
        )),
        _ => Fault::Fatal(text),
    }
}
