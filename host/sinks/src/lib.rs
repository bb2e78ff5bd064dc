//! The external systems that records are delivered to. Deliver tasks own them.
//!
//! | kind | module | how a replay is met |
//! |---|---|---|
//! | `mysql`, `sqlite` | `sql` | rows and position in one transaction, older writers fenced |
//! | `mongodb` | `mongodb` | one idempotent operation per `_id`, guarded by the record's offset |
//! | `file`, `stdout` | `text` | at least once |
//! | `blackhole` | `blackhole` | nothing is written |
//!
//! docs/sinks.md says what each of them does with a record. A new sink is one module and one line
//! in [`open`].

mod blackhole;
mod file;
mod json;
mod mongodb;
mod records;
mod redact;
mod settings;
mod sql;
mod stdout;
mod text;

use record::sink::{Sink, SinkError};
use record::topology::Connector;

/// Makes the sink that a connector names. Nothing is connected before [`Sink::open`], which needs
/// a tokio runtime, as [`Sink::write`] does.
///
/// `pipeline` and the sink's name tell its positions from those of others in the same database;
/// `incarnation` is another one after every reset of the pipeline.
///
/// # Errors
/// [`SinkError::Fatal`] when the kind is unknown or its settings do not fit.
pub fn open(connector: &Connector, pipeline: &str, incarnation: &str) -> Result<Box<dyn Sink>, SinkError> {
    match connector.kind.as_str() {
        "mysql" | "sqlite" => Ok(Box::new(sql::SqlSink::new(connector, pipeline, incarnation)?)),
        "mongodb" => Ok(Box::new(mongodb::MongoSink::new(connector, incarnation)?)),
        "file" => Ok(Box::new(file::FileSink::new(connector)?)),
        "stdout" => Ok(Box::new(stdout::StdoutSink::new(connector)?)),
        "blackhole" => Ok(Box::new(blackhole::BlackholeSink::new(connector))),
        other => Err(SinkError::Fatal {
            what: format!(
                "sink {} has the unknown type {other:?}; there are mysql, sqlite, mongodb, file, stdout and blackhole",
                connector.name
            ),
        }),
    }
}
