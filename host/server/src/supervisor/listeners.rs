//! The sources of this process that are sent their records. They belong to no run: while a pipeline is
//! reloaded or started again, what is sent to it is written to its topic, and waits there.

use std::sync::Arc;
use std::time::Instant;

use record::log::Log;
use record::topology::{Connector, Listen, Topology};
use record::trace::Spans;
use sources::http::{HttpError, Listening, Target};

use crate::board::{Board, Heard};
use crate::failure::Failure;

/// One source that listens, and what it was opened with.
struct Open {
    pipeline: Arc<str>,
    connector: Connector,
    target: Target,
    /// The address as the settings have it.
    wanted: String,
    listening: Listening,
    is_held: bool,
}

impl Open {
    /// Whether it goes on as it is.
    fn is_as(&self, connector: &Connector, target: &Target) -> bool {
        self.connector == *connector
            && self.target.topic == target.topic
            && self.target.dead_letters == target.dead_letters
            && self.target.keeps_undecodable == target.keeps_undecodable
            && Arc::ptr_eq(&self.target.log, &target.log)
    }

    /// Whether its socket serves these settings. A port that the system has chosen belongs to its source.
    fn has_address(&self, wanted: &str, source: &str) -> bool {
        self.wanted == wanted && (!wanted.ends_with(":0") || *self.connector.name == *source)
    }
}

/// All of them.
pub(super) struct Listeners {
    open: Vec<Open>,
    spans: Option<Arc<dyn Spans>>,
    board: Arc<Board>,
}

impl Listeners {
    /// None yet.
    pub(super) fn new(spans: Option<Arc<dyn Spans>>, board: Arc<Board>) -> Self {
        Self {
            open: Vec::new(),
            spans,
            board,
        }
    }

    /// Shows which there are.
    fn show(&self) {
        let shown = self.open.iter().map(|open| Heard {
            pipeline: Arc::clone(&open.pipeline),
            source: Arc::clone(&open.connector.name),
            answers: Arc::clone(open.listening.answers()),
        });
        self.board.hear(shown.collect());
    }

    /// Brings the sources of a pipeline to what its plan says: those that stay keep their sockets, those
    /// that are not in it any more are closed.
    ///
    /// # Errors
    /// An address that cannot be had; everything is as it was then.
    pub(super) fn bring_to(&mut self, topology: &Topology, log: &Arc<dyn Log>) -> Result<(), Failure> {
        let pipeline = &topology.pipeline;
        let wanted: Vec<_> = topology
            .listens
            .iter()
            .map(|listen| {
                (
                    listen,
                    address_of(&listen.connector),
                    target(topology, listen, log, self.spans.as_ref()),
                )
            })
            .collect();
        let mut new = Vec::new();
        for (listen, address, target) in &wanted {
            let name = &listen.connector.name;
            let of_other = self
                .open
                .iter()
                .find(|open| open.pipeline != *pipeline && !address.ends_with(":0") && open.wanted == *address);
            if let Some(other) = of_other {
                return Err(taken(pipeline, name, address, &other.pipeline));
            }
            let is_there = self
                .open
                .iter()
                .any(|open| open.pipeline == *pipeline && open.has_address(address, name));
            if !is_there {
                let listening = Listening::open(&listen.connector, target.clone()).map_err(|error| failure(&error))?;
                new.push(Open {
                    pipeline: Arc::clone(pipeline),
                    connector: listen.connector.clone(),
                    target: target.clone(),
                    wanted: address.clone(),
                    listening,
                    is_held: false,
                });
            }
        }
        for open in self.open.iter_mut().filter(|open| open.pipeline == *pipeline) {
            let found = wanted
                .iter()
                .find(|(listen, address, _)| open.has_address(address, &listen.connector.name));
            if let Some((listen, _, target)) = found
                && (open.is_held || !open.is_as(&listen.connector, target))
            {
                open.listening
                    .exchange(&listen.connector, target.clone())
                    .map_err(|error| failure(&error))?;
                open.connector = listen.connector.clone();
                open.target = target.clone();
                open.is_held = false;
            }
        }
        // Dropped, they wait for the answers under way.
        self.open.retain(|open| {
            open.pipeline != *pipeline
                || wanted
                    .iter()
                    .any(|(listen, address, _)| open.has_address(address, &listen.connector.name))
        });
        self.open.append(&mut new);
        self.show();
        Ok(())
    }

    /// Before the records of a topic are read for the last time: what goes away, or to another topic, takes
    /// none until [`Self::bring_to`].
    pub(super) fn hold_what_moves(&mut self, topology: &Topology, log: &Arc<dyn Log>) {
        for open in self.open.iter_mut().filter(|open| open.pipeline == topology.pipeline) {
            let is_read = topology
                .listens
                .iter()
                .any(|listen| topology.topic(listen.topic).name == open.target.topic);
            if !(is_read && Arc::ptr_eq(&open.target.log, log)) {
                open.listening.hold();
                open.is_held = true;
            }
        }
    }

    /// Closes those of a pipeline, when the answers under way are given.
    pub(super) fn close(&mut self, pipeline: &str) {
        self.open.retain(|open| *open.pipeline != *pipeline);
        self.show();
    }

    /// Takes no more connections anywhere. Does not wait.
    pub(super) fn end(&self, deadline: Instant) {
        for open in &self.open {
            open.listening.end(deadline);
        }
    }
}

/// Two pipelines that are started together cannot have one address.
pub(super) fn check_addresses<'a>(pipelines: impl Iterator<Item = &'a Topology>) -> Result<(), Failure> {
    let mut seen: Vec<(String, &str)> = Vec::new();
    for topology in pipelines {
        for listen in &topology.listens {
            let address = address_of(&listen.connector);
            if address.ends_with(":0") {
                continue;
            }
            if let Some((_, other)) = seen.iter().find(|(known, _)| *known == address) {
                return Err(taken(&topology.pipeline, &listen.connector.name, &address, other));
            }
            seen.push((address, &topology.pipeline));
        }
    }
    Ok(())
}

fn taken(pipeline: &str, source: &str, address: &str, other: &str) -> Failure {
    Failure::Other {
        code: record::error::Code("E0303"),
        invalid: false,
        what: format!(
            "source `{source}` of pipeline `{pipeline}` cannot listen on {address}: pipeline `{other}` listens there"
        ),
        place: None,
        next: "give one of them another port: a source has an address of its own".to_owned(),
    }
}

fn failure(error: &HttpError) -> Failure {
    Failure::Other {
        code: error.code(),
        invalid: false,
        what: error.to_string(),
        place: None,
        next: "end what has the address, or name another one with `listen`; of two processes of a pipeline on one \
               machine each needs its own, as with `--set sources.NAME.listen=127.0.0.1:8081`"
            .to_owned(),
    }
}

fn target(topology: &Topology, listen: &Listen, log: &Arc<dyn Log>, spans: Option<&Arc<dyn Spans>>) -> Target {
    Target {
        pipeline: Arc::clone(&topology.pipeline),
        source: Arc::clone(&listen.connector.name),
        log: Arc::clone(log),
        topic: Arc::clone(&topology.topic(listen.topic).name),
        dead_letters: Arc::clone(&topology.topic(topology.dead_letters).name),
        keeps_undecodable: listen.dead_letters,
        spans: spans.cloned(),
    }
}

/// The address as the settings have it; they have been checked.
fn address_of(connector: &Connector) -> String {
    let settings: serde_json::Value = serde_json::from_str(&connector.settings).unwrap_or_default();
    settings["listen"].as_str().unwrap_or_default().to_owned()
}
