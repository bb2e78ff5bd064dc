//! Decides in front of which transforms a repartition topic goes, and which transforms and
//! sources share a sub-topology then.
//!
//! What holds afterwards: a sub-topology with state reads exactly one topic, by the key of its
//! records and in one total order; and no sub-topology reads what comes back from behind it.

use std::collections::BTreeSet;

use crate::checked::{Checked, Feed, SinkKind, SourceKind};

/// A topic that transforms read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reads {
    /// A topic of a source: the source, and which of its topics.
    Source(usize, usize),
    /// The repartition topic of a transform.
    Repartition(usize),
}

/// The decision.
pub(super) struct Cut {
    /// For each transform, whether it reads a repartition topic of its own.
    pub repartition: Vec<bool>,
    /// Transforms, sources of data first.
    pub order: Vec<usize>,
    /// For each source its sub-topology (an arbitrary number).
    pub source_part: Vec<usize>,
    /// For each transform its sub-topology.
    pub transform_part: Vec<usize>,
}

/// Decides.
pub(super) fn cut(checked: &Checked) -> Cut {
    let order = topological(checked);
    let mut repartition = vec![false; checked.transforms.len()];
    loop {
        let before = repartition.clone();
        for &t in &order {
            if !repartition[t] {
                let view = View::new(checked, &order, &repartition);
                repartition[t] = view.needs_repartition(t);
            }
        }
        let (source_part, transform_part) = parts(checked, &repartition);
        if repartition == before {
            // Parts that have state and read several topics still: their stateful transforms
            // would be run on partitions that are not theirs.
            let view = View::new(checked, &order, &before);
            let tied = |t: &usize| {
                view.is_stateful(*t)
                    && !before[*t]
                    && view.topics_of_part(transform_part[*t], &source_part, &transform_part) > 1
            };
            for t in (0..before.len()).filter(tied) {
                repartition[t] = true;
            }
        }
        if repartition == before {
            return Cut {
                repartition,
                order,
                source_part,
                transform_part,
            };
        }
    }
}

/// What is known of each transform's input under the cuts made so far.
struct View<'a> {
    checked: &'a Checked,
    cut: &'a [bool],
    /// The topics whose records reach it.
    topics: Vec<BTreeSet<Reads>>,
    /// Whether keys may have changed since the records were partitioned.
    rekeyed: Vec<bool>,
    /// Whether two ways meet on the way to it: then the order depends on how batches are cut.
    merged: Vec<bool>,
    /// Whether there is state on the way to it.
    behind_state: Vec<bool>,
}

impl<'a> View<'a> {
    fn new(checked: &'a Checked, order: &[usize], cut: &'a [bool]) -> Self {
        let n = checked.transforms.len();
        let mut view = Self {
            checked,
            cut,
            topics: vec![BTreeSet::new(); n],
            rekeyed: vec![false; n],
            merged: vec![false; n],
            behind_state: vec![false; n],
        };
        for &t in order {
            view.look_at(t);
        }
        view
    }

    fn look_at(&mut self, t: usize) {
        let feeds = &self.checked.transforms[t].feeds;
        let mut topics = BTreeSet::new();
        let (mut rekeyed, mut merged, mut behind_state) = (false, feeds.len() > 1, false);
        for (feed, _) in feeds {
            match *feed {
                Feed::Source(s) => {
                    let source = &self.checked.sources[s];
                    match &source.kind {
                        SourceKind::Topics { topics: names, .. } => {
                            topics.extend((0..names.len()).map(|i| Reads::Source(s, i)));
                            rekeyed |= source.key.is_some();
                            merged |= names.len() > 1;
                        }
                        SourceKind::Ingest { .. } | SourceKind::Listen { .. } => {
                            topics.insert(Reads::Source(s, 0));
                        }
                    }
                }
                Feed::Port { transform, port } => {
                    let ports = &self.checked.transforms[transform].description.ports;
                    rekeyed |= ports.get(port).is_some_and(|port| port.rekeys);
                    behind_state |= self.is_stateful(transform);
                    if self.cut[transform] {
                        topics.insert(Reads::Repartition(transform));
                    } else {
                        topics.extend(self.topics[transform].iter().copied());
                        rekeyed |= self.rekeyed[transform];
                        merged |= self.merged[transform];
                        behind_state |= self.behind_state[transform];
                    }
                }
            }
        }
        self.topics[t] = topics;
        self.rekeyed[t] = rekeyed;
        self.merged[t] = merged;
        self.behind_state[t] = behind_state;
    }

    fn is_stateful(&self, t: usize) -> bool {
        self.checked.transforms[t].description.is_stateful()
    }

    fn needs_repartition(&self, t: usize) -> bool {
        if self.is_stateful(t) {
            return self.rekeyed[t] || self.merged[t];
        }
        // A stateless one may read several topics, unless that would tie state, or what comes back
        // from behind a topic, to other topics.
        self.topics[t].len() > 1 && (self.behind_state[t] || self.topics[t].iter().any(|r| self.comes_back(*r)))
    }

    /// Whether the pipeline itself writes the topic.
    fn comes_back(&self, reads: Reads) -> bool {
        let Reads::Source(s, i) = reads else { return true };
        let topic = match &self.checked.sources[s].kind {
            SourceKind::Topics { topics, .. } => topics.get(i),
            SourceKind::Listen { topic, .. } => topic.as_ref(),
            SourceKind::Ingest { .. } => None,
        };
        self.checked
            .sinks
            .iter()
            .any(|sink| matches!(&sink.kind, SinkKind::Topic(written) if topic == Some(written)))
    }

    fn topics_of_part(&self, part: usize, source_part: &[usize], transform_part: &[usize]) -> usize {
        let sources = (0..source_part.len()).filter(|s| source_part[*s] == part);
        let of_sources: usize = sources
            .map(|s| match &self.checked.sources[s].kind {
                SourceKind::Topics { topics, .. } => topics.len(),
                SourceKind::Ingest { .. } | SourceKind::Listen { .. } => 1,
            })
            .sum();
        let repartitions = (0..transform_part.len()).filter(|t| transform_part[*t] == part && self.cut[*t]);
        of_sources + repartitions.count()
    }
}

/// Transforms in topological order, those first in the file first.
fn topological(checked: &Checked) -> Vec<usize> {
    let n = checked.transforms.len();
    let mut order = Vec::with_capacity(n);
    let mut placed = vec![false; n];
    while let Some(next) = (0..n).find(|t| {
        !placed[*t]
            && checked.transforms[*t].feeds.iter().all(|(feed, _)| match feed {
                Feed::Source(_) => true,
                Feed::Port { transform, .. } => placed[*transform],
            })
    }) {
        placed[next] = true;
        order.push(next);
    }
    order
}

/// Which sources and transforms hang together without a topic in between.
fn parts(checked: &Checked, cut: &[bool]) -> (Vec<usize>, Vec<usize>) {
    let sources = checked.sources.len();
    let mut part: Vec<usize> = (0..sources + cut.len()).collect();
    for (t, transform) in checked.transforms.iter().enumerate().filter(|(t, _)| !cut[*t]) {
        for (feed, _) in &transform.feeds {
            let from = match feed {
                Feed::Source(s) => *s,
                Feed::Port { transform, .. } => sources + transform,
            };
            let (old, new) = (part[sources + t], part[from]);
            part.iter_mut().filter(|p| **p == old).for_each(|p| *p = new);
        }
    }
    let transforms = part.split_off(sources);
    (part, transforms)
}
