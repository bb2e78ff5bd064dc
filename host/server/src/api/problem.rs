//! Errors as `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use record::log::LogError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a request was not answered.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Problem {
    /// The HTTP status.
    pub(crate) status: u16,
    /// What is wrong.
    pub(crate) title: String,
    /// What to do.
    pub(crate) detail: String,
}

impl Problem {
    fn new(status: StatusCode, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            title: title.into(),
            detail: detail.into(),
        }
    }

    pub(super) fn not_found(title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, title, detail)
    }

    /// What is wrong with the parameters.
    pub(super) fn bad_parameter<T: Into<String>>(title: T) -> Self {
        Self::invalid(title, "GET /openapi.json says which parameters there are")
    }

    /// A body that could not be read.
    pub(super) fn of_body(status: StatusCode, title: impl Into<String>) -> Self {
        Self::new(status, title, "GET /openapi.json says what the body is to be")
    }

    /// What is wrong with what a body says.
    pub(super) fn bad_body<T: Into<String>>(title: T) -> Self {
        Self::of_body(StatusCode::BAD_REQUEST, title)
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path has no such method",
            "GET /openapi.json lists all paths with their methods",
        )
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "a token is missing, or is not one of this process",
            "send `Authorization: Bearer TOKEN` with a token of `--tokens`",
        )
    }

    pub(super) fn forbidden(title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, title, detail)
    }

    pub(super) fn conflict(title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, title, detail)
    }

    pub(super) fn invalid(title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, title, detail)
    }

    pub(super) fn unavailable(title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, title, detail)
    }

    pub(super) fn bad_gateway(title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, title, detail)
    }

    pub(super) fn internal(title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, title, detail)
    }

    pub(super) fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many requests at once",
            "try again in a moment",
        )
    }

    pub(super) fn ending() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the process is about to end",
            "start it again",
        )
    }

    /// The log does not do what it is asked for.
    pub(super) fn of_log(error: &LogError) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the log: {error}"),
            "look at what it is on, the brokers or the directory, and try again",
        )
    }

    pub(super) fn timed_out(time: Duration) -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!("it took longer than {} s", time.as_secs()),
            "the log of the process says what it waits for; what was asked for may still be done",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        (status, kind, Json(self)).into_response()
    }
}
