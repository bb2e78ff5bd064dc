//! A member of a group with its producer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use record::log::{
    CommitError, Committed, LogError, LogEvent, PollLimit, Polled, Position, Session, SessionConfig, Writes,
};
use record::{Batch, NextOffset, TopicPartition};

use crate::core::{Changes, Core, Outgoing};
use crate::cursor::Cursors;
use crate::outbox::Outbox;
use crate::state::State;

/// Who a session is, and whether it still may.
#[derive(Clone, Debug)]
struct Identity {
    member: u64,
    group: String,
    /// Transactional id and epoch.
    transactional: Option<(String, u64)>,
}

/// A session. It belongs to its group until it is closed or dropped; one that does not poll is not
/// expelled, as all members live in this process.
pub(crate) struct EmbeddedSession {
    core: Arc<Core>,
    identity: Identity,
    cursors: Cursors,
    outbox: Outbox,
    /// A record of the open transaction was refused: it can only be aborted.
    refused: Option<LogError>,
    acknowledged: HashMap<TopicPartition, NextOffset>,
    /// Written, and not yet known to survive a loss of power. At least once only.
    unacknowledged: Vec<(TopicPartition, NextOffset)>,
}

impl EmbeddedSession {
    pub(crate) fn join(core: Arc<Core>, config: SessionConfig) -> Result<Self, LogError> {
        if config.group.is_empty() {
            return Err(LogError::Fatal {
                what: "a consumer group has a name; this one is empty".to_owned(),
            });
        }
        // Whoever is fenced by this must not be in the middle of a commit.
        let writing = core.shared.writing_now();
        let mut state = core.shared.state();
        state.next_member += 1;
        let member = state.next_member;
        let transactional = match config.writes {
            Writes::Transactional { transactional_id, .. } => {
                let epoch = state.epochs.entry(transactional_id.clone()).or_default();
                *epoch += 1;
                let epoch = *epoch;
                Some((transactional_id, epoch))
            }
            Writes::AtLeastOnce => None,
        };
        let group = state.groups.entry(config.group.clone()).or_default();
        group.join(member, config.client_id, config.instance_id, config.topics);
        state.rebalance(&config.group);
        drop(state);
        drop(writing);
        core.shared.wake();
        Ok(Self {
            identity: Identity {
                member,
                group: config.group,
                transactional,
            },
            core,
            cursors: Cursors::default(),
            outbox: Outbox::default(),
            refused: None,
            acknowledged: HashMap::new(),
            unacknowledged: Vec::new(),
        })
    }

    fn is_transactional(&self) -> bool {
        self.identity.transactional.is_some()
    }

    /// Writes what is waiting, with these positions.
    fn write(&mut self, positions: &[Position], durable: bool, slice: Duration) -> Result<(), CommitError> {
        let writing = self.core.shared.writing(slice).ok_or(CommitError::Unfinished)?;
        let changes = Changes {
            outgoing: self.outbox.take(),
            group: &self.identity.group,
            positions,
            durable,
        };
        let identity = &self.identity;
        let written = self
            .core
            .write(&writing, changes, |state| identity.may_commit(state, positions))?;
        self.unacknowledged.extend(written);
        Ok(())
    }

    fn acknowledge(&mut self) {
        self.acknowledged.extend(self.unacknowledged.drain(..));
    }
}

impl Identity {
    /// Why this session may not go on, if so.
    fn fenced(&self, state: &State) -> Option<String> {
        if !state.groups.get(&self.group).is_some_and(|g| g.has(self.member)) {
            return Some(format!(
                "another session of group `{}` has taken this one's place",
                self.group
            ));
        }
        let (id, epoch) = self.transactional.as_ref()?;
        (state.epochs.get(id) != Some(epoch)).then(|| format!("transactional id `{id}` is used by a newer session"))
    }

    /// Whether this session may commit these positions: not when it is fenced, and not when another
    /// member has been given one of the partitions.
    fn may_commit(&self, state: &State, positions: &[Position]) -> Result<(), CommitError> {
        if let Some(what) = self.fenced(state) {
            return Err(CommitError::Fenced { what });
        }
        let Some(group) = state.groups.get(&self.group) else {
            return Ok(());
        };
        for position in positions {
            if group.owner(&position.at).is_some_and(|owner| owner != self.member) {
                return Err(CommitError::Fenced {
                    what: format!("{} was given to another member of group `{}`", position.at, self.group),
                });
            }
        }
        Ok(())
    }
}

fn replaced(group: &str) -> LogError {
    LogError::Fenced {
        what: format!("another session of group `{group}` has taken this one's place"),
    }
}

impl Session for EmbeddedSession {
    fn poll(&mut self, timeout: Duration, limit: PollLimit, polled: &mut Polled) -> Result<(), LogError> {
        let deadline = Instant::now().checked_add(timeout);
        let Identity { member, group, .. } = &self.identity;
        let tell = |state: &mut State, cursors: &mut Cursors| {
            if !state.groups.get(group).is_some_and(|g| g.has(*member)) {
                return Err(replaced(group));
            }
            let events = state.reconcile(group, *member);
            for event in &events {
                if let LogEvent::Revoked(partitions) | LogEvent::Lost(partitions) = event {
                    cursors.hold(partitions);
                }
            }
            Ok(events)
        };
        self.cursors.poll(&self.core.shared, deadline, limit, polled, tell)
    }

    fn assign(&mut self, from: &[(TopicPartition, NextOffset)]) -> Result<(), LogError> {
        let state = self.core.shared.state();
        let Identity { member, group, .. } = &self.identity;
        let Some(members) = state.groups.get(group).filter(|g| g.has(*member)) else {
            return Err(replaced(group));
        };
        for (at, next) in from {
            let owned = members.owned_topic(*member, at);
            match owned {
                Some(topic) => self.cursors.start(at, topic, *next),
                None => {
                    return Err(LogError::Fatal {
                        what: format!("{at} is not assigned to this member of group `{group}`"),
                    });
                }
            }
        }
        Ok(())
    }

    fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.cursors.stop(partitions);
        let Identity { member, group, .. } = &self.identity;
        if let Some(group) = self.core.shared.state().groups.get_mut(group) {
            group.release(*member, partitions);
        }
        self.core.shared.wake();
        Ok(())
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.cursors.pause(partitions, true);
        Ok(())
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.cursors.pause(partitions, false);
        Ok(())
    }

    fn seek(&mut self, to: &[(TopicPartition, NextOffset)]) -> Result<(), LogError> {
        for (at, next) in to {
            if !self.cursors.seek(at, *next) {
                return Err(LogError::Fatal {
                    what: format!("{at} is not read by this session; a seek comes after `assign`"),
                });
            }
        }
        Ok(())
    }

    fn committed(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<Option<Committed>>, LogError> {
        committed(&self.core, &self.identity.group, partitions, timeout)
    }

    fn produce(&mut self, topic: &str, batch: &Batch, partitions: &[u32]) -> Result<(), LogError> {
        if let Some(refused) = &self.refused {
            return Err(refused.clone());
        }
        let queued = {
            let state = self.core.shared.state();
            if let Some(what) = self.identity.fenced(&state) {
                return Err(LogError::Fenced { what });
            }
            self.outbox.target(&state, topic)?
        };
        let queued = self.outbox.push(queued, batch, partitions);
        if self.is_transactional() {
            if let Err(error) = &queued {
                self.refused = Some(error.clone());
            }
            return queued;
        }
        // At least once: visible at once, safe from a loss of power after `flush` or `commit`.
        match self.write(&[], false, Duration::from_secs(60)) {
            Ok(()) => queued,
            Err(CommitError::Unfinished) => Err(LogError::Retriable {
                what: "the embedded log was busy for a minute".to_owned(),
            }),
            Err(CommitError::Fenced { what }) => Err(LogError::Fenced { what }),
            Err(CommitError::Aborted { .. }) => Err(LogError::NoTopic {
                topic: topic.to_owned(),
            }),
            Err(CommitError::Refused(error)) => Err(error),
            Err(CommitError::Ambiguous { what } | CommitError::Fatal { what }) => Err(LogError::Fatal { what }),
        }
    }

    fn partitions(&mut self, topic: &str) -> Result<u32, LogError> {
        let shape = self.core.shared.state().shape(topic);
        shape.map(|s| s.partitions).ok_or_else(|| LogError::NoTopic {
            topic: topic.to_owned(),
        })
    }

    fn acknowledged(&self, at: &TopicPartition) -> Option<NextOffset> {
        self.acknowledged.get(at).copied()
    }

    fn flush(&mut self, _deadline: Instant) -> Result<(), LogError> {
        if self.is_transactional() {
            return Err(LogError::Fatal {
                what: "a session with transactions has nothing to flush; it commits".to_owned(),
            });
        }
        if let Some(store) = self
            .core
            .shared
            .store
            .as_ref()
            .filter(|_| !self.unacknowledged.is_empty())
        {
            store.sync()?;
        }
        self.acknowledge();
        Ok(())
    }

    fn commit(&mut self, positions: &[Position], slice: Duration) -> Result<(), CommitError> {
        if let Some(refused) = &self.refused {
            return Err(CommitError::Refused(refused.clone()));
        }
        let nothing = positions.is_empty() && self.outbox.is_empty() && self.unacknowledged.is_empty();
        if nothing {
            let state = self.core.shared.state();
            return self.identity.may_commit(&state, &[]);
        }
        self.write(positions, true, slice)?;
        self.acknowledge();
        Ok(())
    }

    fn abort(&mut self, _slice: Duration) -> Result<(), CommitError> {
        self.outbox.clear();
        self.refused = None;
        Ok(())
    }

    fn renew(&mut self, timeout: Duration) -> Result<(), LogError> {
        let _writing = self.core.shared.writing_or_retry(timeout)?;
        let mut state = self.core.shared.state();
        if let Some(what) = self.identity.fenced(&state) {
            return Err(LogError::Fenced { what });
        }
        if let Some((id, epoch)) = &mut self.identity.transactional {
            let newest = state.epochs.entry(id.clone()).or_default();
            *newest += 1;
            *epoch = *newest;
        }
        self.outbox.clear();
        self.refused = None;
        Ok(())
    }

    /// Dropping does it all. Whether the group is left does not matter here: nothing outlives the
    /// process that a member could come back to, so its partitions are free at once.
    fn close(self: Box<Self>, _leave: bool, _timeout: Duration) {}
}

impl Drop for EmbeddedSession {
    fn drop(&mut self) {
        let Identity { member, group, .. } = &self.identity;
        {
            let mut state = self.core.shared.state();
            if let Some(group) = state.groups.get_mut(group) {
                group.leave(*member);
            }
            let empty = |g: &crate::group::Group| g.members.is_empty() && g.positions.is_empty();
            if state.groups.get(group).is_some_and(empty) {
                state.groups.remove(group);
            } else {
                state.rebalance(group);
            }
        }
        self.core.shared.wake();
    }
}

/// A group's positions, when no commit is under way.
pub(crate) fn committed(
    core: &Core,
    group: &str,
    partitions: &[TopicPartition],
    timeout: Duration,
) -> Result<Vec<Option<Committed>>, LogError> {
    let _writing = core.shared.writing_or_retry(timeout)?;
    let state = core.shared.state();
    let group = state.groups.get(group);
    Ok(partitions
        .iter()
        .map(|at| group.and_then(|g| g.positions.get(at)).cloned())
        .collect())
}

/// Writes a batch outside any group and transaction, durably.
pub(crate) fn append(
    core: &Core,
    topic: &str,
    batch: &Batch,
    partitions: &[u32],
    timeout: Duration,
) -> Result<(), LogError> {
    let mut outbox = Outbox::default();
    let target = outbox.target(&core.shared.state(), topic)?;
    outbox.push(target, batch, partitions)?;
    let outgoing: Vec<Outgoing> = outbox.take();
    let writing = core.shared.writing_or_retry(timeout)?;
    let changes = Changes {
        outgoing,
        durable: true,
        ..Changes::default()
    };
    match core.write(&writing, changes, |_| Ok(())) {
        Ok(_) => Ok(()),
        Err(CommitError::Aborted { .. }) => Err(LogError::NoTopic {
            topic: topic.to_owned(),
        }),
        Err(other) => Err(LogError::Fatal {
            what: other.to_string(),
        }),
    }
}
