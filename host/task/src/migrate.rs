//! State that an earlier state version of a transform has stored, before the first record of the new one.
//!
//! ```text
//!   restored -> versions agree ------------------------------------------> first record
//!            -> older: migrate -> commit, position where it was -> stands -> first record
//!                  ^                       |
//!                  +--- restored again ----+ came to nothing
//!            -> newer, or it cannot be migrated: the partition stands still
//! ```

use std::sync::Arc;
use std::time::Instant;

use record::TopicPartition;
use record::error::Code;
use record::transform::CallErrorKind as Kind;

use crate::plan::now_ms;
use crate::process::Phase;
use crate::worker::{Stop, Worker};

impl Worker {
    /// Brings what earlier state versions of the transforms have stored to the versions that run, in a commit of
    /// its own before the first record. `false`: the task does not go on yet.
    pub(crate) fn migrate(&mut self, at: &TopicPartition) -> Result<bool, Stop> {
        let Some(owned) = self.tasks.get_mut(at) else {
            return Ok(false);
        };
        let plan = Arc::clone(&self.chains[owned.sub].plan);
        let is_older = plan.nodes.iter().zip(&owned.task.states).any(|(node, slot)| {
            let found = slot.0.as_ref().and_then(|state| state.position());
            found.is_some_and(|found| found.state_version < node.description.state_version)
        });
        // It may take longer than a transaction may be open.
        if is_older && !self.commit_unless_rolled_back()? {
            return self.retry_later(at, false).map(|()| false);
        }
        let Some(owned) = self.tasks.get_mut(at) else {
            return Ok(false);
        };
        let mut migrated = false;
        let mut refused = None;
        for (i, (node, slot)) in plan.nodes.iter().zip(&mut owned.task.states).enumerate() {
            let found = slot.0.as_ref().and_then(|state| state.position());
            // What is new has no version yet.
            let Some(found) = found.map(|position| position.state_version) else {
                continue;
            };
            let wanted = node.description.state_version;
            if found == wanted {
                continue;
            }
            if found > wanted {
                refused = Some((
                    i,
                    format!("its state has version {found}, and the plugin reads version {wanted} at most"),
                ));
                break;
            }
            tracing::info!(%at, transform = &*node.name, "its state is migrated from version {found} to {wanted}");
            let answer = self.chains[owned.sub].migrate(i, found, now_ms(), slot);
            let Some(state) = &mut slot.0 else { continue };
            match answer {
                Ok(()) => {
                    state.keep();
                    migrated = true;
                }
                // Nobody's fault: tried again.
                Err(error) if matches!(error.kind, Kind::Store | Kind::StoreDamaged | Kind::Unavailable) => {
                    tracing::warn!(%at, "{error}");
                    let is_damaged = error.kind == Kind::StoreDamaged;
                    self.recycle()?;
                    return self.retry_later(at, is_damaged).map(|()| false);
                }
                Err(error) => {
                    refused = Some((
                        i,
                        format!("its state cannot be migrated from version {found} to {wanted}: {error}"),
                    ));
                    break;
                }
            }
        }
        if let Some((node, message)) = refused {
            owned.task.roll_back();
            owned.task.is_unmigrated = true;
            self.recycle()?;
            self.fail(
                at,
                &plan.nodes[node].name,
                Code("E0713"),
                message,
                "run the plugin that has stored it, or one that migrates it; or begin anew with `wasmill reset`",
            )?;
            return Ok(false);
        }
        if !migrated {
            return Ok(true);
        }
        // The position stays where it is, but with it the new version is committed.
        owned.task.phase = Phase::Running;
        owned.task.has_worked = true;
        self.open_since.get_or_insert_with(Instant::now);
        self.commit()?;
        let Some(owned) = self.tasks.get(at) else {
            return Ok(false);
        };
        if !matches!(owned.task.phase, Phase::Running) {
            return Ok(false);
        }
        let states = plan.nodes.iter().zip(&owned.task.states);
        let is_committed = states.into_iter().all(|(node, slot)| {
            let position = slot.0.as_ref().and_then(|state| state.position());
            position.is_none_or(|position| position.state_version == node.description.state_version)
        });
        if !is_committed {
            // It came to nothing: from the changelog, once more.
            self.retry_later(at, false)?;
        }
        Ok(is_committed)
    }
}
