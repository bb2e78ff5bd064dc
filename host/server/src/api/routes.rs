//! What each path answers.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::{IntoParams, ToSchema};

use super::extract::Params;
use super::problem::Problem;
use super::views::{Pipeline, Pipelines, Readiness, State as Standing, state};
use super::{Api, Ask};
use crate::supervisor::receipt::Receipt;

type Shared = State<Arc<Api>>;

/// Whether the process lives
///
/// Answers as long as it does, whatever its pipelines do.
#[utoipa::path(get, path = "/health", responses((status = 200, description = "It lives", body = str, content_type = "text/plain")))]
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// Whether all pipelines run
#[utoipa::path(get, path = "/ready", responses(
    (status = 200, description = "All pipelines run, with their partitions and their state", body = Readiness),
    (status = 503, description = "Some do not", body = Readiness),
))]
pub(super) async fn ready(State(api): Shared) -> Response {
    let mut waits_for = Vec::new();
    if !api.board.is_complete() {
        waits_for.push("pipelines are being started".to_owned());
    }
    for entry in api.board.entries() {
        let (standing, why) = state(&entry);
        if standing != Standing::Running {
            let why = why.unwrap_or_else(|| "it was stopped".to_owned());
            waits_for.push(format!("{}: {why}", entry.name()));
        }
    }
    let ready = waits_for.is_empty();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(Readiness { ready, waits_for })).into_response()
}

/// Metrics, for Prometheus
#[utoipa::path(get, path = "/metrics", responses(
    (status = 200, description = "OpenMetrics text", body = str, content_type = "application/openmetrics-text"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn metrics(State(api): Shared) -> Response {
    match super::metrics::render(&api.board) {
        Ok(text) => ([(header::CONTENT_TYPE, super::metrics::CONTENT_TYPE)], text).into_response(),
        // Writing to a string does not fail.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// All pipelines
#[utoipa::path(get, path = "/v1/pipelines", responses(
    (status = 200, description = "By name", body = Pipelines),
    (status = 401, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn pipelines(State(api): Shared) -> Json<Pipelines> {
    let pipelines = api.board.entries().iter().map(Pipeline::of).collect();
    Json(Pipelines { pipelines })
}

/// One pipeline
#[utoipa::path(get, path = "/v1/pipelines/{name}", params(("name" = String, Path, description = "Its name")), responses(
    (status = 200, body = Pipeline),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn pipeline(State(api): Shared, Path(name): Path<String>) -> Result<Json<Pipeline>, Problem> {
    let entry = api.entry(&name)?;
    Ok(Json(Pipeline::of(&entry)))
}

/// Receipts of reloads.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Receipts {
    pub(crate) receipts: Vec<Receipt>,
}

async fn reloaded(api: &Api, pipeline: Option<Arc<str>>) -> Result<Json<Receipts>, Problem> {
    let (answer, receipts) = oneshot::channel();
    api.asks
        .send(Ask::Reload { pipeline, answer })
        .map_err(|_| Problem::ending())?;
    let receipts = receipts.await.map_err(|_| Problem::ending())?;
    if receipts.is_empty() {
        return Err(Problem::conflict(
            "there is nothing to reload: it has ended, or it is a bounded run",
            "GET /v1/pipelines says what runs",
        ));
    }
    Ok(Json(Receipts { receipts }))
}

/// Reloads a pipeline
///
/// Answers when that has been done, or refused: the receipt says which.
#[utoipa::path(post, path = "/v1/pipelines/{name}/reload", params(("name" = String, Path, description = "Its name")), responses(
    (status = 200, description = "What came of it", body = Receipts),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token does not allow it, or another site asks", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It does not run", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The process is about to end, or has too much to do", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn reload(State(api): Shared, Path(name): Path<String>) -> Result<Json<Receipts>, Problem> {
    let entry = api.entry(&name)?;
    reloaded(&api, Some(Arc::clone(entry.name()))).await
}

/// Reloads all pipelines
#[utoipa::path(post, path = "/v1/reload", responses(
    (status = 200, description = "What came of it, for each", body = Receipts),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token does not allow it, or another site asks", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "Nothing runs that could be reloaded", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The process is about to end, or has too much to do", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn reload_all(State(api): Shared) -> Result<Json<Receipts>, Problem> {
    reloaded(&api, None).await
}

/// Which receipts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Of this pipeline only.
    pipeline: Option<String>,
}

/// Receipts of reloads
///
/// The newest 200 of this process, oldest first.
#[utoipa::path(get, path = "/v1/receipts", params(Which), responses(
    (status = 200, body = Receipts),
    (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn receipts(State(api): Shared, Params(which): Params<Which>) -> Json<Receipts> {
    let mut receipts = api.board.receipts();
    if let Some(pipeline) = &which.pipeline {
        receipts.retain(|receipt| *receipt.pipeline == **pipeline);
    }
    Json(Receipts { receipts })
}

/// This document
#[utoipa::path(get, path = "/openapi.json", responses(
    (status = 200, description = "OpenAPI 3.1", body = Object),
    (status = 401, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(super::document())
}
