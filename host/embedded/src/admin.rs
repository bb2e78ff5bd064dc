//! What is done to the log from outside sessions: topics, groups, deletions.

use std::time::Duration;

use record::log::{LogError, NewTopic};
use record::{NextOffset, TopicPartition};

use crate::core::{Core, facts};
use crate::state::{Partition, Topic, check_new_topic};

impl Core {
    /// Creates the topics that are not there.
    pub(crate) fn create_topics(&self, topics: &[NewTopic], timeout: Duration) -> Result<(), LogError> {
        let checked = topics
            .iter()
            .map(|topic| check_new_topic(topic).map(|settings| (topic, settings)))
            .collect::<Result<Vec<_>, _>>()?;
        let shared = &self.shared;
        let _writing = shared.writing_or_retry(timeout)?;
        for (new, settings) in checked {
            let number = {
                let state = shared.state();
                if state.topics.contains_key(new.name.as_str()) {
                    continue;
                }
                state.next_topic
            };
            let topic = Topic {
                number,
                id: uuid::Uuid::new_v4().to_string(),
                config: new.config.clone(),
                settings,
                partitions: (0..new.partitions).map(|_| Partition::default()).collect(),
            };
            if let Some(store) = &shared.store {
                let mut batch = store.batch();
                store.put_topic(&mut batch, &new.name, &topic);
                store.commit(batch, true)?;
            }
            let mut state = shared.state();
            state.next_topic = number + 1;
            state.topics.insert(new.name.as_str().into(), topic);
            state.rebalance_all();
        }
        shared.wake();
        Ok(())
    }

    /// Deletes the topics that are there, with the positions that groups have in them.
    pub(crate) fn delete_topics(&self, names: &[&str], timeout: Duration) -> Result<(), LogError> {
        let shared = &self.shared;
        let _writing = shared.writing_or_retry(timeout)?;
        if let Some(store) = &shared.store {
            let mut batch = store.batch();
            {
                let state = shared.state();
                for name in names {
                    let Some(topic) = state.topics.get(*name) else { continue };
                    store.remove_topic(&mut batch, name, topic);
                    for (group, positions) in state.groups.iter().map(|(name, g)| (name, &g.positions)) {
                        for at in positions.keys().filter(|at| &*at.topic == *name) {
                            store.remove_position(&mut batch, group, at);
                        }
                    }
                }
            }
            store.commit(batch, true)?;
        }
        {
            let mut state = shared.state();
            for name in names {
                state.topics.remove(*name);
                for group in state.groups.values_mut() {
                    group.positions.retain(|at, _| &*at.topic != *name);
                }
            }
            state.rebalance_all();
        }
        shared.wake();
        Ok(shared.sweep()?)
    }

    /// Deletes the records before offsets.
    pub(crate) fn delete_records(
        &self,
        before: &[(TopicPartition, NextOffset)],
        timeout: Duration,
    ) -> Result<(), LogError> {
        let shared = &self.shared;
        let _writing = shared.writing_or_retry(timeout)?;
        for (at, next) in before {
            let (number, start) = {
                let state = shared.state();
                state.check_range(at, *next)?;
                let (topic, partition) = state.partition(at)?;
                (topic.number, partition.start)
            };
            if next.0 <= start {
                continue;
            }
            // A chunk that the offset falls into stays whole; its first records are out of reach.
            // Chunks that end before the start are gone already.
            let mut gone = 0;
            if let Some(store) = &shared.store {
                let mut batch = store.batch();
                for entry in store.entries(number, at.partition, start..next.0) {
                    let entry = entry?;
                    gone += entry.count;
                    store.remove_chunk(&mut batch, number, at.partition, entry.last);
                }
                let mut facts = facts(shared.state().partition(at)?.1);
                facts[0] = next.0;
                facts[2] -= gone as i64;
                facts[3] = facts[3].min(facts[2]);
                store.put_partition(&mut batch, number, at.partition, facts);
                store.commit(batch, true)?;
            }
            let mut state = shared.state();
            if let Some(partition) = state.partition_mut(&at.topic, number, at.partition) {
                partition.start = next.0;
                let forgotten = partition.forget_before(next.0);
                let gone = if shared.store.is_some() { gone } else { forgotten };
                partition.records = partition.records.saturating_sub(gone);
                partition.clean = partition.clean.min(partition.records);
            }
        }
        shared.wake();
        Ok(())
    }

    /// Forgets a group without members.
    pub(crate) fn delete_group(&self, name: &str, timeout: Duration) -> Result<(), LogError> {
        let shared = &self.shared;
        let _writing = shared.writing_or_retry(timeout)?;
        let mut batch = shared.store.as_ref().map(|store| (store, store.batch()));
        {
            let state = shared.state();
            let Some(group) = state.groups.get(name) else {
                return Ok(());
            };
            no_members(name, group.members.len())?;
            if let Some((store, batch)) = &mut batch {
                for at in group.positions.keys() {
                    store.remove_position(batch, name, at);
                }
            }
        }
        if let Some((store, batch)) = batch {
            store.commit(batch, true)?;
        }
        // Joining takes the writer lock, so there are still none.
        shared.state().groups.remove(name);
        Ok(())
    }
}

/// That a group may be changed from outside.
pub(crate) fn no_members(group: &str, members: usize) -> Result<(), LogError> {
    if members == 0 {
        return Ok(());
    }
    Err(LogError::Fatal {
        what: format!("group `{group}` has {members} members; stop the pipeline first"),
    })
}
