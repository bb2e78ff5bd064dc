//! Stopping and going on.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::Api;
use super::problem::Problem;
use super::views::Pipeline;

fn set(api: &Api, name: &str, is_paused: bool) -> Result<Json<Pipeline>, Problem> {
    let entry = api.entry(name)?;
    if entry.ended.is_some() {
        return Err(Problem::conflict(
            format!("pipeline `{name}` has ended"),
            "GET /v1/pipelines says what runs",
        ));
    }
    if entry.control.is_paused() != is_paused {
        let what = if is_paused { "pause" } else { "resume" };
        tracing::info!(pipeline = name, "{what}: somebody has asked for it");
    }
    entry.control.pause(is_paused);
    Ok(Json(Pipeline::of(&entry)))
}

/// Pauses a pipeline
///
/// It commits what it has done, and processes and delivers nothing more until it is resumed or the process ends.
/// Its partitions stay with it.
#[utoipa::path(post, path = "/v1/pipelines/{name}/pause", params(("name" = String, Path, description = "Its name")), responses(
    (status = 200, description = "It is about to stand still, or does", body = Pipeline),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token does not allow it, or another site asks", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It has ended", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn pause(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Result<Json<Pipeline>, Problem> {
    set(&api, &name, true)
}

/// Resumes a pipeline
#[utoipa::path(post, path = "/v1/pipelines/{name}/resume", params(("name" = String, Path, description = "Its name")), responses(
    (status = 200, description = "It goes on", body = Pipeline),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token does not allow it, or another site asks", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It has ended", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn resume(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Result<Json<Pipeline>, Problem> {
    set(&api, &name, false)
}
