//! Records that failed: looked at, put back, discarded.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use record::log::LogError;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::{Body, Params};
use super::problem::Problem;
use crate::board::Entry;
use crate::dead_letters::{self, AT_ONCE_MAX, At, DeadLetters, Done, Letter, Letters};

const LIMIT: usize = 50;
const LIMIT_MAX: usize = 1_000;

/// Which letters.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<usize>,
    /// What an earlier answer has as `next`.
    before: Option<String>,
}

/// Letters to be put back or discarded.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chosen {
    /// These.
    #[serde(default)]
    #[schema(max_items = 10000)]
    pub(crate) letters: Vec<At>,
    /// All with which nothing was done yet, oldest first; at most 10,000 at once.
    #[serde(default)]
    pub(crate) all: bool,
}

/// Asks the log, which may take its time. What is asked goes on when the client does not wait for it, and holds its
/// permit until it is done.
async fn ask<T: Send + 'static>(
    entry: Entry,
    permit: OwnedSemaphorePermit,
    what: impl FnOnce(&DeadLetters<'_>) -> Result<T, LogError> + Send + 'static,
) -> Result<T, Problem> {
    let asked = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        what(&DeadLetters::new(&*entry.log, &entry.topology, &entry.control_topic))
    });
    let answer = asked.await.map_err(|_| Problem::ending())?;
    answer.map_err(|error| Problem::of_log(&error))
}

/// A few look at once.
fn look(api: &Api) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(&api.looking)
        .try_acquire_owned()
        .map_err(|_| Problem::busy())
}

/// One changes something at a time: two that put the same letters back would do it twice.
fn change(api: &Api) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(&api.changing).try_acquire_owned().map_err(|_| {
        Problem::conflict(
            "dead letters are being put back or discarded already",
            "GET .../dead-letters shows how far that is; ask again when it is done",
        )
    })
}

/// The dead letters
///
/// The newest first, by partition of their topic.
#[utoipa::path(get, path = "/v1/pipelines/{name}/dead-letters", params(("name" = String, Path, description = "Of the pipeline"), Page), responses(
    (status = 200, body = Letters),
    (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such pipeline", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The log is away", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    Params(page): Params<Page>,
) -> Result<Json<Letters>, Problem> {
    let entry = api.entry(&name)?;
    let limit = page.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad_parameter(format!(
            "`limit` is {limit}; it is 1 to {LIMIT_MAX}"
        )));
    }
    let before = match page.before {
        None => None,
        Some(text) => Some(
            dead_letters::decode_cursor(&text)
                .ok_or_else(|| Problem::bad_parameter("`before` is not what an answer has as `next`"))?,
        ),
    };
    Ok(Json(
        ask(entry, look(&api)?, move |all| all.list(before.as_deref(), limit)).await?,
    ))
}

/// One dead letter
#[utoipa::path(get, path = "/v1/pipelines/{name}/dead-letters/{partition}/{offset}", params(
    ("name" = String, Path, description = "Of the pipeline"),
    ("partition" = u32, Path, description = "Of the letter"),
    ("offset" = i64, Path, description = "Of the letter"),
), responses(
    (status = 200, body = Letter),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such pipeline or letter", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The log is away", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Path((name, partition, offset)): Path<(String, String, String)>,
) -> Result<Json<Letter>, Problem> {
    let entry = api.entry(&name)?;
    let place = format!("{partition}:{offset}");
    let none = || {
        Problem::not_found(
            format!("there is no dead letter {place}"),
            "GET .../dead-letters lists them",
        )
    };
    let at = dead_letters::at_of(&place).ok_or_else(none)?;
    ask(entry, look(&api)?, move |all| all.show(at))
        .await?
        .map(Json)
        .ok_or_else(none)
}

/// The letters that are meant.
enum Wanted {
    AllOpen,
    These(Vec<At>),
}

impl Wanted {
    fn of(chosen: Chosen) -> Result<Self, Problem> {
        match (chosen.all, chosen.letters.is_empty()) {
            (true, true) => Ok(Self::AllOpen),
            (false, false) if chosen.letters.len() > AT_ONCE_MAX => Err(Problem::bad_parameter(format!(
                "more than {AT_ONCE_MAX} letters at once"
            ))),
            (false, false) => Ok(Self::These(chosen.letters)),
            _ => Err(Problem::bad_parameter(
                "the body names either `letters` or `\"all\": true`",
            )),
        }
    }

    fn places(self, all: &DeadLetters<'_>) -> Result<Vec<At>, LogError> {
        match self {
            Self::AllOpen => all.open(),
            Self::These(places) => Ok(places),
        }
    }
}

/// Puts dead letters back
///
/// Each is written again to the topic that its task had read, as it was. Where others read that topic, they see
/// it twice. A letter that was replayed may be replayed again by its place.
#[utoipa::path(post, path = "/v1/pipelines/{name}/dead-letters/replay", params(("name" = String, Path, description = "Of the pipeline")), request_body = Chosen, responses(
    (status = 200, body = Done),
    (status = 400, description = "The body is no JSON, or names nothing", body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token does not allow it, or another site asks", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such pipeline", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "Letters are being put back or discarded already", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
    (status = 415, description = "The body is not said to be JSON", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "The body is other JSON", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The log is away", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn replay(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    Body(body): Body<Chosen>,
) -> Result<Json<Done>, Problem> {
    let entry = api.entry(&name)?;
    let wanted = Wanted::of(body)?;
    let done = ask(entry, change(&api)?, move |all| all.replay(&wanted.places(all)?)).await?;
    tracing::info!(pipeline = name, "{} dead letters were put back", done.done);
    Ok(Json(done))
}

/// Discards dead letters
///
/// They stay in their topic, and are not replayed with all others.
#[utoipa::path(post, path = "/v1/pipelines/{name}/dead-letters/discard", params(("name" = String, Path, description = "Of the pipeline")), request_body = Chosen, responses(
    (status = 200, body = Done),
    (status = 400, description = "The body is no JSON, or names nothing", body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token does not allow it, or another site asks", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such pipeline", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "Letters are being put back or discarded already", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
    (status = 415, description = "The body is not said to be JSON", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "The body is other JSON", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The log is away", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn discard(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    Body(body): Body<Chosen>,
) -> Result<Json<Done>, Problem> {
    let entry = api.entry(&name)?;
    let wanted = Wanted::of(body)?;
    let done = ask(entry, change(&api)?, move |all| all.discard(&wanted.places(all)?)).await?;
    tracing::info!(pipeline = name, "{} dead letters were discarded", done.done);
    Ok(Json(done))
}
