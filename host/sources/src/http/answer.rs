//! Answers: short texts, and errors as `application/problem+json` (RFC 9457).

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use record::log::LogError;

pub(super) type Answer = Response<Full<Bytes>>;

/// When a client that is turned away may come back, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

pub(super) fn accepted(text: Option<&str>) -> Answer {
    let Some(text) = text else {
        return with(StatusCode::NO_CONTENT, None, Bytes::new());
    };
    with(
        StatusCode::OK,
        Some("text/plain; charset=utf-8"),
        Bytes::copy_from_slice(text.as_bytes()),
    )
}

pub(super) fn problem(status: StatusCode, title: &str, detail: &str) -> Answer {
    let body = serde_json::json!({ "status": status.as_u16(), "title": title, "detail": detail });
    let mut answer = with(status, Some("application/problem+json"), body.to_string().into());
    let headers = answer.headers_mut();
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // The rest of the body is not read.
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    answer
}

pub(super) fn too_large(max: usize) -> Answer {
    problem(
        StatusCode::PAYLOAD_TOO_LARGE,
        "the body is too large",
        &format!("this source takes at most {max} bytes (`max_body_bytes`)"),
    )
}

pub(super) fn busy() -> Answer {
    problem(
        StatusCode::TOO_MANY_REQUESTS,
        "too many records wait for the broker",
        "nothing was written; send the request again later",
    )
}

pub(super) fn unavailable(detail: &str) -> Answer {
    problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "the record was not acknowledged",
        detail,
    )
}

/// What the log says of one record.
pub(super) fn refused(error: &LogError) -> Answer {
    match error {
        LogError::TooLarge { .. } => problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the record is larger than its topic takes",
            "`max.message.bytes` of the topic is smaller than `max_body_bytes` of the source",
        ),
        LogError::Rejected { .. } => problem(
            StatusCode::BAD_REQUEST,
            "the topic refuses this record",
            "the log of the process says why",
        ),
        // What brokers say is for the log, not for everybody.
        _ => unavailable("the broker is away or refuses to write; send the request again later"),
    }
}

fn with(status: StatusCode, kind: Option<&'static str>, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    if let Some(kind) = kind {
        answer
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    answer
}
