//! What an error of MongoDB means for the batch.

use mongodb::error::{Error, ErrorKind};

use crate::records::Refusal;

/// The code of a unique index that holds the value already.
pub(super) const DUPLICATE_KEY: i32 = 11_000;

/// What to do about an error.
#[derive(Debug)]
pub(super) enum Fault {
    /// Try again.
    Retriable(String),
    /// The document of one operation is at fault.
    Document(Refusal),
    /// Somebody has to mend it.
    Fatal(String),
}

/// What an error of a whole command asks for.
pub(super) fn of_command(error: &Error) -> Fault {
    // Not the error's own text, which adds labels and internals.
    let text = error.kind.to_string();
    if error.contains_label("RetryableWriteError") || error.contains_label("TransientTransactionError") {
        return Fault::Retriable(text);
    }
    match error.kind.as_ref() {
        ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::InvalidResponse { .. } => Fault::Retriable(text),
        ErrorKind::Authentication { .. } => Fault::Fatal(refused(&text)),
        ErrorKind::Command(command) => match of_code(command.code, text) {
            // Nothing says which operation: the command as such was refused.
            Fault::Document(refusal) => Fault::Fatal(refusal.message),
            fault => fault,
        },
        _ => Fault::Fatal(text),
    }
}

/// What an error code asks for, where it concerns one operation.
pub(super) fn of_code(code: i32, text: String) -> Fault {
    match code {
        // Unreachable, not found, timed out, shutting down, not primary (any more), interrupted by
        // a change of primary, socket, a conflict of writes, out of disk.
        6 | 7 | 89 | 91 | 189 | 262 | 9001 | 10058 | 10107 | 11600 | 11602 | 13435 | 13436 | 24 | 50 | 112 | 14031
        | 64 | 100 | 125 => Fault::Retriable(text),
        // The server's own fault, whatever it is: PostgreSQL away, under FerretDB.
        1 | 8 => Fault::Retriable(text),
        DUPLICATE_KEY | 11_001 | 12_582 => Fault::Document(Refusal::new("duplicate-key", text)),
        121 => Fault::Document(Refusal::new("validation", text)),
        10_334 | 17_280 | 17_419 | 17_420 => Fault::Document(Refusal::new("too-large", text)),
        // Values, names and paths that the server does not take.
        2 | 9 | 14 | 28 | 40 | 52 | 53 | 54 | 55 | 56 | 57 | 58 | 66 => {
            Fault::Document(Refusal::new("bad-value", text))
        }
        13 | 18 | 8000 => Fault::Fatal(refused(&text)),
        _ => Fault::Fatal(format!("{text} (code {code})")),
    }
}

fn refused(text: &str) -> String {
    format!("{text}; check user, password and authSource in `url` and the user's rights (readWrite on the database)")
}
