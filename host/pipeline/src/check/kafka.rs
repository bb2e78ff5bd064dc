//! Checks `[kafka]`.

use crate::code;
use crate::diagnostic::Problem;
use crate::text::Span;
use crate::value::Table;

/// Settings of librdkafka that Wasmill's guarantees rest on.
const RESERVED: [(&str, &str); 17] = [
    ("bootstrap.servers", "it is `brokers` in [kafka]"),
    ("metadata.broker.list", "it is `brokers` in [kafka]"),
    (
        "client.id",
        "it carries the plan's hash, by which two plans under one name are found",
    ),
    ("group.id", "it is the pipeline's name"),
    (
        "group.instance.id",
        "it is made of the process and the worker, so that a restart does not wait",
    ),
    (
        "transactional.id",
        "it is made of the process and the worker, so that a restart fences its predecessor",
    ),
    ("transaction.timeout.ms", "it has to fit the commit interval"),
    (
        "enable.idempotence",
        "without it records are written twice or out of order",
    ),
    ("acks", "every write waits for all in-sync replicas"),
    (
        "enable.auto.commit",
        "positions are committed together with what was made of the records",
    ),
    (
        "enable.auto.offset.store",
        "positions are committed together with what was made of the records",
    ),
    ("auto.commit.interval.ms", "it is `commit_interval_ms` of the pipeline"),
    ("auto.offset.reset", "where to start is `start` of a source"),
    ("isolation.level", "input is read committed"),
    ("enable.partition.eof", "bounded runs end by it"),
    (
        "partition.assignment.strategy",
        "assignments are cooperative; `group.protocol` = `consumer` is possible",
    ),
    ("partitioner", "keys are placed by Kafka's murmur2, as Java clients do"),
];

pub(crate) fn check_kafka(root: &Table, embedded: bool, problems: &mut Vec<Problem>) {
    if root.entry("kafka").is_none() && !embedded {
        problems.push(
            Problem::new(
                code::MISSING_KEY,
                Span::START,
                "a pipeline needs `[kafka]` with `brokers`",
            )
            .help("add `[kafka]` and `brokers = \"localhost:9092\"`, or run it with `--embedded`"),
        );
    }
    let kafka = root.table("kafka");
    if let Some(brokers) = kafka.get("brokers")
        && let Some(text) = brokers.as_str()
        && text.value().chars().any(|c| c.is_control() || c == ' ')
    {
        problems.push(
            Problem::new(
                code::BAD_URL,
                brokers.span,
                "`kafka.brokers` has a space or a control character in it",
            )
            .help("write `\"host:9092,other:9092\"`"),
        );
    }
    for entry in &kafka.table("properties").entries {
        if let Some((_, why)) = RESERVED.iter().find(|(name, _)| *name == entry.key) {
            problems.push(
                Problem::new(
                    code::RESERVED_PROPERTY,
                    entry.key_span,
                    format!("`{}` is set by Wasmill itself", entry.key),
                )
                .help(*why),
            );
        }
    }
}
