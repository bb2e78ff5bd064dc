//! Who may do what. On the loopback interface anybody on the machine may; but pages in a browser there
//! may not be used by others: requests must be for this host, and changes must not come from other sites.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use record::Secret;
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::Api;
use super::problem::Problem;
use crate::failure::Failure;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// To look.
    Read,
    /// To look, and to change.
    Operate,
}

/// Who may come in.
#[derive(Debug)]
pub(crate) struct Access {
    address: SocketAddr,
    /// None: no token is needed.
    tokens: Vec<(Secret, Role)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tokens: Vec<Token>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    token: String,
    role: Role,
}

/// A token that can be guessed is none.
const TOKEN_BYTES_MIN: usize = 16;

impl Access {
    /// Of an address, with the tokens of a file.
    ///
    /// # Errors
    /// The file, a token that is too short, or an address that others reach without any token.
    pub(crate) fn new(address: SocketAddr, file: Option<&Path>) -> Result<Self, Failure> {
        let tokens = match file {
            Some(file) => read(file)?,
            None => Vec::new(),
        };
        // Whoever names a file means to close the API.
        if let Some(file) = file.filter(|_| tokens.is_empty()) {
            return Err(Failure::usage(
                format!("{} has no tokens in it", file.display()),
                "write `[[tokens]]`, `token = \"...\"` and `role = \"read\"` or `\"operate\"` for each",
            ));
        }
        if tokens.is_empty() && !address.ip().is_loopback() {
            return Err(Failure::usage(
                format!("`--listen {address}` can be reached from other machines"),
                "name a file of tokens with `--tokens`, or listen on 127.0.0.1",
            ));
        }
        Ok(Self { address, tokens })
    }

    /// What a request may do.
    fn role(&self, headers: &HeaderMap) -> Option<Role> {
        if self.tokens.is_empty() {
            return Some(Role::Operate);
        }
        let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, given) = text.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        // All are compared, so that the time tells nothing of where one was found.
        let mut found = None;
        for (token, role) in &self.tokens {
            if bool::from(token.reveal().as_bytes().ct_eq(given.trim().as_bytes())) {
                found = found.max(Some(*role));
            }
        }
        found
    }

    /// Whether a request is meant for this process: a name that leads here may belong to somebody else's page.
    fn is_for_us(&self, host: &str) -> bool {
        // A token is something that no page has by itself.
        if !self.tokens.is_empty() {
            return true;
        }
        let name = host_of(host);
        name.eq_ignore_ascii_case("localhost")
            || name
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.is_loopback() || ip == self.address.ip())
    }
}

/// `[::1]:80` and `a:80` without the port.
fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => authority.split(':').next().unwrap_or(authority),
    }
}

fn read(file: &Path) -> Result<Vec<(Secret, Role)>, Failure> {
    let text = std::fs::read_to_string(file).map_err(|source| Failure::File {
        doing: "read",
        path: file.to_owned(),
        source,
    })?;
    // What the parser says may hold what it has found: a token.
    let parsed: File = toml::from_str(&text).map_err(|error| {
        let line = error
            .span()
            .map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Failure::usage(
            format!("line {line} of {} is no list of tokens", file.display()),
            "write `[[tokens]]`, `token = \"...\"` and `role = \"read\"` or `\"operate\"` for each",
        )
    })?;
    for (number, token) in parsed.tokens.iter().enumerate() {
        if token.token.len() < TOKEN_BYTES_MIN {
            return Err(Failure::usage(
                format!(
                    "token {} of {} has less than {TOKEN_BYTES_MIN} bytes",
                    number + 1,
                    file.display()
                ),
                "make one with `openssl rand -hex 32`",
            ));
        }
    }
    Ok(parsed
        .tokens
        .into_iter()
        .map(|one| (Secret::new(one.token), one.role))
        .collect())
}

/// Lets in what may come in.
pub(super) async fn check(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    match verdict(&api.access, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn verdict(access: &Access, request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &axum::http::HeaderValue| value.to_str().ok())
    };
    if !text(header::HOST).is_some_and(|host| access.is_for_us(host)) {
        return Err(Problem::forbidden(
            "this request names another host",
            "ask for localhost or the address of `--listen`",
        ));
    }
    // Whoever asks for the state of the process itself needs no token: a load balancer has none.
    if matches!(request.uri().path(), "/health" | "/ready") {
        return Ok(());
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    // The page has nothing to hide: it asks for what it shows, with a token of its own.
    if reads && super::ui::is_page(request.uri().path()) {
        return Ok(());
    }
    let role = access.role(headers).ok_or_else(Problem::unauthorized)?;
    // Browsers say where a request comes from that has no origin: an image's, say. A link may be followed.
    let is_followed = text(HeaderName::from_static("sec-fetch-mode")) == Some("navigate");
    let site = text(HeaderName::from_static("sec-fetch-site"));
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) && !(reads && is_followed) {
        return Err(Problem::forbidden(
            "this request comes from a page of another site",
            "use the page that this process serves, or a program",
        ));
    }
    if reads {
        return Ok(());
    }
    if let Some(origin) = text(header::ORIGIN) {
        let ours = origin
            .split_once("://")
            .is_some_and(|(_, authority)| Some(authority) == text(header::HOST));
        if !ours {
            return Err(Problem::forbidden(
                "this request comes from a page of another site",
                "use the page that this process serves, or a program",
            ));
        }
    }
    if role < Role::Operate {
        return Err(Problem::forbidden(
            "this token allows to look, not to change",
            "use one with the role `operate`",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    const READ: &str = "read-0123456789abcdef";
    const OPERATE: &str = "operate-0123456789abcdef";

    fn access(address: &str, with_tokens: bool) -> Access {
        let tokens = [(READ, Role::Read), (OPERATE, Role::Operate)];
        Access {
            address: address.parse().unwrap(),
            tokens: tokens
                .into_iter()
                .filter(|_| with_tokens)
                .map(|(token, role)| (Secret::new(token), role))
                .collect(),
        }
    }

    fn status(access: &Access, method: &str, headers: &[(&str, &str)]) -> u16 {
        status_of(access, method, "/v1/pipelines", headers)
    }

    fn status_of(access: &Access, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match verdict(access, &request.body(Body::empty()).unwrap()) {
            Ok(()) => 200,
            Err(problem) => problem.into_response().status().as_u16(),
        }
    }

    #[test]
    fn pages_of_others_are_kept_out() {
        let open = access("127.0.0.1:7077", false);
        for (method, headers, expected) in [
            ("GET", &[("host", "localhost:7077")][..], 200),
            ("GET", &[("host", "127.0.0.1")], 200),
            ("GET", &[("host", "[::1]:7077")], 200),
            // An image of another page, a link on one, and our own page.
            (
                "GET",
                &[("host", "localhost:7077"), ("sec-fetch-site", "cross-site")],
                403,
            ),
            (
                "GET",
                &[
                    ("host", "localhost:7077"),
                    ("sec-fetch-site", "cross-site"),
                    ("sec-fetch-mode", "navigate"),
                ],
                200,
            ),
            (
                "POST",
                &[
                    ("host", "localhost:7077"),
                    ("sec-fetch-site", "cross-site"),
                    ("sec-fetch-mode", "navigate"),
                ],
                403,
            ),
            (
                "GET",
                &[("host", "localhost:7077"), ("sec-fetch-site", "same-origin")],
                200,
            ),
            // A name that was pointed here by its owner.
            ("GET", &[("host", "evil.example")], 403),
            ("GET", &[("host", "localhost.evil.example:7077")], 403),
            ("GET", &[], 403),
            ("POST", &[("host", "localhost:7077")], 200),
            (
                "POST",
                &[("host", "localhost:7077"), ("origin", "http://localhost:7077")],
                200,
            ),
            (
                "POST",
                &[("host", "localhost:7077"), ("origin", "https://evil.example")],
                403,
            ),
            ("POST", &[("host", "localhost:7077"), ("origin", "null")], 403),
        ] {
            assert_eq!(status(&open, method, headers), expected, "{method} {headers:?}");
        }
    }

    #[test]
    fn tokens_allow_what_their_role_says() {
        let guarded = access("0.0.0.0:7077", true);
        let bearer = |token: &str| format!("Bearer {token}");
        for (method, token, expected) in [
            ("GET", "", 401),
            ("GET", "Bearer", 401),
            ("GET", "Basic abc", 401),
            ("GET", &bearer("read-0123456789abcdeX"), 401),
            ("GET", &bearer("read"), 401),
            ("GET", &bearer(READ), 200),
            ("POST", &bearer(READ), 403),
            ("GET", &bearer(OPERATE), 200),
            ("POST", &bearer(OPERATE), 200),
        ] {
            let headers = [("host", "stream.example"), ("authorization", token)];
            assert_eq!(status(&guarded, method, &headers), expected, "{method} {token}");
        }
    }

    #[test]
    fn the_page_needs_no_token_and_what_it_asks_does() {
        let guarded = access("0.0.0.0:7077", true);
        let open = access("127.0.0.1:7077", false);
        for (path, expected) in [
            ("/", 200),
            ("/ui/js/main.js", 200),
            ("/ui", 401),
            ("/uix", 401),
            ("/metrics", 401),
        ] {
            let given = status_of(&guarded, "GET", path, &[("host", "stream.example")]);
            assert_eq!(given, expected, "{path}");
            // A page of somebody else must not be shown as ours.
            let given = status_of(&open, "GET", path, &[("host", "evil.example")]);
            assert_eq!(given, 403, "{path}");
        }
        assert_eq!(status_of(&guarded, "POST", "/", &[("host", "stream.example")]), 401);
    }

    #[test]
    fn an_address_that_others_reach_needs_tokens() {
        let refused = |address: &str| Access::new(address.parse().unwrap(), None).is_err();
        assert!(!refused("127.0.0.1:1") && !refused("[::1]:1"));
        assert!(refused("0.0.0.0:1") && refused("10.0.0.1:1") && refused("[::]:1"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tokens.toml");
        let message = |text: &str| {
            std::fs::write(&file, text).unwrap();
            match Access::new("0.0.0.0:1".parse().unwrap(), Some(&file)) {
                Ok(access) => format!("{} tokens", access.tokens.len()),
                Err(failure) => failure.to_string(),
            }
        };
        assert_eq!(
            message("[[tokens]]\ntoken = \"0123456789abcdef\"\nrole = \"read\"\n"),
            "1 tokens"
        );
        assert!(message("tokens = []").contains("no tokens in it"));
        assert!(message("[[tokens]]\ntoken = \"short\"\nrole = \"read\"\n").contains("less than 16"));
        let wrong = message("[[tokens]]\ntoken = \"0123456789abcdef\"\nrole = \"0123456789abcdef\"\n");
        assert!(
            wrong.contains("line 3") && !wrong.contains("0123456789abcdef"),
            "{wrong}"
        );
    }
}
