//! MySQL and SQLite: rows and the position of the input in one transaction.
//!
//! - [`settings`]: what the pipeline says; [`connection`], [`dialect`], [`error`]: what the
//!   databases differ in.
//! - [`table`], [`create`]: the table, read or made; [`value`], [`plan`]: from records to rows.
//! - [`offsets`], [`write`]: the transaction.

mod connection;
mod create;
mod dialect;
mod error;
mod offsets;
mod plan;
mod settings;
mod table;
mod value;
mod write;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use record::batch::Batch;
use record::error::Failure;
use record::sink::{Sink, SinkError, SinkPartition};
use record::topology::Connector;
use record::{NextOffset, TopicPartition};
use sqlx::Error;
use tokio::time::timeout;

use self::connection::Connection;
use self::create::Derived;
use self::dialect::Dialect;
use self::error::{Fault, classify};
use self::offsets::{Position, Row};
use self::plan::Op;
use self::settings::{Place, Settings};
use self::table::{Table, TableError};
use self::write::{Advance, Stop};
use crate::json;
use crate::records::{Record, Refusal, rejected, wanted};
use crate::redact::Redactor;

/// A connection and the table as it was read over it.
struct Session {
    connection: Connection,
    /// `None`: it is made from the first batch.
    table: Option<Arc<Table>>,
}

/// A partition that this sink owns.
struct Held {
    row: Row,
    position: Position,
}

/// The sinks `mysql` and `sqlite`.
pub(crate) struct SqlSink {
    name: Arc<str>,
    pipeline: String,
    incarnation: String,
    place: Place,
    settings: Settings,
    redactor: Redactor,
    /// Taken out while it is used: a call that is given up half-way leaves none, and dropping it
    /// ends its transaction.
    session: Option<Session>,
    /// Taken out likewise: after a commit of unknown fate a partition is not held.
    held: HashMap<TopicPartition, Held>,
}

impl SqlSink {
    pub(crate) fn new(connector: &Connector, pipeline: &str, incarnation: &str) -> Result<Self, SinkError> {
        let (place, settings, redactor) = settings::read(connector)?;
        Ok(Self {
            name: Arc::clone(&connector.name),
            pipeline: pipeline.to_owned(),
            incarnation: incarnation.to_owned(),
            place,
            settings,
            redactor,
            session: None,
            held: HashMap::new(),
        })
    }

    fn dialect(&self) -> Dialect {
        match self.place {
            Place::MySql(_) => Dialect::MySql,
            Place::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// `what` with the sink's place before it and without passwords.
    fn say(&self, what: &str) -> String {
        format!(
            "sink {} ({}, table {}): {}",
            self.name,
            self.dialect().name(),
            self.settings.table,
            self.redactor.clean(what)
        )
    }

    fn retriable(&self, what: &str) -> SinkError {
        SinkError::Retriable { what: self.say(what) }
    }

    fn fatal(&self, what: &str) -> SinkError {
        SinkError::Fatal { what: self.say(what) }
    }

    fn error(&self, error: &Error) -> SinkError {
        self.fault(classify(error, self.dialect()))
    }

    fn fault(&self, fault: Fault) -> SinkError {
        match fault {
            Fault::Retriable(what) => self.retriable(&what),
            Fault::Row(refusal) => self.fatal(&refusal.message),
            Fault::Fatal(what) => self.fatal(&what),
        }
    }

    /// The connection there is, or a new one with the table read and made as the settings say.
    async fn session(&mut self) -> Result<Session, SinkError> {
        if let Some(session) = self.session.take() {
            return Ok(session);
        }
        let mut connection = Connection::open(&self.place)
            .await
            .map_err(|error| self.error(&error))?;
        offsets::create_table(&mut connection)
            .await
            .map_err(|error| self.error(&error))?;
        let table = match self.read_table(&mut connection).await? {
            Some(table) => Some(table),
            None if !self.settings.create_table => {
                return Err(self.fatal(
                    "the table does not exist; create it, or set create_table = true (and `columns`, the names and types \
                     of its columns)",
                ));
            }
            None => {
                let sql = create::named(&self.settings, self.dialect(), connection.key_collation.as_deref());
                match sql {
                    Some(sql) => self.create(&mut connection, &sql).await?,
                    None => None,
                }
            }
        };
        Ok(Session { connection, table })
    }

    async fn read_table(&self, connection: &mut Connection) -> Result<Option<Arc<Table>>, SinkError> {
        match table::read(connection, &self.settings).await {
            Ok(table) => {
                if self.settings.mode == settings::Mode::Upsert && !table.exact_key {
                    tracing::warn!(
                        sink = %self.name, table = %self.settings.table, key = ?self.settings.key,
                        "the key columns have a type or collation by which different keys can be one row \
                         (letters of either case, say)"
                    );
                }
                Ok(Some(Arc::new(table)))
            }
            Err(TableError::Missing) => Ok(None),
            Err(TableError::Unfit(what)) => Err(self.fatal(&what)),
            Err(TableError::Database(error)) => Err(self.error(&error)),
        }
    }

    async fn create(&self, connection: &mut Connection, sql: &str) -> Result<Option<Arc<Table>>, SinkError> {
        connection.run(sql).await.map_err(|error| self.error(&error))?;
        let table = self.read_table(connection).await?;
        if table.is_none() {
            return Err(self.retriable("the table was created and then dropped by somebody else"));
        }
        Ok(table)
    }

    async fn take_over(&mut self, partition: &SinkPartition) -> Result<Option<NextOffset>, SinkError> {
        self.held.remove(&partition.at);
        let mut session = self.session().await?;
        let row = Row::new(&self.pipeline, &self.name, &self.incarnation, partition);
        let connection = &mut session.connection;
        let position = async {
            connection.run(connection.dialect().begin()).await?;
            let position = offsets::take_over(connection, &row).await?;
            connection.run("COMMIT").await?;
            Ok(position)
        };
        // After an error the connection is dropped, and its transaction with it.
        let position: Position = position.await.map_err(|error| self.error(&error))?;
        self.session = Some(session);
        self.held.insert(partition.at.clone(), Held { row, position });
        Ok(position.next.map(NextOffset))
    }

    async fn deliver(&mut self, batch: &Batch, skip: &[u32], next: NextOffset) -> Result<(), SinkError> {
        let at = batch.place();
        let Some(mut held) = self.held.remove(&at) else {
            return Err(self.retriable(&format!("partition {at} has to be opened first")));
        };
        if held.position.next.is_some_and(|done| next.0 <= done) {
            self.held.insert(at, held);
            return Ok(());
        }
        let mut session = match self.session().await {
            Ok(session) => session,
            Err(error) => {
                self.held.insert(at, held);
                return Err(error);
            }
        };
        let records: Vec<Record<'_>> = wanted(batch, skip, held.position.next).collect();
        let ops = match self.ops(&mut session, &records).await {
            Ok(ops) => ops,
            Err(error) => {
                self.held.insert(at, held);
                if matches!(error, SinkError::Rejected(_)) {
                    self.session = Some(session);
                }
                return Err(error);
            }
        };
        let table = session.table.clone();
        let runs = table
            .as_deref()
            .map(|table| plan::plan(ops, self.settings.mode, table))
            .unwrap_or_default();
        let advance = Advance {
            row: &held.row,
            epoch: held.position.epoch,
            next: next.0,
        };
        let connection = &mut session.connection;
        let result = write::transaction(connection, &self.settings, table.as_deref(), &runs, &advance).await;
        let error = match result {
            Ok(()) => {
                held.position.next = Some(next.0);
                self.session = Some(session);
                self.held.insert(at, held);
                return Ok(());
            }
            // Neither the connection nor the position can be relied on: `open` tells.
            Err(Stop::Unknown(what)) => {
                return Err(self.retriable(&format!("it is not known whether the commit happened ({what})")));
            }
            Err(Stop::Fenced) => SinkError::Fenced { at: at.clone() },
            Err(Stop::Rejected(failures)) => {
                self.session = Some(session);
                self.held.insert(at, held);
                return Err(rejected(failures));
            }
            Err(Stop::Failed(fault)) => self.fault(fault),
        };
        if session.connection.run("ROLLBACK").await.is_ok() {
            self.session = Some(session);
        }
        if !matches!(error, SinkError::Fenced { .. }) {
            self.held.insert(at, held);
        }
        Err(error)
    }

    /// What the records ask for; makes the table first when it is to be derived from them.
    async fn ops<'a>(&self, session: &mut Session, records: &[Record<'a>]) -> Result<Vec<Op<'a>>, SinkError> {
        let mut failures: Vec<Failure> = Vec::new();
        if session.table.is_none() {
            session.table = self.derive(&mut session.connection, records, &mut failures).await?;
            if !failures.is_empty() {
                return Err(rejected(failures));
            }
        }
        // Without a table there are only tombstones, of rows that do not exist.
        let Some(table) = session.table.as_deref() else {
            return Ok(Vec::new());
        };
        let dialect = self.dialect();
        let mut ops = Vec::with_capacity(records.len());
        for record in records {
            let op = match record.value {
                Some(value) => json::object(value)
                    .and_then(|fields| plan::put(record.index, &fields, table, self.settings.mode, dialect)),
                None => plan::delete(*record, table, dialect),
            };
            match op.and_then(|op| fits(op, session.connection.bytes_max)) {
                Ok(op) => ops.push(op),
                Err(refusal) => failures.push(refusal.of(record.index)),
            }
        }
        match failures.is_empty() {
            true => Ok(ops),
            false => Err(rejected(failures)),
        }
    }

    async fn derive(
        &self,
        connection: &mut Connection,
        records: &[Record<'_>],
        failures: &mut Vec<Failure>,
    ) -> Result<Option<Arc<Table>>, SinkError> {
        // Another process may have made it since.
        if let Some(table) = self.read_table(connection).await? {
            return Ok(Some(table));
        }
        let mut derived = Derived::default();
        let mut is_empty = true;
        for record in records {
            let Some(value) = record.value else { continue };
            is_empty = false;
            let added = json::object(value).and_then(|fields| {
                let mut own = Derived::default();
                own.add(&fields)?;
                match self.settings.key.iter().find(|name| !own.has(name)) {
                    Some(name) => Err(Refusal::new(
                        "missing-key",
                        format!("the key column {name} is missing in the value"),
                    )),
                    None => derived.add(&fields),
                }
            });
            if let Err(refusal) = added {
                failures.push(refusal.of(record.index));
            }
        }
        if is_empty || !failures.is_empty() {
            return Ok(None);
        }
        let (sql, columns) = derived.sql(&self.settings, self.dialect(), connection.key_collation.as_deref());
        let table = self.create(connection, &sql).await?;
        tracing::info!(
            sink = %self.name, table = %self.settings.table, %columns,
            "created the table with columns derived from the first batch; to choose them, set `columns`"
        );
        Ok(table)
    }
}

fn fits(op: Op<'_>, bytes_max: usize) -> Result<Op<'_>, Refusal> {
    match op.bytes() {
        bytes if bytes > bytes_max => Err(Refusal::new(
            "too-large",
            format!("the row has about {bytes} bytes, the database takes {bytes_max} (max_allowed_packet)"),
        )),
        _ => Ok(op),
    }
}

impl Sink for SqlSink {
    fn open<'a>(&'a mut self, partition: &'a SinkPartition) -> BoxFuture<'a, Result<Option<NextOffset>, SinkError>> {
        let limit = self.settings.timeout();
        async move {
            match timeout(limit, self.take_over(partition)).await {
                Ok(result) => result,
                Err(_) => Err(self.retriable(&format!("no answer within {limit:?}"))),
            }
        }
        .boxed()
    }

    fn write<'a>(
        &'a mut self,
        batch: &'a Batch,
        skip: &'a [u32],
        next: NextOffset,
    ) -> BoxFuture<'a, Result<(), SinkError>> {
        let limit = self.settings.timeout();
        async move {
            match timeout(limit, self.deliver(batch, skip, next)).await {
                Ok(result) => result,
                Err(_) => Err(self.retriable(&format!("no answer within {limit:?}"))),
            }
        }
        .boxed()
    }

    fn close<'a>(&'a mut self, at: &'a TopicPartition) -> BoxFuture<'a, ()> {
        self.held.remove(at);
        if self.held.is_empty() {
            self.session = None;
        }
        std::future::ready(()).boxed()
    }
}
