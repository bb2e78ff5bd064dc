//! Records on their way to the log: gathered from all requests, written in batches, each answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use record::Batch;
use record::appender::Appender;
use record::log::{Log, LogError};
use record::origin::DeadLetter;
use record::partitioner::partition_for;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Target;
use super::route::Draft;

/// A batch has at most so many records,
const BATCH_RECORDS: usize = 1_000;
/// and about so many bytes.
const BATCH_BYTES: usize = 4 << 20;
/// How long a batch may take: longer than the log itself tries.
const WRITE_TIME: Duration = Duration::from_secs(15);
const LOOK_TIME: Duration = Duration::from_secs(5);
/// How long the number of partitions is believed.
const COUNT_AGE_MAX: Duration = Duration::from_secs(30);

/// How a record was written.
pub(super) type Written = Result<(), LogError>;

/// A record that waits.
pub(super) struct Job {
    pub(super) draft: Draft,
    /// Why it is a dead letter, if it is one: the word and the sentence.
    pub(super) letter: Option<(&'static str, String)>,
    pub(super) done: oneshot::Sender<Written>,
    /// What it takes up of the limits.
    pub(super) permits: Vec<OwnedSemaphorePermit>,
}

/// Where requests put their records. When the last clone is gone and all is written, its thread ends.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: Sender<Job>,
    is_troubled: Arc<AtomicBool>,
}

impl Writer {
    pub(super) fn start(target: Target) -> std::io::Result<Self> {
        let (jobs, waiting) = unbounded();
        let is_troubled = Arc::new(AtomicBool::new(false));
        let troubled = Arc::clone(&is_troubled);
        std::thread::Builder::new()
            .name(format!("http-{}", target.source))
            .spawn(move || {
                let mut writing = Writing {
                    target,
                    appender: None,
                    counts: HashMap::new(),
                    turn: AtomicU32::new(0),
                    is_troubled: troubled,
                };
                writing.run(&waiting);
            })?;
        Ok(Self { jobs, is_troubled })
    }

    /// The permits of a job bound how many wait here.
    pub(super) fn put(&self, job: Job) {
        // The thread ends after the last of us only; a job that is dropped answers by that.
        let _ = self.jobs.send(job);
    }

    /// Whether the last batch could not be written.
    pub(super) fn is_troubled(&self) -> bool {
        self.is_troubled.load(Ordering::Acquire)
    }
}

struct Writing {
    target: Target,
    appender: Option<Box<dyn Appender>>,
    /// Partitions by topic.
    counts: HashMap<Arc<str>, (u32, Instant)>,
    /// Records without a key go to the partitions in turn.
    turn: AtomicU32,
    is_troubled: Arc<AtomicBool>,
}

impl Writing {
    fn run(&mut self, waiting: &Receiver<Job>) {
        while let Ok(first) = waiting.recv() {
            let mut bytes = first.draft.value.len();
            let mut jobs = vec![first];
            while jobs.len() < BATCH_RECORDS && bytes < BATCH_BYTES {
                let Ok(job) = waiting.try_recv() else { break };
                bytes += job.draft.value.len();
                jobs.push(job);
            }
            let (letters, records): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.letter.is_some());
            for (topic, jobs) in [
                (Arc::clone(&self.target.topic), records),
                (Arc::clone(&self.target.dead_letters), letters),
            ] {
                if !jobs.is_empty() {
                    self.write(&topic, jobs);
                }
            }
        }
    }

    fn write(&mut self, topic: &Arc<str>, jobs: Vec<Job>) {
        let mut answers = match self.partitions(topic) {
            Ok(count) => self.append(topic, &jobs, count),
            Err(error) => vec![Err(error); jobs.len()],
        };
        // One that is refused may have taken its neighbours with it.
        if jobs.len() > 1 {
            for (i, answer) in answers.iter_mut().enumerate() {
                if matches!(answer, Err(error) if error.is_of_a_record())
                    && let Ok(count) = self.partitions(topic)
                    && let Some(alone) = self.append(topic, &jobs[i..=i], count).pop()
                {
                    *answer = alone;
                }
            }
        }
        let trouble = answers
            .iter()
            .find_map(|answer| answer.as_ref().err().filter(|error| !error.is_of_a_record()));
        let was_troubled = self.is_troubled.swap(trouble.is_some(), Ordering::AcqRel);
        match trouble {
            Some(error) if !was_troubled => {
                tracing::warn!(
                    source = &*self.target.source,
                    "records that came by HTTP are not written: {error}"
                );
            }
            None if was_troubled => {
                tracing::info!(
                    source = &*self.target.source,
                    "records that come by HTTP are written again"
                );
            }
            _ => {}
        }
        if let Some(error) = trouble {
            if matches!(error, LogError::Fatal { .. } | LogError::Fenced { .. }) {
                // A producer that has failed for good is replaced.
                self.appender = None;
            }
            self.counts.remove(topic);
        }
        for (job, answer) in jobs.into_iter().zip(answers) {
            // The permits first: whoever got an answer may send the next record.
            drop(job.permits);
            // The client may have gone.
            let _ = job.done.send(answer);
        }
    }

    fn append(&mut self, topic: &Arc<str>, jobs: &[Job], count: u32) -> Vec<Written> {
        let mut batch = Batch::new(Arc::clone(topic), 0);
        let mut partitions = Vec::with_capacity(jobs.len());
        for job in jobs {
            self.push(job, &mut batch);
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            partitions.push(partition_for(job.draft.key.as_deref(), turn, count));
        }
        batch.headers.finish(batch.len());
        let appender = match &mut self.appender {
            Some(appender) => appender,
            None => match self.target.log.appender() {
                Ok(appender) => self.appender.insert(appender),
                Err(error) => return vec![Err(error); jobs.len()],
            },
        };
        appender.append(topic, &batch, &partitions, WRITE_TIME)
    }

    fn push(&self, job: &Job, batch: &mut Batch) {
        let draft = &job.draft;
        let mut own = Batch::new(Arc::clone(&self.target.topic), 0);
        let to = if job.letter.is_some() { &mut own } else { &mut *batch };
        let at = to.len();
        to.push(draft.key.as_deref(), Some(&draft.value), draft.timestamp);
        if !draft.headers.is_empty() {
            for (name, value) in &draft.headers {
                to.headers.push(name.as_bytes(), Some(value));
            }
            to.headers.close(at);
        }
        if let Some((code, message)) = &job.letter {
            let letter = DeadLetter {
                pipeline: &self.target.pipeline,
                node: &self.target.source,
                plugin: "",
                code,
                message,
                detail: "",
            };
            letter.push(&own, 0, batch);
        }
    }

    fn partitions(&mut self, topic: &Arc<str>) -> Result<u32, LogError> {
        if let Some((count, at)) = self.counts.get(topic)
            && at.elapsed() < COUNT_AGE_MAX
        {
            return Ok(*count);
        }
        let found = look_up(&*self.target.log, topic)?;
        self.counts.insert(Arc::clone(topic), (found, Instant::now()));
        Ok(found)
    }
}

fn look_up(log: &dyn Log, topic: &str) -> Result<u32, LogError> {
    let found = log.topics(&[topic], LOOK_TIME)?.into_iter().next().flatten();
    found.map(|info| info.partitions).ok_or_else(|| LogError::NoTopic {
        topic: topic.to_owned(),
    })
}
