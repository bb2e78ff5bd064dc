//! A member of a group that does what a worker does: answers events and keeps its positions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use record::log::{CommitError, Edge, LogError, LogEvent, PollLimit, Polled, Position, Session, SessionConfig, Writes};
use record::{Batch, NextOffset, TopicPartition};

use super::subject::{CALL, POLL, Record, Subject, collect};

/// A session, what it owns, and what it has read.
pub struct Member<'a> {
    /// The session itself.
    pub session: Box<dyn Session>,
    /// The partitions assigned to it, and what it reads next in each.
    pub owned: BTreeMap<TopicPartition, NextOffset>,
    /// All records read so far.
    pub records: Vec<Record>,
    /// The last end event of each partition.
    pub ends: BTreeMap<TopicPartition, NextOffset>,
    /// The partitions reported out of range.
    pub out_of_range: Vec<TopicPartition>,
    subject: &'a Subject,
    polled: Polled,
}

impl Subject {
    /// The configuration of a dynamic member with transactions.
    pub fn config(&self, group: &str, topics: &[&Arc<str>], transactional_id: &str) -> SessionConfig {
        SessionConfig {
            group: group.to_owned(),
            instance_id: None,
            client_id: format!("client-{transactional_id}"),
            topics: topics.iter().map(|t| Arc::clone(t)).collect(),
            writes: Writes::Transactional {
                transactional_id: transactional_id.to_owned(),
                timeout: Duration::from_secs(10),
            },
        }
    }

    /// Joins with transactions.
    pub fn member(&self, group: &str, topics: &[&Arc<str>], transactional_id: &str) -> Member<'_> {
        self.join(&self.config(group, topics, transactional_id))
    }

    /// Joins.
    pub fn join(&self, config: &SessionConfig) -> Member<'_> {
        Member {
            session: self.retry("a session", || self.log.session(config.clone())),
            owned: BTreeMap::new(),
            records: Vec::new(),
            ends: BTreeMap::new(),
            out_of_range: Vec::new(),
            subject: self,
            polled: Polled::default(),
        }
    }
}

impl Member<'_> {
    /// Polls once and answers every event: assigned partitions start at the committed position or
    /// at the first record; revoked ones are committed first.
    pub fn step(&mut self) {
        self.try_step().expect("poll");
    }

    /// As [`Self::step`], for sessions that may have ended.
    pub fn try_step(&mut self) -> Result<(), LogError> {
        self.polled.clear();
        self.session.poll(POLL, PollLimit::default(), &mut self.polled)?;
        for batch in self.polled.batches.iter().filter(|b| !b.is_empty()) {
            let at = batch.place();
            let next = self.owned.get_mut(&at).expect("records of owned partitions only");
            assert!(
                batch.offsets[0] >= next.0,
                "{at}: {} again, {next} was next",
                batch.offsets[0]
            );
            *next = batch.next_offset().expect("offsets");
            collect(batch, &mut self.records);
        }
        for event in std::mem::take(&mut self.polled.events) {
            match event {
                LogEvent::Assigned(partitions) => self.assigned(&partitions)?,
                LogEvent::Revoked(partitions) => {
                    self.commit(&[]).expect("the commit before giving partitions up");
                    self.unassigned(&partitions)?;
                }
                LogEvent::Lost(partitions) => {
                    let _ = self.session.abort(CALL);
                    self.unassigned(&partitions)?;
                }
                LogEvent::End { at, next } => {
                    let position = self.owned.get_mut(&at).expect("ends of owned partitions only");
                    assert!(next >= *position, "{at}: the end {next} is before {position}");
                    *position = next;
                    self.ends.insert(at, next);
                }
                LogEvent::OutOfRange { at } => self.out_of_range.push(at),
                LogEvent::Trouble { what } => eprintln!("trouble: {what}"),
            }
        }
        Ok(())
    }

    fn assigned(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        let committed = self.committed(partitions);
        let mut from = Vec::new();
        for (at, committed) in partitions.iter().zip(committed) {
            assert!(!self.owned.contains_key(at), "{at} is assigned twice");
            let next = committed.unwrap_or_else(|| self.subject.offset(at, Edge::Start));
            from.push((at.clone(), next));
            self.owned.insert(at.clone(), next);
        }
        self.session.assign(&from)
    }

    fn unassigned(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        for at in partitions {
            assert!(self.owned.remove(at).is_some(), "{at} is given up and was not owned");
            self.ends.remove(at);
        }
        self.session.unassign(partitions)
    }

    /// The stable committed positions, as the session sees them.
    pub fn committed(&mut self, partitions: &[TopicPartition]) -> Vec<Option<NextOffset>> {
        let deadline = Instant::now() + self.subject.patience;
        loop {
            match self.session.committed(partitions, CALL) {
                Ok(found) => return found.into_iter().map(|c| c.map(|c| c.next)).collect(),
                Err(error @ LogError::Retriable { .. }) => {
                    assert!(Instant::now() < deadline, "committed: {error}");
                }
                Err(error) => panic!("committed: {error}"),
            }
        }
    }

    /// Steps until something is so.
    pub fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + self.subject.patience;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "not in time: {what}");
            self.step();
        }
    }

    /// Steps until it owns this many partitions.
    pub fn until_owns(&mut self, count: usize) {
        self.until("partitions are assigned", |m| m.owned.len() == count);
    }

    /// Steps until it has read this many records.
    pub fn until_read(&mut self, count: usize) {
        self.until("records are read", |m| m.records.len() >= count);
        assert_eq!(self.records.len(), count, "no more than was written");
    }

    /// The values read so far, in order.
    pub fn texts(&self) -> Vec<String> {
        self.records.iter().map(Record::text).collect()
    }

    /// Produces texts to one partition.
    pub fn produce(&mut self, topic: &str, partition: u32, values: &[&str]) {
        let batch: Batch = super::batch(values);
        self.session
            .produce(topic, &batch, &vec![partition; batch.len()])
            .expect("produce");
    }

    /// Its positions, each with a note that names it.
    pub fn positions(&self) -> Vec<Position> {
        self.owned
            .iter()
            .map(|(at, next)| Position {
                at: at.clone(),
                next: *next,
                note: format!("w1 {}", next.0),
            })
            .collect()
    }

    /// Commits what was produced and the positions of all owned partitions, then `more`.
    pub fn commit(&mut self, more: &[Position]) -> Result<(), CommitError> {
        let mut positions = self.positions();
        positions.extend_from_slice(more);
        self.commit_only(&positions)
    }

    /// Commits what was produced and exactly these positions.
    pub fn commit_only(&mut self, positions: &[Position]) -> Result<(), CommitError> {
        let deadline = Instant::now() + self.subject.patience;
        loop {
            match self.session.commit(positions, Duration::from_millis(500)) {
                Err(CommitError::Unfinished) if Instant::now() < deadline => {}
                other => return other,
            }
        }
    }

    /// Aborts the open transaction.
    pub fn abort(&mut self) {
        let deadline = Instant::now() + self.subject.patience;
        loop {
            match self.session.abort(Duration::from_millis(500)) {
                Err(CommitError::Unfinished) if Instant::now() < deadline => {}
                other => return other.expect("abort"),
            }
        }
    }

    /// Leaves the group.
    pub fn close(self) {
        self.session.close(true, CALL);
    }
}
