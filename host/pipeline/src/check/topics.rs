//! Every topic has one purpose: checks those that the user names, and those that Wasmill makes up.

use std::collections::BTreeMap;

use super::Nodes;
use super::names::check_topic;
use crate::checked::{SinkKind, Source, SourceKind};
use crate::code;
use crate::diagnostic::Problem;
use crate::raw::{self};
use crate::text::Span;
use crate::topic_names::TopicNames;
use crate::value::{Entry, Table};

/// A topic that is taken, what for, and where that is said.
type Taken = BTreeMap<String, (String, Span)>;

pub(crate) fn check_topics(root: &Table, settings: &raw::Pipeline, nodes: &Nodes<'_>, problems: &mut Vec<Problem>) {
    let mut taken = Taken::new();
    let name_span = root.span("name", Span::START);
    let before = problems.len();
    check_topic(&settings.name, "the name of a pipeline", name_span, problems);
    let prefix_span = root.span("topic_prefix", Span::START);
    if !settings.topic_prefix.is_empty() {
        check_topic(
            &settings.topic_prefix,
            "the start of the name of a topic",
            prefix_span,
            problems,
        );
    }
    let well_named = problems.len() == before;
    let names = TopicNames {
        prefix: &settings.topic_prefix,
        pipeline: &settings.name,
    };

    for entry in &root.table("sources").entries {
        let table = entry.value.as_table();
        let topics: Vec<(&String, Span)> = match nodes.sources.get(entry.key.as_str()).map(|source| &source.kind) {
            Some(SourceKind::Topics { topics, .. }) => {
                let items = table.and_then(|t| t.get("topics")?.as_array()).unwrap_or(&[]);
                let span = |i: usize| items.get(i).map_or(entry.key_span, |item| item.span);
                topics.iter().enumerate().map(|(i, topic)| (topic, span(i))).collect()
            }
            Some(SourceKind::Listen { topic: Some(topic), .. }) => {
                vec![(topic, table.map_or(entry.key_span, |t| t.span("topic", entry.key_span)))]
            }
            _ => continue,
        };
        for (topic, span) in topics {
            if let Some((what, first)) = taken.get(topic) {
                problems.push(
                    Problem::new(
                        code::TOPIC_TWICE,
                        span,
                        format!("the topic `{topic}` is already read by {what}"),
                    )
                    .also(*first, "here")
                    .help("a topic has one source; several nodes may name that source in their `inputs`"),
                );
            } else {
                taken.insert(topic.clone(), (format!("the source `{}`", entry.key), span));
            }
        }
    }
    // Several sinks may write one topic, and a source may read what a sink writes.
    for entry in &root.table("sinks").entries {
        if let Some(SinkKind::Topic(topic)) = nodes.sinks.get(entry.key.as_str()) {
            let span = entry
                .value
                .as_table()
                .map_or(entry.key_span, |t| t.span("topic", entry.key_span));
            taken
                .entry(topic.clone())
                .or_insert_with(|| (format!("the sink `{}`", entry.key), span));
        }
    }
    let letters = names.dead_letters(settings.dead_letter_topic.as_deref());
    let letters_span = root.span("dead_letter_topic", name_span);
    if settings.dead_letter_topic.is_some() {
        check_topic(&letters, "the name of a topic", letters_span, problems);
    }
    take(&mut taken, letters, "dead letters".to_owned(), letters_span, problems);
    take(
        &mut taken,
        names.control(),
        "the record of resets".to_owned(),
        name_span,
        problems,
    );
    if !well_named {
        return;
    }

    let mut made_up = |name: String, what: &str, entry: &Entry, problems: &mut Vec<Problem>| {
        if name.len() > 249 {
            check_topic(&name, "the name of a topic", entry.key_span, problems);
        }
        take(
            &mut taken,
            name,
            format!("{what} `{}`", entry.key),
            entry.key_span,
            problems,
        );
    };
    for entry in &root.table("sources").entries {
        if matches!(
            nodes.sources.get(entry.key.as_str()),
            Some(Source {
                kind: SourceKind::Ingest { .. } | SourceKind::Listen { topic: None, .. },
                ..
            })
        ) {
            made_up(names.node(&entry.key), "what is read by the source", entry, problems);
        }
    }
    for entry in &root.table("sinks").entries {
        if matches!(nodes.sinks.get(entry.key.as_str()), Some(SinkKind::External { .. })) {
            made_up(names.node(&entry.key), "what goes to the sink", entry, problems);
        }
    }
    for entry in &root.table("transforms").entries {
        if let Some((_, plugin)) = nodes.transforms.get(entry.key.as_str())
            && plugin.description.is_stateful()
        {
            made_up(names.changelog(&entry.key), "the state of", entry, problems);
        }
        made_up(names.repartition(&entry.key), "the repartition of", entry, problems);
    }
}

fn take(taken: &mut Taken, topic: String, what: String, span: Span, problems: &mut Vec<Problem>) {
    if let Some((other, first)) = taken.get(&topic) {
        problems.push(
            Problem::new(
                code::TOPIC_TWICE,
                span,
                format!("the topic `{topic}` would hold {what}, but it is that of {other}"),
            )
            .also(*first, "here")
            .help("rename the node, or the other topic"),
        );
        return;
    }
    taken.insert(topic, (what, span));
}
