//! Says when a group has ever more to read and does not move: a plugin that loops, a database that
//! takes nothing, a member that holds partitions and does not work.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use record::TopicPartition;
use record::log::{Committed, Edge, Log, LogError};

use crate::plan::{LOOK_TIMEOUT, Shared};
use crate::stats::Lag;

/// How often lag is looked at.
const EVERY: Duration = Duration::from_secs(5);
/// What has not moved for so many looks stands still.
const LOOKS: u32 = 6;

/// Where a group stood in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stand {
    next: i64,
    end: i64,
}

impl Stand {
    /// Since `before`, lag has grown and nothing has moved.
    fn stands_still_since(self, before: Self) -> bool {
        self.next == before.next && self.end > before.end && self.end > self.next
    }
}

/// Looks at all groups of a run now and then.
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
    groups: Vec<(Arc<str>, Vec<TopicPartition>)>,
    stands: HashMap<Arc<str>, Vec<Stand>>,
    looked: Instant,
    looks: u32,
}

impl Watchdog {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let topology = &shared.topology;
        let inputs = topology.process_topics().flat_map(|id| shared.partitions_of(id));
        let mut groups = vec![(Arc::clone(&topology.pipeline), inputs.collect())];
        for plan in &topology.deliveries {
            groups.push((Arc::clone(&plan.group), shared.partitions_of(plan.topic)));
        }
        Self {
            shared: Arc::clone(shared),
            groups,
            stands: HashMap::new(),
            looked: Instant::now(),
            looks: 0,
        }
    }

    /// Looks when it is time to.
    pub(crate) fn turn(&mut self) {
        if self.looked.elapsed() < EVERY {
            return;
        }
        self.looked = Instant::now();
        self.looks += 1;
        let judges = self.looks.is_multiple_of(LOOKS);
        let mut stuck = 0;
        let mut lags = Vec::new();
        for (group, places) in &self.groups {
            if self.shared.shutdown.is_requested() {
                return;
            }
            let now = match look(&*self.shared.log, group, places) {
                Ok(now) => now,
                Err(error) => {
                    tracing::debug!(%group, "cannot look for lag: {error}");
                    continue;
                }
            };
            lags.extend(places.iter().zip(&now).map(|(at, stand)| Lag {
                group: Arc::clone(group),
                topic: Arc::clone(&at.topic),
                partition: at.partition,
                committed: stand.next,
                end: stand.end,
            }));
            // One that was told to stand still does.
            if judges && !self.shared.control.is_paused() {
                let lag = stands_still(group, &now, &mut self.stands);
                if let Some(lag) = lag {
                    stuck += 1;
                    tracing::warn!(
                        %group,
                        "nothing moves: {lag} records wait, ever more, and no position was committed for {} s; look for errors above, and at the plugins' and sinks' services",
                        EVERY.as_secs() * u64::from(LOOKS)
                    );
                }
            }
        }
        self.shared.observer.lag(lags);
        if judges {
            self.shared.observer.stuck(stuck);
        }
    }
}

/// Where a group stands in each partition.
fn look(log: &dyn Log, group: &str, places: &[TopicPartition]) -> Result<Vec<Stand>, LogError> {
    let committed = log.committed(group, places, LOOK_TIMEOUT)?;
    let ends = log.offsets(places, Edge::StableEnd, LOOK_TIMEOUT)?;
    let next = |committed: &Option<Committed>| committed.as_ref().map_or(0, |committed| committed.next.0);
    let all = committed.iter().zip(ends);
    Ok(all
        .map(|(committed, end)| Stand {
            next: next(committed),
            end: end.0,
        })
        .collect())
}

/// The lag of a group's partitions that have stood still since they were last judged.
fn stands_still(group: &Arc<str>, now: &[Stand], stands: &mut HashMap<Arc<str>, Vec<Stand>>) -> Option<i64> {
    let before = stands.insert(Arc::clone(group), now.to_vec()).unwrap_or_default();
    let stuck = now
        .iter()
        .zip(before)
        .filter(|(now, before)| now.stands_still_since(*before));
    let lag: i64 = stuck.map(|(now, _)| now.end - now.next).sum();
    (lag > 0).then_some(lag)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use embedded::EmbeddedLog;
    use record::log::{NewTopic, Position};
    use record::{Batch, NextOffset};

    use super::*;

    #[test]
    fn only_a_group_with_more_to_read_that_does_not_move_stands_still() {
        let log = EmbeddedLog::open(None).unwrap();
        let topic = NewTopic {
            name: "in".into(),
            partitions: 1,
            replication: None,
            config: vec![],
        };
        log.create_topics(&[topic], LOOK_TIMEOUT).unwrap();
        let places = [TopicPartition::new("in", 0)];
        let group: Arc<str> = "g".into();
        let mut stands = HashMap::new();
        let mut look = || stands_still(&group, &look(&log, &group, &places).unwrap(), &mut stands);
        let append = || {
            let mut batch = Batch::new("in".into(), 0);
            batch.push(None, Some(b"x"), 1);
            log.append("in", &batch, &[0], LOOK_TIMEOUT).unwrap();
        };
        let commit = |next| {
            let position = Position {
                at: places[0].clone(),
                next: NextOffset(next),
                note: String::new(),
            };
            log.set_committed("g", &[position], LOOK_TIMEOUT).unwrap();
        };
        commit(0);
        append();
        assert_eq!(look(), None, "seen for the first time");
        assert_eq!(look(), None, "nothing has come");
        append();
        append();
        assert_eq!(look(), Some(3));
        append();
        commit(1);
        assert_eq!(look(), None, "it moves");
        commit(4);
        assert_eq!(look(), None, "all is read");
    }
}
