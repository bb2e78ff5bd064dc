//! One request: may it come in, which route is it, what record does it become, was that written.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use record::log::LogError;
use subtle::ConstantTimeEq;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::Target;
use super::answer::{self, Answer, problem};
use super::route::{Found, Given, Route, Routes, Unfit};
use super::settings::Settings;
use super::trace::Traced;
use super::write::{Job, Writer};

/// Bodies in memory at once, in bytes; a limit for one body that is larger counts.
const BODIES_BYTES_MAX: usize = 64 << 20;

/// A source as its settings have it now. Exchanged as a whole when they change.
pub(super) struct App {
    pub(super) settings: Settings,
    routes: Routes,
    writer: Writer,
    target: Target,
    /// Records that wait.
    room: Arc<Semaphore>,
    /// Bytes of bodies.
    memory: Arc<Semaphore>,
}

impl App {
    pub(super) fn new(mut settings: Settings, target: Target) -> Result<Self, String> {
        let routes = Routes::new(std::mem::take(&mut settings.routes))?;
        let writer = Writer::start(target.clone()).map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Self {
            routes,
            writer,
            target,
            room: Arc::new(Semaphore::new(settings.max_in_flight)),
            memory: Arc::new(Semaphore::new(BODIES_BYTES_MAX.max(settings.max_body_bytes))),
            settings,
        })
    }

    pub(super) fn time(&self) -> Duration {
        Duration::from_millis(self.settings.timeout_ms)
    }

    /// Answers a request. `address` is where this process listens.
    pub(super) async fn handle(&self, request: Request<Incoming>, address: SocketAddr) -> Answer {
        if let Err(answer) = self.let_in(request.headers(), address) {
            return *answer;
        }
        let (head, body) = request.into_parts();
        let (route, parameters) = match self.routes.find(&head.method, head.uri.path()) {
            Found::Route(route, parameters) => (route, parameters),
            Found::NoPath => {
                return problem(
                    StatusCode::NOT_FOUND,
                    "there is no such path",
                    "the routes of the source are in the pipeline file",
                );
            }
            Found::NoMethod(allowed) => return not_allowed(&head.method, &allowed),
            Found::Malformed => {
                return problem(
                    StatusCode::BAD_REQUEST,
                    "the path is malformed",
                    "a parameter of it is not UTF-8",
                );
            }
        };
        // Before the body is read for nothing.
        if self.room.available_permits() == 0 {
            return self.full();
        }
        let (body, permits) = if route.takes_body() {
            match self.read(body).await {
                Ok(read) => read,
                Err(answer) => return *answer,
            }
        } else {
            (Vec::new(), Vec::new())
        };
        let given = Given {
            parameters,
            query: head.uri.query().unwrap_or(""),
            headers: &head.headers,
            now: crate::now(),
        };
        let traced = Traced::begin(self.target.spans.as_ref(), &head.headers);
        let answer = self.write(route, &given, body, permits, traced.as_ref()).await;
        if let Some(traced) = traced {
            traced.end(&head.method, &route.path, &self.target.topic, answer.status());
        }
        answer
    }

    async fn write(
        &self,
        route: &Route,
        given: &Given<'_>,
        body: Vec<u8>,
        mut permits: Vec<OwnedSemaphorePermit>,
        traced: Option<&Traced>,
    ) -> Answer {
        let (mut draft, letter) = match route.record(given, body, self.settings.format) {
            Ok(draft) => (draft, None),
            Err((Unfit::Body(code, why), draft)) if self.target.keeps_undecodable => (draft, Some((code, why))),
            Err((Unfit::Body(_, why) | Unfit::Request(why), _)) => {
                return problem(StatusCode::BAD_REQUEST, "no record can be made of this request", &why);
            }
        };
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            return self.full();
        };
        permits.push(room);
        if let Some(traced) = traced {
            traced.mark(&mut draft.headers);
        }
        let (done, written) = oneshot::channel();
        self.writer.put(Job {
            draft,
            letter,
            done,
            permits,
        });
        match written.await {
            Ok(Ok(())) => answer::accepted(route.answer.as_deref()),
            Ok(Err(error)) => {
                if let LogError::Rejected { .. } = error {
                    tracing::warn!(source = &*self.target.source, "{error}");
                }
                answer::refused(&error)
            }
            Err(_) => answer::unavailable("the source is about to end"),
        }
    }

    /// More than may wait.
    fn full(&self) -> Answer {
        if self.writer.is_troubled() {
            answer::unavailable("the broker is away; nothing of this request was written")
        } else {
            answer::busy()
        }
    }

    /// The whole body, of which never more than the limit is in memory.
    async fn read(&self, mut body: Incoming) -> Result<(Vec<u8>, Vec<OwnedSemaphorePermit>), Box<Answer>> {
        let max = self.settings.max_body_bytes;
        // What `Content-Length` says.
        if body.size_hint().lower() > max as u64 {
            return Err(answer::too_large(max).into());
        }
        let reading = async {
            let mut read = Vec::new();
            let mut permits: Option<OwnedSemaphorePermit> = None;
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else {
                    return Err(problem(
                        StatusCode::BAD_REQUEST,
                        "the body is malformed, or ended early",
                        "send it again",
                    )
                    .into());
                };
                let Ok(data) = frame.into_data() else { continue };
                if read.len() + data.len() > max {
                    return Err(answer::too_large(max).into());
                }
                let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
                let Ok(permit) = Arc::clone(&self.memory).try_acquire_many_owned(bytes) else {
                    return Err(self.full().into());
                };
                match &mut permits {
                    Some(all) => all.merge(permit),
                    None => permits = Some(permit),
                }
                read.extend_from_slice(&data);
            }
            Ok((read, permits.into_iter().collect()))
        };
        tokio::time::timeout(self.time(), reading).await.unwrap_or_else(|_| {
            Err(problem(
                StatusCode::REQUEST_TIMEOUT,
                "the body did not come in time",
                &format!("it may take {} ms (`timeout_ms`)", self.settings.timeout_ms),
            )
            .into())
        })
    }

    /// Who may send. On the loopback interface that is everybody on this machine, but no page in a browser
    /// there: it would write for somebody else.
    fn let_in(&self, headers: &HeaderMap, address: SocketAddr) -> Result<(), Box<Answer>> {
        let text = |name| {
            headers
                .get(name)
                .and_then(|value: &http::HeaderValue| value.to_str().ok())
        };
        if !self.settings.tokens.is_empty() {
            let given = text(header::AUTHORIZATION)
                .and_then(|text| text.split_once(' '))
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                .map_or("", |(_, token)| token.trim());
            // All are compared, so that the time tells nothing of where one was found.
            let is_known = self.settings.tokens.iter().fold(false, |found, token| {
                found | bool::from(token.reveal().as_bytes().ct_eq(given.as_bytes()))
            });
            return if is_known {
                Ok(())
            } else {
                Err(problem(
                    StatusCode::UNAUTHORIZED,
                    "a token is missing, or is not one of this source",
                    "send `Authorization: Bearer TOKEN` with one of its `tokens`",
                )
                .into())
            };
        }
        if self.settings.public {
            return Ok(());
        }
        let host = text(header::HOST).unwrap_or("");
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(rest),
            None => host.split(':').next().unwrap_or(host),
        };
        let is_ours = name.eq_ignore_ascii_case("localhost")
            || name
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.is_loopback() || ip == address.ip());
        let origin = text(header::ORIGIN).map(|origin| origin.split_once("://").map_or(origin, |(_, rest)| rest));
        // Browsers say where a request comes from that has no origin, an image's say.
        let is_of_page = text(header::HeaderName::from_static("sec-fetch-site"))
            .is_some_and(|site| !matches!(site, "same-origin" | "none"));
        if is_ours && !is_of_page && origin.is_none_or(|origin| origin == host) {
            return Ok(());
        }
        Err(problem(
            StatusCode::FORBIDDEN,
            "this request is for another host, or comes from a page of another site",
            "a source that everybody may use has `public = true`, and one with `tokens` asks for one of them",
        )
        .into())
    }
}

fn not_allowed(method: &Method, allowed: &str) -> Answer {
    let mut answer = problem(
        StatusCode::METHOD_NOT_ALLOWED,
        &format!("this path is not asked for by {method}"),
        &format!("it takes {allowed}"),
    );
    if let Ok(allowed) = http::HeaderValue::try_from(allowed) {
        answer.headers_mut().insert(header::ALLOW, allowed);
    }
    answer
}

/// What is answered while a source is exchanged.
pub(super) fn held() -> Answer {
    answer::unavailable("the pipeline is being reloaded; nothing of this request was written")
}
