//! Files that change, pipelines that come to a directory, and those that go.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Supervisor;
use super::receipt::{Cause, Outcome};
use super::reload::{Done, RENAMED, problem};
use super::watch::Files;

impl Supervisor {
    /// Reloads what has changed, starts pipelines that are new in a directory, and stops those that are
    /// gone from one.
    pub(super) fn look_at_files(&mut self) {
        // From the end: one that goes moves those behind it.
        for index in (0..self.running.len()).rev() {
            let one = &mut self.running[index];
            // What is written while plans are switched is looked at when that is done.
            let is_switching = one.switch.as_ref().is_some_and(|switch| !switch.is_waiting());
            if one.ended || is_switching || !one.files.have_changed() {
                continue;
            }
            let file = one.pipeline.file.clone();
            if !file.exists() && self.is_in_a_directory(&file) {
                self.remove(index);
            } else {
                let _ = self.reload(index, Cause::Watch);
            }
        }
        self.add_new();
    }

    fn is_in_a_directory(&self, file: &Path) -> bool {
        !self.settings.places.iter().any(|place| place == file)
    }

    /// A pipeline whose file is gone from its directory.
    fn remove(&mut self, index: usize) {
        let (at, began) = (Timestamp::now(), Instant::now());
        let (file, pipeline) = (
            self.running[index].pipeline.file.clone(),
            Arc::clone(self.running[index].name()),
        );
        self.drop_switch(index);
        let done = match self.stop(index, false) {
            Ok(()) => Done::of(Outcome::Removed, Vec::new(), Duration::ZERO),
            Err(why) => Done {
                problems: vec![why.into_problem()],
                ..Done::of(Outcome::Removed, Vec::new(), Duration::ZERO)
            },
        };
        self.running[index].progress.finish();
        self.running.remove(index);
        self.listeners.close(&pipeline);
        self.board.remove(&pipeline);
        let receipt = self.receipt(at, began, pipeline, file, Cause::Watch, done);
        self.keep(receipt);
    }

    /// Pipelines that have come to a directory, or were mended there.
    fn add_new(&mut self) {
        let Ok(found) = super::places::files_of(&self.settings.places) else {
            return;
        };
        self.refused.retain(|(file, _)| found.contains(file));
        for file in found {
            if self.running.iter().any(|one| one.pipeline.file == file) {
                continue;
            }
            let seen = self.refused.iter_mut().find(|(refused, _)| *refused == file);
            // It may be half written: it is read when it has stayed as it is.
            match seen.map(|(_, seen)| seen.have_changed()) {
                None => self.refused.push((file.clone(), Files::unseen(&file))),
                Some(true) => self.add(&file),
                Some(false) => {}
            }
        }
    }

    fn add(&mut self, file: &Path) {
        let (at, began) = (Timestamp::now(), Instant::now());
        self.host.refresh();
        let mut name: Arc<str> = Arc::from(file.display().to_string());
        let added = self.check(file).and_then(|pipeline| {
            name = Arc::clone(&pipeline.topology.pipeline);
            if let Some(other) = self.running.iter().find(|one| *one.name() == name) {
                return Err(Done::refused(vec![problem(
                    RENAMED,
                    format!(
                        "{} is a pipeline named `{name}` too; give one of them another `name`: it is the consumer group",
                        other.pipeline.file.display()
                    ),
                )]));
            }
            let prepared = self.prepare(pipeline, &[])?;
            self.start_and_settle(prepared)
                .map_err(|problem| Done::refused(vec![problem]))
        });
        let done = match added {
            Ok(()) => Done::of(Outcome::Added, Vec::new(), Duration::ZERO),
            Err(done) => {
                // One that was started and has failed does not stay among those that run.
                if self.running.iter().any(|one| one.pipeline.file == file) {
                    self.running.retain(|one| one.pipeline.file != file);
                    self.listeners.close(&name);
                    self.board.remove(&name);
                }
                done
            }
        };
        let receipt = self.receipt(at, began, name, file.to_owned(), Cause::Watch, done);
        self.keep(receipt);
    }
}
