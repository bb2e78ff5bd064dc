//! What comes of a case: it is run by the driver, on state in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline::Loaded;
use pipeline::testing::{Case, Outlet, Pair, Step, StoreContent, TestFile, find_node, outlet};
use record::store::StateBackend;
use record::topology::{PartitionCount, Target, Topic, TopicId, TopicRole, Topology};
use state::MemoryBackend;
use task::{Cuts, Driver, Parts, Produced, Put, Refused, RunError};

/// Entries of a store.
pub(crate) type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// What came of a case.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// By name as in `expect`.
    pub(crate) outputs: Vec<(String, Vec<Produced>)>,
    /// Dead letters.
    pub(crate) refused: Vec<Refused>,
    /// The stores of `final_state`, as `TRANSFORM.STORE`.
    pub(crate) stores: Vec<(String, Entries)>,
    /// Codes and messages of what stands still.
    pub(crate) failures: Vec<(String, String)>,
}

/// A pipeline as a case needs it.
pub(crate) struct Bench<'a> {
    file: &'a TestFile,
    case: &'a Case,
    loaded: &'a Loaded,
    parts: &'a dyn Parts,
    topology: Arc<Topology>,
    /// Names, their topics, and whether what is put in counts as output.
    taps: Vec<(String, TopicId, bool)>,
}

impl<'a> Bench<'a> {
    /// Adds a topic behind each port that the case names. A case that names nothing gets all sinks.
    pub(crate) fn new(file: &'a TestFile, case: &'a Case, loaded: &'a Loaded, parts: &'a dyn Parts) -> Self {
        let mut topology = loaded.topology.clone();
        let mut names: Vec<&str> = case.expect.iter().map(|expected| expected.name.as_str()).collect();
        if !case.expects_something() {
            names.extend(loaded.ends.sinks.iter().map(|sink| sink.name.as_str()));
        }
        let mut taps = Vec::new();
        for name in names {
            let tap = match outlet(loaded, name) {
                Some(Outlet::Sink(sink)) => {
                    let Some(topic) = loaded.ends.sinks[sink].topics.first() else {
                        continue;
                    };
                    // A sink behind a source without transforms reads the source's own topic.
                    let is_direct = topology.deliveries.iter().any(|plan| *plan.connector.name == *name);
                    (name.to_owned(), *topic, is_direct)
                }
                Some(Outlet::Port(sub, node, port)) => {
                    let topic = TopicId(topology.topics.len() as u32);
                    topology.topics.push(Topic {
                        name: name.into(),
                        role: TopicRole::Output,
                        partitions: PartitionCount::Existing,
                        create: false,
                    });
                    let ports = &mut topology.processes[sub].nodes[node].ports;
                    ports[usize::from(port)].push(Target::Topic { topic, input: 0 });
                    (name.to_owned(), topic, false)
                }
                None => continue,
            };
            taps.push(tap);
        }
        Self {
            file,
            case,
            loaded,
            parts,
            topology: Arc::new(topology),
            taps,
        }
    }

    /// Runs the case.
    ///
    /// # Errors
    /// What no record is guilty of.
    pub(crate) fn run(&self, cuts: Cuts) -> Result<Outcome, RunError> {
        let backend: Arc<dyn StateBackend> = Arc::new(MemoryBackend::default());
        let mut driver = Driver::new(
            Arc::clone(&self.topology),
            self.parts,
            &*backend,
            self.file.partitions,
            self.file.clock,
            cuts,
        )?;
        for content in &self.case.state {
            if let Some((sub, node, store, entries)) = self.store(content) {
                for (key, value) in entries {
                    driver.fill(sub, node, store, &key, &value)?;
                }
            }
        }
        let mut waiting: Vec<Put> = Vec::new();
        for step in &self.case.steps {
            match step {
                Step::Record(input) => waiting.extend(self.put(input, driver.now())),
                Step::Advance(ms) => {
                    driver.put(&std::mem::take(&mut waiting))?;
                    driver.advance(*ms)?;
                }
            }
        }
        driver.put(&waiting)?;
        let mut stores = Vec::new();
        for content in &self.case.final_state {
            if let Some((sub, node, store, _)) = self.store(content) {
                let name = format!("{}.{}", content.transform, content.store);
                stores.push((name, driver.entries(sub, node, store)?));
            }
        }
        let outputs = self.taps.iter();
        Ok(Outcome {
            outputs: outputs
                .map(|(name, topic, all)| (name.clone(), driver.produced(*topic, *all)))
                .collect(),
            refused: driver.refused(),
            stores,
            failures: driver
                .failures()
                .iter()
                .map(|failure| (failure.code.0.to_owned(), failure.message.clone()))
                .collect(),
        })
    }

    /// The place of a store, and the entries that are written for it.
    fn store(&self, content: &StoreContent) -> Option<(usize, usize, u32, Vec<Pair>)> {
        let (sub, node) = find_node(self.loaded, &content.transform)?;
        let (store, _, entries) = content.resolve(self.loaded)?;
        Some((sub, node, store, entries))
    }

    fn put(&self, input: &pipeline::testing::Input, now: i64) -> Option<Put> {
        let sources = &self.loaded.ends.sources;
        let source = sources.iter().find(|source| source.name == input.source)?;
        let topic = match &input.topic {
            Some(name) => {
                let named = |id: &&TopicId| *self.topology.topic(**id).name == **name;
                source.topics.iter().find(named)?
            }
            None => source.topics.first()?,
        };
        let headers = input.headers.iter();
        Some(Put {
            topic: *topic,
            partition: input.partition,
            key: input.key.to_bytes(),
            value: input.value.to_bytes(),
            timestamp: input.timestamp.unwrap_or(now),
            headers: headers
                .map(|(name, text)| (name.clone(), Some(text.clone().into_bytes())))
                .collect(),
        })
    }
}
