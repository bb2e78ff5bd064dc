//! The commands `delete`, `update` and `insert`: many operations each, unordered.
//!
//! Commands of a database and not the driver's bulk write, which needs a server of version 8.

use mongodb::Database;
use mongodb::bson::{Bson, Document, RawArrayBuf, RawDocumentBuf, cstr, doc};
use mongodb::options::WriteConcern;

use super::document::ORIGIN;
use super::error::{Fault, of_code, of_command};
use super::plan::{Action, Op};
use crate::records::Refusal;

/// A command is a document, which has at most 16 MiB; this leaves room for what is around an
/// operation.
const OPERATION_BYTES_MAX: usize = (16 << 20) - (16 << 10);
/// More operations or bytes are cut into several commands.
const COMMAND_OPERATIONS_MAX: usize = 1_000;
const COMMAND_BYTES_MAX: usize = 8 << 20;

/// Which records a sink's documents come from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) incarnation: String,
    pub(super) topic: String,
    pub(super) topic_id: String,
    pub(super) partition: u32,
}

impl Origin {
    fn at(&self, offset: i64) -> Document {
        doc! {
            "incarnation": &self.incarnation,
            "topic": &self.topic,
            "topic_id": &self.topic_id,
            "partition": i64::from(self.partition),
            "offset": offset,
        }
    }

    /// The filter that finds the document unless this partition has written a later one.
    fn guarded(&self, id: &Bson, offset: i64) -> Document {
        doc! {
            "_id": id.clone(),
            "$or": [
                { ORIGIN: { "$exists": false } },
                { format!("{ORIGIN}.incarnation"): { "$ne": &self.incarnation } },
                { format!("{ORIGIN}.topic_id"): { "$ne": &self.topic_id } },
                { format!("{ORIGIN}.partition"): { "$ne": i64::from(self.partition) } },
                { format!("{ORIGIN}.offset"): { "$lt": offset } },
            ],
        }
    }

    /// Whether a document that holds `origin` was written by this partition at `offset` or later.
    pub(super) fn is_past(&self, origin: Option<&Document>, offset: i64) -> bool {
        origin.is_some_and(|origin| {
            origin.get_str("incarnation").is_ok_and(|text| text == self.incarnation)
                && origin.get_str("topic_id").is_ok_and(|text| text == self.topic_id)
                && integer(origin.get("partition")) == Some(self.partition.into())
                && integer(origin.get("offset")).is_some_and(|written| written >= offset)
        })
    }
}

pub(super) fn integer(value: Option<&Bson>) -> Option<i64> {
    match value? {
        Bson::Int32(value) => Some((*value).into()),
        Bson::Int64(value) => Some(*value),
        Bson::Double(value) => Some(*value as i64),
        _ => None,
    }
}

/// Which command an operation belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Delete,
    Update,
    Insert,
}

impl Verb {
    pub(super) fn of(op: &Op) -> Self {
        match op.action {
            Action::Delete => Self::Delete,
            Action::Replace(_) | Action::Set(_) => Self::Update,
            Action::Insert(_) => Self::Insert,
        }
    }
}

/// An operation as the command has it. `origin` is that of a guarded sink.
pub(super) fn encode(op: &Op, origin: &Origin, guard: bool) -> Result<RawDocumentBuf, Refusal> {
    let filter = match guard {
        true => origin.guarded(&op.id, op.offset),
        false => doc! { "_id": op.id.clone() },
    };
    let marked = |document: &Document| {
        let mut document = document.clone();
        if guard {
            document.insert(ORIGIN, origin.at(op.offset));
        }
        document
    };
    let operation = match &op.action {
        Action::Delete => doc! { "q": filter, "limit": 1 },
        Action::Replace(document) => doc! { "q": filter, "u": marked(document), "upsert": true, "multi": false },
        Action::Set(document) => {
            let mut set = marked(document);
            if set.is_empty() {
                // Nothing to set is not allowed; the document is there all the same.
                set.insert("_id", op.id.clone());
            }
            doc! { "q": filter, "u": { "$set": set }, "upsert": true, "multi": false }
        }
        Action::Insert(document) => {
            let mut whole = doc! { "_id": op.id.clone() };
            whole.extend(marked(document));
            whole
        }
    };
    let raw = RawDocumentBuf::try_from(&operation).map_err(|error| Refusal::new("bad-value", error.to_string()))?;
    match raw.as_bytes().len() {
        bytes if bytes > OPERATION_BYTES_MAX => Err(Refusal::new(
            "too-large",
            format!("the document has {bytes} bytes, MongoDB takes {OPERATION_BYTES_MAX}"),
        )),
        _ => Ok(raw),
    }
}

/// How many of `operations` the next command takes.
pub(super) fn chunk(operations: &[RawDocumentBuf]) -> usize {
    let mut bytes = 0_usize;
    let fitting = operations
        .iter()
        .take_while(|operation| {
            bytes = bytes.saturating_add(operation.as_bytes().len());
            bytes <= COMMAND_BYTES_MAX
        })
        .take(COMMAND_OPERATIONS_MAX)
        .count();
    fitting.max(1)
}

/// An operation that the server did not carry out.
#[derive(Debug)]
pub(super) struct WriteError {
    /// Its place among the operations.
    pub(super) at: usize,
    pub(super) code: i32,
    pub(super) message: String,
}

/// What a command did.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) errors: Vec<WriteError>,
    /// Whether there are operations of which the server says neither that they were carried out
    /// nor that they failed. FerretDB stops an update at the first error, ordered or not, and
    /// gives that error no place.
    pub(super) is_short: bool,
}

/// Carries operations of one kind out and answers which failed.
pub(super) async fn run(
    database: &Database,
    collection: &str,
    verb: Verb,
    operations: &[RawDocumentBuf],
    concern: &RawDocumentBuf,
) -> Result<Reply, Fault> {
    let mut list = RawArrayBuf::new();
    for operation in operations {
        list.push(operation.clone());
    }
    let mut command = RawDocumentBuf::new();
    match verb {
        Verb::Delete => {
            command.append(cstr!("delete"), collection);
            command.append(cstr!("deletes"), list);
        }
        Verb::Update => {
            command.append(cstr!("update"), collection);
            command.append(cstr!("updates"), list);
        }
        Verb::Insert => {
            command.append(cstr!("insert"), collection);
            command.append(cstr!("documents"), list);
        }
    }
    command.append(cstr!("ordered"), false);
    command.append(cstr!("writeConcern"), concern.clone());
    let reply = database
        .run_raw_command(command)
        .await
        .map_err(|error| of_command(&error))?;
    if let Ok(error) = reply.get_document("writeConcernError") {
        let text = error
            .get_str("errmsg")
            .unwrap_or("the write concern was not met")
            .to_owned();
        return Err(match of_code(integer(error.get("code")).unwrap_or(64) as i32, text) {
            Fault::Fatal(text) => Fault::Fatal(text),
            Fault::Retriable(text) => Fault::Retriable(text),
            Fault::Document(refusal) => Fault::Retriable(refusal.message),
        });
    }
    let errors = reply.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
    let errors: Vec<WriteError> = errors
        .iter()
        .filter_map(Bson::as_document)
        .map(|error| WriteError {
            at: integer(error.get("index"))
                .and_then(|index| usize::try_from(index).ok())
                .unwrap_or(usize::MAX),
            code: integer(error.get("code")).unwrap_or(0) as i32,
            message: error.get_str("errmsg").unwrap_or("no message").to_owned(),
        })
        .collect();
    let carried_out = integer(reply.get("n"))
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(0);
    Ok(Reply {
        // Every update finds its document or makes it; a delete may find none.
        is_short: verb != Verb::Delete && carried_out + errors.len() < operations.len(),
        errors,
    })
}

/// The write concern of the URL, else that of a majority: what one server alone has may be lost,
/// and the group's offset is committed after it.
pub(super) fn concern(of_url: Option<&WriteConcern>) -> RawDocumentBuf {
    let document = of_url.and_then(|concern| mongodb::bson::serialize_to_document(concern).ok());
    let document = document
        .filter(|document| !document.is_empty())
        .unwrap_or_else(|| doc! { "w": "majority" });
    RawDocumentBuf::try_from(&document).unwrap_or_default()
}
