//! Plugins answer questions about their state.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use plugin::{Answer, QueryError};
use record::transform::CallErrorKind;
use record::view::PipelineViews;

use super::Api;
use super::extract::Params;
use super::problem::Problem;
use super::state::{beside, unknown_transform};
use crate::time;

type Shared = State<Arc<Api>>;

/// `/v1/pipelines/NAME/query/TRANSFORM` and what is before the first slash.
const SEGMENTS_BEFORE: usize = 6;

/// Asks a transform
///
/// Its plugin answers from what it has stored and committed, while records flow. Status, media type and body are the plugin's;
/// a browser is told to run nothing of it.
#[utoipa::path(get, path = "/v1/pipelines/{name}/query/{transform}/{*path}", params(
    ("name" = String, Path, description = "The pipeline"),
    ("transform" = String, Path, description = "The transform"),
    ("path" = String, Path, description = "What the plugin knows; slashes part it"),
), responses(
    (status = 200, description = "What the plugin answers; other statuses are possible", body = Vec<u8>, content_type = "*/*"),
    (status = 400, description = "The path or a parameter is not UTF-8", body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such pipeline or transform, or its plugin answers no queries", body = Problem, content_type = "application/problem+json"),
    (status = 502, description = "The plugin failed", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "State is being brought back, or too many ask", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn ask(
    state: Shared,
    Path((name, transform, _path)): Path<(String, String, String)>,
    uri: Uri,
    Params(parameters): Params<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    answer(state, &name, &transform, &uri, parameters).await
}

/// Asks a transform, without a path
#[utoipa::path(get, path = "/v1/pipelines/{name}/query/{transform}", params(
    ("name" = String, Path, description = "The pipeline"),
    ("transform" = String, Path, description = "The transform"),
), responses(
    (status = 200, description = "What the plugin answers; other statuses are possible", body = Vec<u8>, content_type = "*/*"),
    (status = 400, description = "A parameter is not UTF-8", body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such pipeline or transform, or its plugin answers no queries", body = Problem, content_type = "application/problem+json"),
    (status = 502, description = "The plugin failed", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "State is being brought back, or too many ask", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn ask_plainly(
    state: Shared,
    Path((name, transform)): Path<(String, String)>,
    uri: Uri,
    Params(parameters): Params<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    answer(state, &name, &transform, &uri, parameters).await
}

async fn answer(
    State(api): Shared,
    name: &str,
    transform: &str,
    uri: &Uri,
    parameters: Vec<(String, String)>,
) -> Result<Response, Problem> {
    let entry = api.entry(name)?;
    let linked = entry.linked.iter().find(|linked| **linked.transform() == *transform);
    let linked = linked.cloned().ok_or_else(|| unknown_transform(&entry, transform))?;
    if entry.ended.is_some() {
        return Err(Problem::unavailable(
            format!("pipeline `{name}` does not run"),
            format!("GET /v1/pipelines/{name} says why"),
        ));
    }
    let path = segments(uri.path())
        .map_err(|what| Problem::invalid(what, "the parts of a path are UTF-8, percent-encoded"))?;
    let query = plugin::Query { path, parameters };
    let views = PipelineViews::new(Arc::clone(&entry.state), Arc::clone(&entry.topology));
    let plugin = linked.compiled().description().name.clone();
    let answered = beside(move || Ok(linked.answer(query, views, time::now()))).await?;
    match answered {
        Ok(answer) => Ok(shown(answer)),
        Err(error) => Err(problem(transform, &plugin, &error)),
    }
}

/// What stands after the transform in a path, decoded part by part.
fn segments(path: &str) -> Result<Vec<String>, String> {
    path.split('/')
        .skip(SEGMENTS_BEFORE)
        .map(|part| match percent_decode_str(part).decode_utf8() {
            Ok(text) => Ok(text.into_owned()),
            Err(_) => Err(format!("`{part}` in the path is not UTF-8")),
        })
        .collect()
}

/// A plugin is no part of the API: nothing that it answers may act in its name.
fn shown(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let kind = HeaderValue::from_str(&answer.content_type);
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let headers = [
        (header::CONTENT_TYPE, kind),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("sandbox; default-src 'none'"),
        ),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, answer.body).into_response()
}

fn problem(transform: &str, plugin: &str, error: &QueryError) -> Problem {
    match error {
        QueryError::NotAnswered => Problem::not_found(
            format!("transform `{transform}` answers no queries: its plugin `{plugin}` exports no `query-handler`"),
            "docs/plugins.md says how a plugin answers; its stores can be read at .../state/TRANSFORM",
        ),
        QueryError::Busy => Problem::unavailable(error.to_string(), "try again in a moment"),
        QueryError::Failed(call) => match call.kind {
            CallErrorKind::Store | CallErrorKind::StoreDamaged | CallErrorKind::Unavailable => {
                Problem::unavailable(call.message.clone(), "try again in a moment")
            }
            _ => Problem::bad_gateway(
                format!("the plugin of transform `{transform}` could not answer: {call}"),
                "mend the plugin or the question; records are processed as before",
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded_part_by_part() {
        let of = |rest: &str| segments(&format!("/v1/pipelines/p/query/t{rest}"));
        assert_eq!(of(""), Ok(vec![]));
        assert_eq!(of("/a/b"), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(
            of("/a%2Fb/%C3%A9/"),
            Ok(vec!["a/b".to_owned(), "é".to_owned(), String::new()])
        );
        assert!(of("/%ff").is_err());
    }
}
