//! Secrets that every process of the tests is given, and the search for them in all that it says.
//!
//! Each has one word in it, [`MARK`], and so have the passwords that scripts/services.sh gives to the databases. No
//! test writes that word into a record. So where it appears, in a log, an answer or a metric, a secret was shown.

/// In each planted secret, and in nothing else.
pub const MARK: &str = "sesame";

/// What is in the environment of each process.
pub const ENVIRONMENT: [(&str, &str); 3] = [
    // Commands send it to the API that they ask.
    ("WASMILL_TOKEN", "sesame-token-0123456789abcdef"),
    // For pipelines: `${env:WASMILL_TEST_SECRET}`.
    ("WASMILL_TEST_SECRET", "sesame-setting"),
    // For collectors of traces.
    ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer sesame-collector"),
];

/// Every form in which the mark is looked for: text in lower case, base64 from each of the three places at which it
/// may begin in a group, and bytes as `Debug` writes them.
const FORMS: [&str; 5] = [MARK, "c2VzYW1l", "Nlc2FtZ", "zZXNhbW", "115, 101, 115, 97, 109, 101"];

/// The form of the mark that is in a text.
pub fn shown(text: &str) -> Option<&'static str> {
    let [mark, encoded @ ..] = FORMS;
    if text.to_ascii_lowercase().contains(mark) {
        return Some(mark);
    }
    encoded.into_iter().find(|form| text.contains(form))
}

/// Everything that a process has said goes through here: the test fails where a planted secret is in it. `place`
/// says what has said it.
pub fn said(place: &str, text: impl AsRef<[u8]>) {
    let text = String::from_utf8_lossy(text.as_ref());
    if let Some(form) = shown(&text) {
        panic!("{place} shows a planted secret, as `{form}`:\n{text}");
    }
}
