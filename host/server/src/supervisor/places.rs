//! Which pipelines there are: what the command line names, and what lies in directories.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Settings;
use crate::failure::Failure;
use crate::output::Output;
use crate::pipelines::{Host, Pipeline};
use crate::reset::group_inputs;

/// The pipelines that the places name: files, and what lies in directories.
pub(super) fn files_of(places: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for place in places {
        if place.is_dir() {
            files.extend(files_in(place)?);
        } else {
            files.push(place.clone());
        }
    }
    Ok(files)
}

/// The pipelines in a directory, by name: its TOML files, but for pipeline tests, and `pipeline.toml` in
/// the directories in it.
fn files_in(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |source| Failure::File {
        doing: "read",
        path: dir.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        // Editors and Kubernetes have files of their own that begin with a dot.
        if name.starts_with('.') || name.ends_with(pipeline::testing::SUFFIX) {
            continue;
        }
        let inside = path.join("pipeline.toml");
        if inside.is_file() {
            files.push(inside);
        } else if name.ends_with(".toml") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Loads every pipeline, and shows the mistakes of all of them before it gives up.
pub(super) fn load_all(
    settings: &Settings,
    files: &[PathBuf],
    host: &mut Host,
    output: Output,
) -> Result<Vec<Pipeline>, Failure> {
    let mut pipelines: Vec<Pipeline> = Vec::new();
    let mut invalid = None;
    for file in files {
        match host.load(file, &settings.pipeline, settings.workers, output) {
            Ok(pipeline) => pipelines.push(pipeline),
            Err(failure @ Failure::Invalid { .. }) => {
                invalid.get_or_insert(failure);
            }
            Err(failure) => return Err(failure),
        }
    }
    if let Some(failure) = invalid {
        return Err(failure);
    }
    let mut names = HashSet::new();
    for pipeline in &pipelines {
        if !names.insert(Arc::clone(&pipeline.topology.pipeline)) {
            return Err(Failure::usage(
                format!("two of the files are a pipeline named `{}`", pipeline.topology.pipeline),
                "give one of them another `name`: it is the consumer group",
            ));
        }
    }
    Ok(pipelines)
}

/// A record to skip must be in a topic that one of the pipelines reads.
pub(super) fn check_skips(settings: &Settings, pipelines: &[Pipeline]) -> Result<(), Failure> {
    let read: HashSet<Arc<str>> = pipelines
        .iter()
        .flat_map(|pipeline| group_inputs(&pipeline.topology))
        .flat_map(|(_, topics)| topics)
        .collect();
    for (at, offset) in &settings.skip {
        if !read.contains(&at.topic) {
            let mut topics: Vec<&str> = read.iter().map(|topic| &**topic).collect();
            topics.sort_unstable();
            return Err(Failure::usage(
                format!("`--skip {at}:{offset}` is no record of this run"),
                format!("name a record of one of these topics: {}", topics.join(", ")),
            ));
        }
    }
    Ok(())
}
