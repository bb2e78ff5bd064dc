//! A source that is not a topic, read by the worker that owns partition 0 of its topic. What is
//! read goes to the topic, and the source's position into the same transaction.

use std::sync::Arc;

use record::log::{LogError, Session};
use record::offset::Timestamp;
use record::origin::DeadLetter;
use record::partitioner::partition_for;
use record::source::{ReadEnd, Source, SourceError, Undecodable};
use record::topology::{Ingest, OnError, TopicId};
use record::{Batch, TopicPartition};

use crate::keys;

/// Records read at once.
const READ_RECORDS: usize = 256;
/// What is kept to be written again after an abort; more forces a commit.
const UNCOMMITTED_BYTES: usize = 32 << 20;
/// Before the source's position in the note: whether it has ended.
const ENDED: char = 'E';
const GOES_ON: char = 'M';

/// What a read led to.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) records: usize,
    pub(crate) dead_letters: Option<Batch>,
    pub(crate) skipped: usize,
    /// Input that does not parse and whose policy is `fail`: where, and why.
    pub(crate) stopped: Option<Undecodable>,
}

pub(crate) struct IngestTask {
    pub(crate) at: TopicPartition,
    plan: Ingest,
    pipeline: Arc<str>,
    source: Box<dyn Source>,
    partitions: u32,
    /// Read since the last commit: written again after an abort.
    uncommitted: Vec<(Batch, Vec<u32>)>,
    uncommitted_bytes: usize,
    /// How many of `uncommitted` are in the open transaction.
    written: usize,
    /// Dead letters since the last commit: given out again after an abort.
    letters: Batch,
    /// How many of `letters` were given out since then.
    letters_given: usize,
    advanced: bool,
    count: u64,
    ended: bool,
    idle: bool,
    /// How many records a read may find.
    read_records: usize,
    /// The position before the input that stopped the source; only what is before it is committed.
    stopped_at: Option<String>,
    /// The position that was committed last.
    committed_at: String,
    loops: bool,
}

impl IngestTask {
    pub(crate) fn open(
        at: TopicPartition,
        plan: Ingest,
        pipeline: Arc<str>,
        mut source: Box<dyn Source>,
        partitions: u32,
        note: Option<&str>,
        bounded: bool,
    ) -> Result<Self, SourceError> {
        source.open(note.and_then(|text| text.get(1..)))?;
        let letters = Batch::new(Arc::clone(&at.topic), 0);
        let committed_at = source.position();
        Ok(Self {
            at,
            plan,
            pipeline,
            source,
            partitions,
            uncommitted: Vec::new(),
            uncommitted_bytes: 0,
            written: 0,
            letters,
            letters_given: 0,
            advanced: false,
            count: 0,
            ended: false,
            idle: false,
            read_records: READ_RECORDS,
            stopped_at: None,
            committed_at,
            loops: !bounded,
        })
    }

    /// Whether a note says that the source has ended.
    pub(crate) fn note_has_ended(note: Option<&str>) -> bool {
        note.is_some_and(|text| text.starts_with(ENDED))
    }

    /// The topic that the source fills.
    pub(crate) fn topic(&self) -> TopicId {
        self.plan.topic
    }

    /// Whether the source has ended for this run.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended && !self.loops
    }

    /// Whether it stands at input that it cannot read, or that its topic refuses.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped_at.is_some()
    }

    /// Whether the next read may find something at once.
    pub(crate) fn is_busy(&self) -> bool {
        !self.idle && self.stopped_at.is_none() && !self.has_ended()
    }

    pub(crate) fn is_advanced(&self) -> bool {
        self.advanced
    }

    pub(crate) fn wants_commit(&self) -> bool {
        self.uncommitted_bytes > UNCOMMITTED_BYTES
    }

    /// What is committed with the position of partition 0.
    pub(crate) fn note(&self) -> String {
        let flag = if self.has_ended() { ENDED } else { GOES_ON };
        match &self.stopped_at {
            Some(position) => format!("{flag}{position}"),
            None => format!("{flag}{}", self.source.position()),
        }
    }

    /// Writes what an abort has undone. Its position must not be committed before that.
    pub(crate) fn write_again(&mut self, session: &mut dyn Session) -> Result<(), LogError> {
        while let Some((batch, partitions)) = self.uncommitted.get(self.written) {
            session.produce(&self.at.topic, batch, partitions)?;
            self.written += 1;
        }
        Ok(())
    }

    /// Reads once and writes what was found. After an abort it first writes again what it held.
    pub(crate) fn step(
        &mut self,
        session: &mut dyn Session,
        now: Timestamp,
    ) -> Result<Result<Read, LogError>, SourceError> {
        if let Err(error) = self.write_again(session) {
            return Ok(Err(error));
        }
        if self.stopped_at.is_some() || self.has_ended() {
            self.idle = true;
            return Ok(Ok(Read {
                dead_letters: self.give_letters(),
                ..Read::default()
            }));
        }
        let mut batch = Batch::new(Arc::clone(&self.at.topic), 0);
        let mut undecodable = Vec::new();
        let before = self.source.position();
        let end = self.source.read(self.read_records, &mut batch, &mut undecodable)?;
        self.idle = end == ReadEnd::Idle || (end == ReadEnd::End && batch.is_empty());
        let mut read = Read::default();
        if let Some(pointer) = &self.plan.key {
            let failures = keys::set_keys(&mut batch, pointer);
            if !failures.is_empty() {
                for (i, failure) in &failures {
                    undecodable.push(Undecodable {
                        raw: batch.values.get(*i).unwrap_or_default().to_vec(),
                        place: format!("record {}", self.count + *i as u64),
                        message: failure.message.clone(),
                    });
                }
                batch = batch.filtered(|i| failures.binary_search_by_key(&i, |(at, _)| *at).is_err());
            }
        }
        self.dispose(undecodable, now, &mut read);
        read.dead_letters = self.give_letters();
        if read.stopped.is_some() {
            if self.read_records > 1 {
                // Again, record by record: what stands before the bad input is still written.
                self.source.open(Some(&before))?;
                self.read_records = 1;
                self.idle = false;
                return Ok(Ok(Read::default()));
            }
            self.stopped_at = Some(before);
            return Ok(Ok(read));
        }
        if end == ReadEnd::End && !self.ended {
            self.ended = true;
            self.advanced = true;
        }
        if batch.is_empty() {
            self.advanced |= read.skipped > 0 || read.dead_letters.is_some();
            return Ok(Ok(read));
        }
        read.records = batch.len();
        self.count += batch.len() as u64;
        self.advanced = true;
        let first = self.count - batch.len() as u64;
        let partitions: Vec<u32> = (0..batch.len())
            .map(|i| {
                let turn = ((first + i as u64) % u64::from(self.partitions.max(1))) as u32;
                partition_for(batch.keys.get(i), turn, self.partitions)
            })
            .collect();
        let outcome = session.produce(&self.at.topic, &batch, &partitions);
        self.uncommitted_bytes += batch.bytes();
        self.uncommitted.push((batch, partitions));
        if let Err(error) = outcome {
            return Ok(Err(error));
        }
        self.written = self.uncommitted.len();
        Ok(Ok(read))
    }

    /// The dead letters that are not in the open transaction yet.
    pub(crate) fn give_letters(&mut self) -> Option<Batch> {
        let from = std::mem::replace(&mut self.letters_given, self.letters.len());
        (from < self.letters.len()).then(|| self.letters.filtered(|i| i >= from))
    }

    fn dispose(&mut self, undecodable: Vec<Undecodable>, now: Timestamp, read: &mut Read) {
        for input in undecodable {
            match self.plan.on_undecodable {
                OnError::Fail => {
                    read.stopped = Some(input);
                    return;
                }
                OnError::Skip => read.skipped += 1,
                OnError::DeadLetter => {
                    let mut raw = Batch::new(Arc::clone(&self.at.topic), 0);
                    raw.push(None, Some(&input.raw), now);
                    let letter = DeadLetter {
                        pipeline: &self.pipeline,
                        node: &self.plan.connector.name,
                        plugin: "",
                        code: "undecodable",
                        message: &format!("{}: {}", input.place, input.message),
                        detail: "",
                    };
                    let before = self.letters.bytes();
                    letter.push(&raw, 0, &mut self.letters);
                    self.uncommitted_bytes += self.letters.bytes() - before;
                }
            }
        }
    }

    pub(crate) fn committed(&mut self) {
        self.committed_at = self.stopped_at.clone().unwrap_or_else(|| self.source.position());
        self.forget();
    }

    fn forget(&mut self) {
        self.uncommitted.clear();
        self.uncommitted_bytes = 0;
        self.written = 0;
        self.letters.clear();
        self.letters_given = 0;
        self.advanced = false;
    }

    /// The log never takes what was read since the last commit: the source stops at the committed
    /// position, which is answered.
    pub(crate) fn refuse(&mut self) -> &str {
        self.forget();
        self.ended = false;
        &*self.stopped_at.insert(self.committed_at.clone())
    }

    /// The transaction did not happen: everything read since the last commit is written again.
    pub(crate) fn roll_back(&mut self) {
        self.written = 0;
        self.letters_given = 0;
        self.idle = false;
    }

    /// After a commit of unknown fate: `committed` is what the log holds now.
    pub(crate) fn resolve(&mut self, committed: Option<&str>) {
        if committed == Some(self.note().as_str()) {
            self.committed();
        } else {
            self.roll_back();
        }
    }
}
