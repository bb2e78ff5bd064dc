//! The checks of `wasmill doctor`. None of them changes anything.

use std::collections::HashMap;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use record::log::{Edge, Log, TopicInfo};
use record::topology::{Connector, PartitionCount, Topic, TopicId, Topology};
use serde_json::Value;

use crate::compose::TIMEOUT;
use crate::failure::Failure;
use crate::reset::{group_inputs, partitions_of, role_name};

/// How long a service may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but look at it.
    Warning,
    /// It will not work.
    Failed,
}

impl Verdict {
    /// A word for tables and JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// What was looked at.
    pub(crate) what: String,
    /// How it came out.
    pub(crate) verdict: Verdict,
    /// What was found, and what to do.
    pub(crate) found: String,
}

impl Check {
    /// A check of `what`.
    pub(crate) fn new(what: impl Into<String>, verdict: Verdict, found: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            verdict,
            found: found.into(),
        }
    }

    /// A check that could not be made.
    pub(crate) fn failed(what: impl Into<String>, failure: &Failure) -> Self {
        Self::new(
            what,
            Verdict::Failed,
            format!("{failure} [{}]; {}", failure.code(), failure.next()),
        )
    }
}

/// Whether the log answers at all.
pub(crate) fn log_answers(log: &dyn Log, name: &str) -> Check {
    let what = format!("log {name}");
    // The topic in which Kafka keeps offsets: asking for it creates nothing.
    match log.topics(&["__consumer_offsets"], TIMEOUT) {
        Ok(_) => Check::new(what, Verdict::Ok, "answers"),
        Err(error) => Check::failed(what, &Failure::log("no answer")(error)),
    }
}

/// The topics of a pipeline: there, or to be created, with the partitions that the plan needs.
pub(crate) fn topics(log: &dyn Log, topology: &Topology, checks: &mut Vec<Check>) {
    let names: Vec<&str> = topology.topics.iter().map(|topic| &*topic.name).collect();
    let infos = match log.topics(&names, TIMEOUT) {
        Ok(infos) => infos,
        Err(error) => {
            checks.push(Check::failed("topics", &Failure::log("cannot look them up")(error)));
            return;
        }
    };
    for (topic, info) in topology.topics.iter().zip(&infos) {
        checks.push(topic_check(topology, topic, info.as_ref(), &infos));
    }
}

fn topic_check(topology: &Topology, topic: &Topic, info: Option<&TopicInfo>, infos: &[Option<TopicInfo>]) -> Check {
    let what = format!("{} `{}`", role_name(topic.role), topic.name);
    let Some(info) = info else {
        return if topic.create {
            Check::new(what, Verdict::Ok, "does not exist; created at the first start")
        } else if topic.role.is_internal() {
            Check::new(
                what,
                Verdict::Failed,
                "does not exist; create it (docs/kafka.md has the settings), or set `internal_topics = \"create\"`",
            )
        } else {
            Check::new(
                what,
                Verdict::Failed,
                "does not exist; create it, or set `create_topics = true`",
            )
        };
    };
    let there = format!("{} partitions", info.partitions);
    match wanted(topology, topic.partitions, infos) {
        Some(wanted) if wanted != info.partitions && topic.role.is_internal() => Check::new(
            what,
            Verdict::Failed,
            format!(
                "{there}, but the plan needs {wanted}; `wasmill reset` deletes internal topics, or change the input back"
            ),
        ),
        _ => Check::new(what, Verdict::Ok, there),
    }
}

fn wanted(topology: &Topology, count: PartitionCount, infos: &[Option<TopicInfo>]) -> Option<u32> {
    let mut count = count;
    // A chain of models is no longer than there are topics.
    for _ in 0..=topology.topics.len() {
        let TopicId(model) = match count {
            PartitionCount::Existing => return None,
            PartitionCount::Fixed(n) => return Some(n),
            PartitionCount::SameAs(id) => id,
        };
        let model = model as usize;
        if let Some(Some(info)) = infos.get(model) {
            return Some(info.partitions);
        }
        count = topology.topics.get(model)?.partitions;
    }
    None
}

/// The groups of a pipeline: who is in them, and how far they are behind.
pub(crate) fn groups(log: &dyn Log, topology: &Topology, checks: &mut Vec<Check>) {
    for (group, inputs) in group_inputs(topology) {
        let what = format!("group `{group}`");
        checks.push(match group_check(log, &group, &inputs) {
            Ok(found) => Check::new(what, Verdict::Ok, found),
            Err(failure) => Check::failed(what, &failure),
        });
    }
}

fn group_check(log: &dyn Log, group: &str, inputs: &[Arc<str>]) -> Result<String, Failure> {
    let members = log
        .group_members(group, TIMEOUT)
        .map_err(Failure::log("cannot see its members"))?;
    let partitions = partitions_of(log, inputs)?;
    if partitions.is_empty() {
        return Ok(format!("{} members, nothing to read yet", members.len()));
    }
    let committed = log
        .committed(group, &partitions, TIMEOUT)
        .map_err(Failure::log("cannot read its positions"))?;
    if committed.iter().all(Option::is_none) {
        return Ok(format!("{} members, has committed nothing yet", members.len()));
    }
    let ends = log
        .offsets(&partitions, Edge::StableEnd, TIMEOUT)
        .map_err(Failure::log("cannot see the ends of its topics"))?;
    let behind: i64 = committed
        .iter()
        .zip(&ends)
        .filter_map(|(committed, end)| Some((end.0 - committed.as_ref()?.next.0).max(0)))
        .sum();
    Ok(format!("{} members, {behind} offsets behind", members.len()))
}

/// Services of sinks: does anything listen there? Rights are not tried, nothing is written.
pub(crate) fn services(topology: &Topology, checks: &mut Vec<Check>) {
    let mut known: HashMap<(String, u16), Result<(), String>> = HashMap::new();
    for plan in &topology.deliveries {
        let connector = &plan.connector;
        for (host, port) in addresses(connector) {
            let what = format!("sink `{}` ({})", connector.name, connector.kind);
            let answer = known
                .entry((host.clone(), port))
                .or_insert_with(|| connect(&host, port));
            checks.push(match answer {
                Ok(()) => Check::new(what, Verdict::Ok, format!("{host}:{port} accepts connections")),
                Err(error) => Check::new(
                    what,
                    Verdict::Failed,
                    format!("{host}:{port} cannot be reached: {error}; start the service, or mend `url`"),
                ),
            });
        }
    }
}

fn connect(host: &str, port: u16) -> Result<(), String> {
    let addresses = (host, port).to_socket_addrs().map_err(|e| e.to_string())?;
    let mut last = "the name has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(_) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// The hosts and ports in a connector's URL; none for those that are no network services. The URL
/// holds a password: nothing else of it is taken.
fn addresses(connector: &Connector) -> Vec<(String, u16)> {
    let port = match connector.kind.as_str() {
        "mysql" => 3306,
        "mongodb" => 27017,
        "postgres" => 5432,
        _ => return Vec::new(),
    };
    let settings: Value = serde_json::from_str(&connector.settings).unwrap_or_default();
    let Some((scheme, rest)) = settings
        .get("url")
        .and_then(Value::as_str)
        .and_then(|url| url.split_once("://"))
    else {
        return Vec::new();
    };
    // The hosts stand in DNS, which the driver asks.
    if scheme.ends_with("+srv") {
        return Vec::new();
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let hosts = authority.rsplit('@').next().unwrap_or_default();
    hosts
        .split(',')
        .filter(|host| !host.is_empty())
        .map(|host| match host.rsplit_once(':') {
            Some((name, number)) if !name.ends_with(':') => match number.parse() {
                Ok(number) => (unbracketed(name), number),
                Err(_) => (unbracketed(host), port),
            },
            _ => (unbracketed(host), port),
        })
        .collect()
}

fn unbracketed(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(kind: &str, url: &str) -> Connector {
        Connector {
            name: "x".into(),
            kind: kind.to_owned(),
            settings: serde_json::json!({ "url": url }).to_string(),
        }
    }

    #[test]
    fn hosts_are_found_in_urls_and_passwords_are_not() {
        let cases = [
            ("mysql", "mysql://u:p@db:3307/x", vec![("db", 3307)]),
            ("mysql", "mysql://u:p%40ss@db/x?a=b", vec![("db", 3306)]),
            ("mongodb", "mongodb://a:1,b/?replicaSet=r", vec![("a", 1), ("b", 27017)]),
            ("mongodb", "mongodb+srv://u:p@cluster.example/x", vec![]),
            ("mysql", "mysql://[::1]:3308/x", vec![("::1", 3308)]),
            ("mysql", "mysql://[::1]/x", vec![("::1", 3306)]),
            ("sqlite", "sqlite:///tmp/x.db", vec![]),
            ("mysql", "not a url", vec![]),
        ];
        for (kind, url, want) in cases {
            let want: Vec<(String, u16)> = want.into_iter().map(|(h, p)| (h.to_owned(), p)).collect();
            assert_eq!(addresses(&connector(kind, url)), want, "{url}");
        }
    }

    #[test]
    fn a_service_that_listens_is_reached_and_another_is_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("addr").port();
        assert_eq!(connect("127.0.0.1", port), Ok(()));
        drop(listener);
        assert!(connect("127.0.0.1", port).is_err());
    }
}
