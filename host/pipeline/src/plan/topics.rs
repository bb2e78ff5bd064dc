//! The topics of a plan: the user's, and those that Wasmill makes up.

use record::topology::{InternalTopics, PartitionCount, Topic, TopicId, TopicRole};

use super::cut::Cut;
use super::direct_source;
use crate::checked::{Checked, Feed, SinkKind, SourceKind};
use crate::topic_names::TopicNames;

/// The topic of a sink.
#[derive(Clone, Copy)]
pub(super) enum SinkTopic {
    /// Process tasks write it.
    Written(TopicId),
    /// It is a source's.
    Direct(TopicId),
}

impl SinkTopic {
    pub(super) fn topic(self) -> TopicId {
        match self {
            Self::Written(topic) | Self::Direct(topic) => topic,
        }
    }

    pub(super) fn written(self) -> Option<TopicId> {
        match self {
            Self::Written(topic) => Some(topic),
            Self::Direct(_) => None,
        }
    }
}

/// All topics, and which is whose.
pub(super) struct Topics {
    pub list: Vec<Topic>,
    /// For each source.
    pub sources: Vec<Vec<TopicId>>,
    /// For each transform.
    pub repartitions: Vec<Option<TopicId>>,
    /// For each sink.
    pub sinks: Vec<SinkTopic>,
    /// For each transform.
    pub changelogs: Vec<Option<TopicId>>,
    pub dead_letters: TopicId,
}

impl Topics {
    pub(super) fn new(checked: &Checked, cut: &Cut) -> Self {
        let names = TopicNames {
            prefix: &checked.topic_prefix,
            pipeline: &checked.name,
        };
        let internal = checked.internal_topics == InternalTopics::Create || checked.embedded;
        // The user's topics follow the pipeline only where it creates them.
        let user = if checked.create_topics {
            PartitionCount::Fixed(checked.partitions)
        } else {
            PartitionCount::Existing
        };
        let mut topics = Self {
            list: Vec::new(),
            sources: Vec::new(),
            repartitions: vec![None; checked.transforms.len()],
            sinks: Vec::new(),
            changelogs: vec![None; checked.transforms.len()],
            dead_letters: TopicId(0),
        };
        for source in &checked.sources {
            let ids = match &source.kind {
                SourceKind::Topics { topics: names, .. } => names
                    .iter()
                    .map(|name| topics.add(name.clone(), TopicRole::Input, user, checked.create_topics))
                    .collect(),
                SourceKind::Ingest { partitions, .. } => {
                    let count = PartitionCount::Fixed(*partitions);
                    vec![topics.add(names.node(&source.name), TopicRole::Source, count, internal)]
                }
                // What was sent is there once, so it is never deleted: a topic of the user's.
                SourceKind::Listen { topic: Some(name), .. } => {
                    vec![topics.add(name.clone(), TopicRole::Input, user, checked.create_topics)]
                }
                SourceKind::Listen {
                    topic: None,
                    partitions,
                    ..
                } => {
                    let count = PartitionCount::Fixed(*partitions);
                    vec![topics.add(names.node(&source.name), TopicRole::Input, count, internal)]
                }
            };
            topics.sources.push(ids);
        }
        for &t in &cut.order {
            if cut.repartition[t] {
                let transform = &checked.transforms[t];
                let count = topics.partitions_of(transform.feeds.first().map(|(feed, _)| *feed), checked);
                let name = names.repartition(&transform.name);
                topics.repartitions[t] = Some(topics.add(name, TopicRole::Repartition, count, internal));
            }
        }
        for sink in &checked.sinks {
            let topic = match (&sink.kind, direct_source(checked, &sink.feeds)) {
                (SinkKind::Topic(name), _) => {
                    let known = topics.list.iter().position(|topic| *topic.name == **name);
                    SinkTopic::Written(match known {
                        Some(at) => TopicId(at as u32),
                        None => topics.add(name.clone(), TopicRole::Output, user, checked.create_topics),
                    })
                }
                (SinkKind::External { .. }, Some(s)) => SinkTopic::Direct(topics.sources[s][0]),
                (SinkKind::External { .. }, None) => {
                    let count = topics.partitions_of(sink.feeds.first().copied(), checked);
                    SinkTopic::Written(topics.add(names.node(&sink.name), TopicRole::Sink, count, internal))
                }
            };
            topics.sinks.push(topic);
        }
        for (t, transform) in checked.transforms.iter().enumerate() {
            if transform.description.is_stateful() {
                let count = match topics.input_of(t, checked) {
                    Some(topic) => PartitionCount::SameAs(topic),
                    None => PartitionCount::Fixed(checked.partitions),
                };
                let name = names.changelog(&transform.name);
                topics.changelogs[t] = Some(topics.add(name, TopicRole::Changelog, count, internal));
            }
        }
        let named = checked.dead_letter_topic.as_deref();
        let create = if named.is_some() {
            checked.create_topics
        } else {
            internal
        };
        topics.dead_letters = topics.add(
            names.dead_letters(named),
            TopicRole::DeadLetter,
            PartitionCount::Fixed(1),
            create,
        );
        topics
    }

    fn add(&mut self, name: String, role: TopicRole, partitions: PartitionCount, create: bool) -> TopicId {
        let id = TopicId(self.list.len() as u32);
        self.list.push(Topic {
            name: name.into(),
            role,
            partitions,
            create,
        });
        id
    }

    /// The topic that a transform's task reads; the first of them.
    fn input_of(&self, t: usize, checked: &Checked) -> Option<TopicId> {
        if let Some(own) = self.repartitions[t] {
            return Some(own);
        }
        match checked.transforms[t].feeds.first()?.0 {
            Feed::Source(s) => self.sources[s].first().copied(),
            Feed::Port { transform, .. } => self.input_of(transform, checked),
        }
    }

    /// As many partitions as where the records come from first: a source's topic, not one that
    /// follows another itself.
    fn partitions_of(&self, feed: Option<Feed>, checked: &Checked) -> PartitionCount {
        let topic = match feed {
            Some(Feed::Source(s)) => self.sources[s].first().copied(),
            Some(Feed::Port { transform, .. }) => self.input_of(transform, checked),
            None => None,
        };
        let Some(topic) = topic else {
            return PartitionCount::Fixed(checked.partitions);
        };
        match self.list[topic.0 as usize].partitions {
            PartitionCount::SameAs(first) => PartitionCount::SameAs(first),
            PartitionCount::Existing | PartitionCount::Fixed(_) => PartitionCount::SameAs(topic),
        }
    }
}
