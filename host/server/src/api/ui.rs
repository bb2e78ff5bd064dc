//! The web page: files that are part of the binary, so that it works where nothing else can be reached.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};

use super::problem::Problem;

#[derive(RustEmbed)]
#[folder = "ui"]
#[include = "index.html"]
#[include = "icon.svg"]
#[include = "css/*.css"]
#[include = "js/*.js"]
#[include = "vendor/*.js"]
#[include = "vendor/*.css"]
#[include = "vendor/NOTICE"]
#[include = "vendor/LICENSE-*"]
struct Page;

/// Where the page begins; its files are below `/ui/`.
const START: &str = "index.html";

/// What the page may do: run, show and ask for what comes from here, and nothing that was made of text. Records
/// hold what strangers have written.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Each answer carries these. Names of files do not change with their content, so a browser asks each time,
/// and is told that nothing has changed.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-cache"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Whether a path is one of the page's, which need no token: what they show they ask the API for.
pub(super) fn is_page(path: &str) -> bool {
    path == "/" || path.starts_with("/ui/")
}

pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(async |headers: HeaderMap| file(START, &headers)))
        .route(
            "/ui/{*path}",
            get(async |Path(path): Path<String>, headers: HeaderMap| file(&path, &headers)),
        )
}

fn file(path: &str, headers: &HeaderMap) -> Response {
    let Some(file) = Page::get(path) else {
        return Problem::not_found("the page has no such file", "GET / is the page").into_response();
    };
    let tag = tag(&file);
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut known = known.filter_map(|value| value.to_str().ok());
    // A proxy that compresses makes a strong tag a weak one.
    let is_known = known.any(|tags| tags.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
    if is_known {
        return (StatusCode::NOT_MODIFIED, HEADERS, [(header::ETAG, tag)]).into_response();
    }
    let kind = [(header::CONTENT_TYPE, kind(path))];
    (HEADERS, [(header::ETAG, tag)], kind, file.data).into_response()
}

fn tag(file: &EmbeddedFile) -> String {
    use std::fmt::Write as _;
    let mut tag = "\"".to_owned();
    for byte in &file.metadata.sha256_hash()[..16] {
        // Writing to a string does not fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag + "\""
}

fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_the_page_names_is_there_and_nothing_else() {
        let text = |path: &str| String::from_utf8(Page::get(path).unwrap().data.into_owned()).unwrap();
        let mut named = vec![START.to_owned()];
        for part in text(START).split('"') {
            if let Some(path) = part.strip_prefix("/ui/") {
                named.push(path.to_owned());
            }
        }
        let mut done = 0;
        while let Some(path) = named.get(done).cloned() {
            done += 1;
            assert!(Page::get(&path).is_some(), "{path}");
            if !path.starts_with("js/") {
                continue;
            }
            for line in text(&path).lines() {
                let Some((_, import)) = line.split_once(" from \"") else {
                    continue;
                };
                let import = import.trim_end_matches("\";");
                let found = match (import.strip_prefix("./"), import.strip_prefix("../")) {
                    (Some(beside), _) => format!("js/{beside}"),
                    (_, Some(above)) => above.to_owned(),
                    _ => panic!("{path} imports {import}"),
                };
                if !named.contains(&found) {
                    named.push(found);
                }
            }
        }
        for path in Page::iter() {
            let is_licence = path.starts_with("vendor/LICENSE-") || path == "vendor/NOTICE";
            assert!(
                named.iter().any(|one| *one == *path) || is_licence,
                "nothing uses {path}"
            );
        }
    }

    /// The policy forbids it in the browser; here it is seen without one.
    #[test]
    fn nothing_makes_markup_of_text_or_asks_anybody_else() {
        for path in Page::iter().filter(|path| !path.starts_with("vendor/")) {
            let text = String::from_utf8(Page::get(&path).unwrap().data.into_owned()).unwrap();
            for bad in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "https:",
                "style=",
            ] {
                assert!(!text.contains(bad), "{path} has {bad}");
            }
        }
    }

    #[test]
    fn a_browser_that_has_a_file_is_told_so() {
        let first = file(START, &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        for (given, status) in [
            (tag.clone(), StatusCode::NOT_MODIFIED),
            (format!("\"other\", W/{tag}"), StatusCode::NOT_MODIFIED),
            ("\"other\"".to_owned(), StatusCode::OK),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, given.parse().unwrap());
            let answer = file(START, &headers);
            assert_eq!(answer.status(), status, "{given}");
            assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
        for nowhere in ["../Cargo.toml", "tests/mock.mjs", "vendor/package.json", ""] {
            assert_eq!(
                file(nowhere, &HeaderMap::new()).status(),
                StatusCode::NOT_FOUND,
                "{nowhere}"
            );
        }
    }
}
