//! MongoDB: one idempotent operation for each `_id`.
//!
//! There are no transactions. The group's offset is the truth; records that come again write the
//! same documents again, and the guard keeps an older write of a partition from replacing a newer.
//!
//! - [`settings`]: what the pipeline says; [`document`]: from JSON to BSON.
//! - [`plan`]: one operation for each `_id`; [`command`], [`error`]: what the server is told, and
//!   what it says.

mod command;
mod document;
mod error;
mod plan;
mod settings;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};
use record::batch::Batch;
use record::error::Failure;
use record::sink::{Sink, SinkError, SinkPartition};
use record::topology::Connector;
use record::{NextOffset, TopicPartition};
use tokio::time::timeout;

use self::command::{Origin, Verb};
use self::document::ORIGIN;
use self::error::{DUPLICATE_KEY, Fault, of_code, of_command};
use self::plan::{Action, Op};
use self::settings::Settings;
use crate::records::{Refusal, rejected, wanted};

/// How often an operation is tried whose document came and went under it.
const RACES_MAX: usize = 5;

/// A client, and how it is used.
#[derive(Clone)]
struct Session {
    database: Database,
    concern: RawDocumentBuf,
}

/// The sink `mongodb`.
pub(crate) struct MongoSink {
    name: Arc<str>,
    incarnation: String,
    settings: Settings,
    session: Option<Session>,
    /// The topic ids of the partitions that are open.
    held: HashMap<TopicPartition, String>,
}

impl MongoSink {
    pub(crate) fn new(connector: &Connector, incarnation: &str) -> Result<Self, SinkError> {
        Ok(Self {
            name: Arc::clone(&connector.name),
            incarnation: incarnation.to_owned(),
            settings: settings::read(connector)?,
            session: None,
            held: HashMap::new(),
        })
    }

    /// `what` with the sink's place before it and without passwords.
    fn say(&self, what: &str) -> String {
        format!(
            "sink {} (mongodb, collection {}.{}): {}",
            self.name,
            self.settings.database,
            self.settings.collection,
            self.settings.redactor.clean(what)
        )
    }

    fn retriable(&self, what: &str) -> SinkError {
        SinkError::Retriable { what: self.say(what) }
    }

    fn fault(&self, fault: Fault) -> SinkError {
        match fault {
            Fault::Retriable(what) => self.retriable(&what),
            Fault::Document(Refusal { message: what, .. }) | Fault::Fatal(what) => {
                SinkError::Fatal { what: self.say(&what) }
            }
        }
    }

    async fn session(&mut self) -> Result<Session, Fault> {
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        let mut options = ClientOptions::parse(self.settings.url.reveal())
            .await
            .map_err(|error| of_command(&error))?;
        options.app_name.get_or_insert_with(|| "wasmill".to_owned());
        // The driver's 30 s hide for long that nobody answers.
        options.server_selection_timeout.get_or_insert(Duration::from_secs(10));
        let concern = command::concern(options.write_concern.as_ref());
        let client = Client::with_options(options).map_err(|error| of_command(&error))?;
        let database = client.database(&self.settings.database);
        database
            .run_command(doc! { "ping": 1 })
            .await
            .map_err(|error| of_command(&error))?;
        let session = Session { database, concern };
        self.session = Some(session.clone());
        Ok(session)
    }

    async fn take(&mut self, partition: &SinkPartition) -> Result<Option<NextOffset>, SinkError> {
        self.session().await.map_err(|fault| self.fault(fault))?;
        self.held.insert(partition.at.clone(), partition.topic_id.clone());
        Ok(None)
    }

    async fn deliver(&mut self, batch: &Batch, skip: &[u32]) -> Result<(), SinkError> {
        let at = batch.place();
        let Some(topic_id) = self.held.get(&at).cloned() else {
            return Err(self.retriable(&format!("partition {at} has to be opened first")));
        };
        let session = self.session().await.map_err(|fault| self.fault(fault))?;
        let waves = plan::plan(wanted(batch, skip, None), batch, &self.settings).map_err(rejected)?;
        let writer = Writer {
            session,
            settings: &self.settings,
            origin: Origin {
                incarnation: self.incarnation.clone(),
                topic: batch.topic.to_string(),
                topic_id,
                partition: batch.partition,
            },
        };
        let mut failures = Vec::new();
        for wave in waves {
            for (op, refusal) in writer.apply(&wave).await.map_err(|fault| self.fault(fault))? {
                if op.parts.is_empty() {
                    failures.push(refusal.of(op.index));
                    continue;
                }
                // Several records are in it: which of them is to blame shows when they go alone.
                writer
                    .apply_parts(&op.parts, &mut failures)
                    .await
                    .map_err(|fault| self.fault(fault))?;
            }
        }
        match failures.is_empty() {
            true => Ok(()),
            false => Err(rejected(failures)),
        }
    }
}

/// Writes operations of one partition.
struct Writer<'a> {
    session: Session,
    settings: &'a Settings,
    origin: Origin,
}

impl Writer<'_> {
    /// Carries out operations that concern different documents; answers those that were refused.
    async fn apply(&self, ops: &[Op]) -> Result<Vec<(Op, Refusal)>, Fault> {
        let mut refused = Vec::new();
        for verb in [Verb::Delete, Verb::Update, Verb::Insert] {
            let mut left: Vec<Op> = ops.iter().filter(|op| Verb::of(op) == verb).cloned().collect();
            for attempt in 1.. {
                let conflicts = self.send(verb, left, &mut refused).await?;
                if conflicts.is_empty() {
                    break;
                }
                left = self.resolve(conflicts, attempt == RACES_MAX, &mut refused).await?;
                if left.is_empty() {
                    break;
                }
            }
        }
        Ok(refused)
    }

    async fn apply_parts(&self, parts: &[Op], failures: &mut Vec<Failure>) -> Result<(), Fault> {
        for part in parts {
            for (op, refusal) in self.apply(std::slice::from_ref(part)).await? {
                failures.push(refusal.of(op.index));
            }
        }
        Ok(())
    }

    /// Sends operations of one kind; answers those that met a duplicate key.
    async fn send(
        &self,
        verb: Verb,
        ops: Vec<Op>,
        refused: &mut Vec<(Op, Refusal)>,
    ) -> Result<Vec<(Op, String)>, Fault> {
        let mut sent = Vec::with_capacity(ops.len());
        let mut encoded = Vec::with_capacity(ops.len());
        for op in ops {
            match command::encode(&op, &self.origin, self.settings.guard) {
                Ok(raw) => {
                    encoded.push(raw);
                    sent.push(op);
                }
                Err(refusal) => refused.push((op, refusal)),
            }
        }
        let mut conflicts = Vec::new();
        let (mut operations, mut ops) = (encoded.as_slice(), sent.as_slice());
        let mut alone = 0_usize;
        while !operations.is_empty() {
            let count = if alone > 0 {
                1
            } else {
                command::chunk(operations).min(operations.len())
            };
            let (now, later) = operations.split_at(count);
            let (these, others) = ops.split_at(count);
            let Session { database, concern } = &self.session;
            let reply = command::run(database, &self.settings.collection, verb, now, concern).await?;
            if reply.is_short && count > 1 {
                // One by one: what was carried out already meets the guard or is done again.
                alone = count;
                continue;
            }
            if reply.is_short && reply.errors.is_empty() {
                return Err(Fault::Retriable(
                    "the server did not say what became of an operation".to_owned(),
                ));
            }
            for error in reply.errors {
                let Some(op) = these.get(error.at) else {
                    return Err(Fault::Fatal(error.message));
                };
                if error.code == DUPLICATE_KEY {
                    conflicts.push((op.clone(), error.message));
                    continue;
                }
                match of_code(error.code, error.message) {
                    Fault::Document(refusal) => refused.push((op.clone(), refusal)),
                    fault => return Err(fault),
                }
            }
            (operations, ops) = (later, others);
            alone = alone.saturating_sub(count);
        }
        Ok(conflicts)
    }

    /// What a duplicate key means: our own later write (the operation is done, or old), a race
    /// with another writer (answered, to be tried again), or another unique index (refused).
    async fn resolve(
        &self,
        conflicts: Vec<(Op, String)>,
        is_last: bool,
        refused: &mut Vec<(Op, Refusal)>,
    ) -> Result<Vec<Op>, Fault> {
        let ids: Vec<Bson> = conflicts.iter().map(|(op, _)| op.id.clone()).collect();
        let collection = self.session.database.collection::<Document>(&self.settings.collection);
        let found = collection
            .find(doc! { "_id": { "$in": ids } })
            .projection(doc! { ORIGIN: 1 });
        let found: Vec<Document> = async { found.await?.try_collect().await }
            .await
            .map_err(|error| of_command(&error))?;
        let mut left = Vec::new();
        for (op, message) in conflicts {
            let existing = found
                .iter()
                .find(|document| document.get("_id").is_some_and(|id| same_id(id, &op.id)));
            let origin = existing.and_then(|document| document.get_document(ORIGIN).ok());
            let duplicate = || Refusal::new("duplicate-key", message.clone());
            if self.settings.guard && self.origin.is_past(origin, op.offset) {
                continue;
            }
            match (&op.action, existing) {
                // Without the guard a replay looks the same as a record with an `_id` that is taken.
                (Action::Insert(_), Some(_)) if !self.settings.guard => {}
                (Action::Insert(_), _) => refused.push((op.clone(), duplicate())),
                _ if is_last => refused.push((op.clone(), duplicate())),
                _ => left.push(op),
            }
        }
        Ok(left)
    }
}

/// Numbers of different types are the same `_id`.
fn same_id(a: &Bson, b: &Bson) -> bool {
    let number = |id: &Bson| match id {
        Bson::Double(value) => Some(*value),
        Bson::Int32(value) => Some((*value).into()),
        _ => None,
    };
    match (a, b) {
        (Bson::Int64(a), b @ (Bson::Int32(_) | Bson::Double(_))) => number(b) == Some(*a as f64),
        (a @ (Bson::Int32(_) | Bson::Double(_)), Bson::Int64(b)) => number(a) == Some(*b as f64),
        (a, b) => a == b || (number(a).is_some() && number(a) == number(b)),
    }
}

impl Sink for MongoSink {
    fn open<'a>(&'a mut self, partition: &'a SinkPartition) -> BoxFuture<'a, Result<Option<NextOffset>, SinkError>> {
        let limit = self.settings.timeout;
        async move {
            match timeout(limit, self.take(partition)).await {
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
        _: NextOffset,
    ) -> BoxFuture<'a, Result<(), SinkError>> {
        let limit = self.settings.timeout;
        async move {
            match timeout(limit, self.deliver(batch, skip)).await {
                Ok(result) => result,
                Err(_) => Err(self.retriable(&format!("no answer within {limit:?}"))),
            }
        }
        .boxed()
    }

    fn close<'a>(&'a mut self, at: &'a TopicPartition) -> BoxFuture<'a, ()> {
        self.held.remove(at);
        std::future::ready(()).boxed()
    }
}
