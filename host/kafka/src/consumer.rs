//! Polling: librdkafka's events into batches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use record::log::{LogError, LogEvent, PollLimit, Polled, Position};
use record::{NextOffset, TopicPartition};

use crate::error::{refused_settings, sort};
use crate::native::{Event, Message, Queue};

/// A consumer that is polled by us.
pub(crate) struct Consumer {
    /// Before the consumer, so that it is dropped first.
    queue: Queue,
    consumer: BaseConsumer,
    /// Topic names by the address of librdkafka's handle.
    topics: Vec<(usize, Arc<str>)>,
}

impl Consumer {
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, LogError> {
        let consumer: BaseConsumer = config.create().map_err(|error| refused_settings(&error))?;
        let queue = Queue::of(&consumer).ok_or_else(|| LogError::Fatal {
            what: "the consumer has no queue".to_owned(),
        })?;
        Ok(Self {
            queue,
            consumer,
            topics: Vec::new(),
        })
    }

    pub(crate) fn client(&self) -> &BaseConsumer {
        &self.consumer
    }

    /// Fills `polled` until a batch is full, the queue is empty, or `timeout` is over.
    pub(crate) fn poll(&mut self, timeout: Duration, limit: PollLimit, polled: &mut Polled) -> Result<(), LogError> {
        self.fill(timeout, limit, polled)?;
        drop_outdated_ends(polled);
        Ok(())
    }

    fn fill(&mut self, timeout: Duration, limit: PollLimit, polled: &mut Polled) -> Result<(), LogError> {
        let mut wait = timeout;
        let until = Instant::now() + timeout;
        let mut is_full = false;
        let mut last = None;
        let mut failed = None;
        loop {
            let Self {
                queue,
                consumer,
                topics,
            } = self;
            let found = queue.poll(wait, |event| match event {
                Event::Message(message) => {
                    is_full = append(&message, topics, limit, polled, &mut last);
                    true
                }
                Event::End { at, next } => {
                    polled.events.push(LogEvent::End { at, next });
                    true
                }
                Event::Assign(places) => {
                    polled.events.push(LogEvent::Assigned(places));
                    true
                }
                Event::Revoke(places) => {
                    let lost = consumer.assignment_lost();
                    polled.events.push(if lost {
                        LogEvent::Lost(places)
                    } else {
                        LogEvent::Revoked(places)
                    });
                    true
                }
                Event::Error { code, fatal, what, at } => {
                    // A fatal error comes under one code for all; the client knows the cause.
                    let (code, what) = match consumer.client().fatal_error() {
                        Some(cause) if fatal || code == RDKafkaErrorCode::Fatal => cause,
                        _ => (code, what),
                    };
                    match on_error(code, fatal, what, at) {
                        Ok(event) => polled.events.push(event),
                        Err(error) => failed = Some(error),
                    }
                    true
                }
                Event::Other => false,
            });
            if let Some(error) = failed {
                return Err(error);
            }
            match found {
                None => return Ok(()),
                Some(_) if is_full || has_rebalance(polled) => return Ok(()),
                Some(true) => wait = Duration::ZERO,
                Some(false) if polled.is_empty() => wait = until.saturating_duration_since(Instant::now()),
                Some(false) => {}
            }
        }
    }
}

/// An end that records of the same poll have left behind is no end any more.
fn drop_outdated_ends(polled: &mut Polled) {
    let Polled { batches, events } = polled;
    events.retain(|event| {
        let LogEvent::End { at, next } = event else { return true };
        !batches.iter().any(|b| {
            b.partition == at.partition && b.topic == at.topic && b.next_offset().is_some_and(|read| read > *next)
        })
    });
}

/// Records behind a rebalance belong to the time after it.
fn has_rebalance(polled: &Polled) -> bool {
    matches!(
        polled.events.last(),
        Some(LogEvent::Assigned(_) | LogEvent::Revoked(_) | LogEvent::Lost(_))
    )
}

/// Appends a record; whether its batch is full.
fn append(
    message: &Message<'_>,
    topics: &mut Vec<(usize, Arc<str>)>,
    limit: PollLimit,
    polled: &mut Polled,
    last: &mut Option<(usize, u32, usize)>,
) -> bool {
    let (address, partition) = (message.topic_address(), message.partition());
    let index = match *last {
        Some((a, p, index)) if a == address && p == partition => index,
        _ => {
            let name = match topics.iter().find(|(known, _)| *known == address) {
                Some((_, name)) => Arc::clone(name),
                None => {
                    let name: Arc<str> = message.topic().into();
                    topics.push((address, Arc::clone(&name)));
                    name
                }
            };
            let found = polled
                .batches
                .iter()
                .position(|b| b.partition == partition && b.topic == name);
            let index = found.unwrap_or_else(|| {
                polled.batches.push(record::Batch::new(name, partition));
                polled.batches.len() - 1
            });
            *last = Some((address, partition, index));
            index
        }
    };
    let batch = &mut polled.batches[index];
    let at = batch.len();
    batch.push(message.key(), message.value(), message.timestamp());
    batch.offsets.push(message.offset());
    let before = batch.headers.names.len();
    message.headers(|name, value| batch.headers.push(name, value));
    if batch.headers.names.len() > before || !batch.headers.is_left_out() {
        batch.headers.close(at);
    }
    batch.len() >= limit.records || batch.bytes() >= limit.bytes
}

fn on_error(
    code: RDKafkaErrorCode,
    fatal: bool,
    what: String,
    at: Option<TopicPartition>,
) -> Result<LogEvent, LogError> {
    match (code, at) {
        (RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange, Some(at)) => {
            Ok(LogEvent::OutOfRange { at })
        }
        (RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic, at) => {
            match at.filter(|at| !at.topic.is_empty()) {
                Some(at) => Err(LogError::NoTopic {
                    topic: at.topic.to_string(),
                }),
                None => Err(LogError::Fatal {
                    what: format!("{what}; was a topic of the pipeline deleted?"),
                }),
            }
        }
        (code, _) => match sort(code, what.clone()) {
            error @ (LogError::Fenced { .. } | LogError::Fatal { .. }) => Err(error),
            _ if fatal => Err(LogError::Fatal { what }),
            _ => Ok(LogEvent::Trouble { what }),
        },
    }
}

/// A list with offsets, for assign, seek and commit.
pub(crate) fn list<'a>(
    places: impl IntoIterator<Item = (&'a TopicPartition, Offset)>,
) -> Result<TopicPartitionList, LogError> {
    let mut list = TopicPartitionList::new();
    for (at, offset) in places {
        list.add_partition_offset(&at.topic, partition_number(at), offset)
            .map_err(|e| LogError::Fatal {
                what: format!("{at} cannot be named: {e}"),
            })?;
    }
    Ok(list)
}

/// A list of positions with their notes.
pub(crate) fn positions(positions: &[Position]) -> Result<TopicPartitionList, LogError> {
    let mut list = TopicPartitionList::new();
    for position in positions {
        let mut element = list.add_partition(&position.at.topic, partition_number(&position.at));
        element
            .set_offset(Offset::Offset(position.next.0))
            .map_err(|e| LogError::Fatal {
                what: format!("{} cannot be committed: {e}", position.at),
            })?;
        if !position.note.is_empty() {
            element.set_metadata(&*position.note);
        }
    }
    Ok(list)
}

pub(crate) fn partition_number(at: &TopicPartition) -> i32 {
    i32::try_from(at.partition).unwrap_or(i32::MAX)
}

pub(crate) fn offset(next: NextOffset) -> Offset {
    Offset::Offset(next.0)
}
