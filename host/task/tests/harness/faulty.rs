//! A log whose commits go wrong and whose batches are cut anywhere, over the embedded one: faults
//! that a broker cannot be made to have at will.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use record::appender::Appender;
use record::log::{
    CommitError, Committed, Edge, GroupMember, Isolation, Log, LogError, NewTopic, PollLimit, Polled, Position, Reader,
    Session, SessionConfig, TopicInfo,
};
use record::{Batch, NextOffset, TopicPartition};

/// How a commit goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It is aborted, and that is known.
    Aborted,
    /// It happens, and the answer is lost.
    LostAnswer,
    /// It does not happen, and the answer is lost.
    LostRequest,
    /// Another process has taken over.
    Fenced,
}

/// Deterministic numbers: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

struct Script {
    random: Random,
    faults: Vec<Fault>,
    commits: u64,
    /// One commit in so many goes wrong.
    one_in: u64,
    /// But no more than so many.
    at_most: usize,
    /// The most records of a batch.
    cut: Option<u64>,
    happened: BTreeMap<Fault, usize>,
    /// Records are refused at the commit, as by a broker, and not when they are handed over.
    late_refusals: bool,
    /// Readers outside groups find so many records at a time, and take a millisecond for it.
    slow_readers: Option<usize>,
    /// Records written to changelogs while outputs before them were not known to have arrived.
    early_changelogs: usize,
}

/// The log.
pub struct Faulty {
    inner: Arc<dyn Log>,
    script: Arc<Mutex<Script>>,
}

impl Faulty {
    /// `cut`: batches have at most so many records, a random number each time.
    pub fn new(inner: Arc<dyn Log>, seed: u64, faults: &[Fault], one_in: u64, cut: Option<u64>) -> Arc<Self> {
        Self::limited(inner, seed, faults, one_in, cut, usize::MAX)
    }

    /// As [`Self::new`], with at most so many faults.
    pub fn limited(
        inner: Arc<dyn Log>,
        seed: u64,
        faults: &[Fault],
        one_in: u64,
        cut: Option<u64>,
        at_most: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            inner,
            script: Arc::new(Mutex::new(Script {
                random: Random(seed | 1),
                faults: faults.to_vec(),
                commits: 0,
                one_in,
                at_most,
                cut,
                happened: BTreeMap::new(),
                late_refusals: false,
                slow_readers: None,
                early_changelogs: 0,
            })),
        })
    }

    /// Nothing goes wrong but that records which are too large are refused when they are committed.
    pub fn refusing_late(inner: Arc<dyn Log>) -> Arc<Self> {
        let log = Self::new(inner, 1, &[], 1, None);
        log.script.lock().late_refusals = true;
        log
    }

    /// Nothing goes wrong, but restoring takes its time.
    pub fn restoring_slowly(inner: Arc<dyn Log>) -> Arc<Self> {
        let log = Self::new(inner, 1, &[], 1, Some(20));
        log.script.lock().slow_readers = Some(5);
        log
    }

    /// How many records were written to changelogs while outputs before them were not known to have arrived.
    pub fn early_changelogs(&self) -> usize {
        self.script.lock().early_changelogs
    }

    /// How often each fault happened.
    pub fn happened(&self) -> BTreeMap<Fault, usize> {
        self.script.lock().happened.clone()
    }
}

struct FaultySession {
    inner: Box<dyn Session>,
    script: Arc<Mutex<Script>>,
    refused: Option<LogError>,
    /// Whether outputs were written since the last commit.
    is_open: bool,
}

struct SlowReader {
    inner: Box<dyn Reader>,
    records: usize,
}

impl Reader for SlowReader {
    fn assign(&mut self, from: &[(TopicPartition, NextOffset)]) -> Result<(), LogError> {
        self.inner.assign(from)
    }
    fn poll(&mut self, timeout: Duration, mut limit: PollLimit, polled: &mut Polled) -> Result<(), LogError> {
        std::thread::sleep(Duration::from_millis(1));
        limit.records = self.records;
        self.inner.poll(timeout, limit, polled)
    }
}

/// Calls until it is done.
fn finish(mut call: impl FnMut() -> Result<(), CommitError>) -> Result<(), CommitError> {
    loop {
        match call() {
            Err(CommitError::Unfinished) => {}
            done => return done,
        }
    }
}

impl Session for FaultySession {
    fn poll(&mut self, timeout: Duration, mut limit: PollLimit, polled: &mut Polled) -> Result<(), LogError> {
        let mut script = self.script.lock();
        if let Some(cut) = script.cut {
            limit.records = script.random.below(cut) as usize + 1;
        }
        drop(script);
        self.inner.poll(timeout, limit, polled)
    }
    fn assign(&mut self, from: &[(TopicPartition, NextOffset)]) -> Result<(), LogError> {
        self.inner.assign(from)
    }
    fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.inner.unassign(partitions)
    }
    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.inner.pause(partitions)
    }
    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.inner.resume(partitions)
    }
    fn seek(&mut self, to: &[(TopicPartition, NextOffset)]) -> Result<(), LogError> {
        self.inner.seek(to)
    }
    fn committed(&mut self, places: &[TopicPartition], timeout: Duration) -> Result<Vec<Option<Committed>>, LogError> {
        self.inner.committed(places, timeout)
    }
    fn produce(&mut self, topic: &str, batch: &Batch, partitions: &[u32]) -> Result<(), LogError> {
        if !topic.ends_with("-changelog") {
            self.is_open = true;
        } else if self.is_open {
            self.script.lock().early_changelogs += batch.len();
        }
        match self.inner.produce(topic, batch, partitions) {
            Err(error) if error.is_of_a_record() && self.script.lock().late_refusals => {
                self.refused = Some(error);
                Ok(())
            }
            done => done,
        }
    }
    fn partitions(&mut self, topic: &str) -> Result<u32, LogError> {
        self.inner.partitions(topic)
    }
    fn acknowledged(&self, at: &TopicPartition) -> Option<NextOffset> {
        self.inner.acknowledged(at)
    }
    fn flush(&mut self, deadline: Instant) -> Result<(), LogError> {
        self.inner.flush(deadline)
    }
    fn commit(&mut self, positions: &[Position], slice: Duration) -> Result<(), CommitError> {
        if let Some(error) = self.refused.take() {
            finish(|| self.inner.abort(slice))?;
            return Err(CommitError::Refused(error));
        }
        let fault = {
            let mut script = self.script.lock();
            script.commits += 1;
            let kinds = script.faults.len() as u64;
            let is_over = script.happened.values().sum::<usize>() >= script.at_most;
            if kinds == 0 || is_over || !script.commits.is_multiple_of(script.one_in) {
                None
            } else {
                let kind = script.random.below(kinds) as usize;
                let fault = script.faults[kind];
                *script.happened.entry(fault).or_default() += 1;
                Some(fault)
            }
        };
        let what = "the test says so".to_owned();
        match fault {
            None => {
                let done = self.inner.commit(positions, slice);
                self.is_open &= done.is_err();
                done
            }
            Some(Fault::LostAnswer) => {
                finish(|| self.inner.commit(positions, slice))?;
                Err(CommitError::Ambiguous { what })
            }
            Some(fault) => {
                finish(|| self.inner.abort(slice))?;
                Err(match fault {
                    Fault::Aborted => CommitError::Aborted { what },
                    Fault::Fenced => CommitError::Fenced { what },
                    _ => CommitError::Ambiguous { what },
                })
            }
        }
    }
    fn abort(&mut self, slice: Duration) -> Result<(), CommitError> {
        self.refused = None;
        self.inner.abort(slice)
    }
    fn renew(&mut self, timeout: Duration) -> Result<(), LogError> {
        self.inner.renew(timeout)
    }
    fn close(self: Box<Self>, leave: bool, timeout: Duration) {
        self.inner.close(leave, timeout);
    }
}

impl Log for Faulty {
    fn topics(&self, names: &[&str], timeout: Duration) -> Result<Vec<Option<TopicInfo>>, LogError> {
        self.inner.topics(names, timeout)
    }
    fn create_topics(&self, topics: &[NewTopic], timeout: Duration) -> Result<(), LogError> {
        self.inner.create_topics(topics, timeout)
    }
    fn delete_topics(&self, names: &[&str], timeout: Duration) -> Result<(), LogError> {
        self.inner.delete_topics(names, timeout)
    }
    fn offsets(&self, places: &[TopicPartition], edge: Edge, timeout: Duration) -> Result<Vec<NextOffset>, LogError> {
        self.inner.offsets(places, edge, timeout)
    }
    fn committed(
        &self,
        group: &str,
        places: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<Option<Committed>>, LogError> {
        self.inner.committed(group, places, timeout)
    }
    fn set_committed(&self, group: &str, positions: &[Position], timeout: Duration) -> Result<(), LogError> {
        self.inner.set_committed(group, positions, timeout)
    }
    fn delete_group(&self, group: &str, timeout: Duration) -> Result<(), LogError> {
        self.inner.delete_group(group, timeout)
    }
    fn group_members(&self, group: &str, timeout: Duration) -> Result<Vec<GroupMember>, LogError> {
        self.inner.group_members(group, timeout)
    }
    fn delete_records(&self, before: &[(TopicPartition, NextOffset)], timeout: Duration) -> Result<(), LogError> {
        self.inner.delete_records(before, timeout)
    }
    fn session(&self, config: SessionConfig) -> Result<Box<dyn Session>, LogError> {
        Ok(Box::new(FaultySession {
            inner: self.inner.session(config)?,
            script: Arc::clone(&self.script),
            refused: None,
            is_open: false,
        }))
    }
    fn reader(&self, isolation: Isolation) -> Result<Box<dyn Reader>, LogError> {
        let inner = self.inner.reader(isolation)?;
        Ok(match self.script.lock().slow_readers {
            Some(records) => Box::new(SlowReader { inner, records }),
            None => inner,
        })
    }
    fn append(&self, topic: &str, batch: &Batch, partitions: &[u32], timeout: Duration) -> Result<(), LogError> {
        self.inner.append(topic, batch, partitions, timeout)
    }
    fn appender(&self) -> Result<Box<dyn Appender>, LogError> {
        self.inner.appender()
    }
}
