//! Why a record failed, and what is wrong in a configuration.

use std::any::Any;
use std::borrow::Cow;

/// What [`crate::Plugin::process`] answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a record failed. Any error of the standard kind becomes one by `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// A short stable word for metrics, such as `bad-json`.
    pub code: Cow<'static, str>,
    /// For people.
    pub message: String,
    /// A longer explanation; may be empty.
    pub detail: String,
}

impl Error {
    /// An error by its stable word and a message for people.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            detail: String::new(),
        }
    }

    /// The error of a record that has no key where one is needed.
    #[must_use]
    pub fn no_key() -> Self {
        Self::new("no-key", "the record has no key")
    }
}

// `Error` itself is no `std::error::Error`, so that this may cover all that are.
impl<E: std::error::Error + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        let any: &dyn Any = &error;
        let code = if any.is::<serde_json::Error>() {
            "bad-json"
        } else if any.is::<std::str::Utf8Error>() || any.is::<std::string::FromUtf8Error>() {
            "bad-utf8"
        } else {
            "error"
        };
        Self::new(code, error.to_string())
    }
}

/// What is wrong in the config table, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A JSON Pointer, "" for the whole.
    pub pointer: String,
    /// For people.
    pub message: String,
}

impl Problem {
    /// A problem at a place.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            message: message.into(),
        }
    }
}

/// All that is wrong in a config table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

/// The configuration of a plugin that has no options: anything in the table is a mistake.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// Reads a config table. An empty one is the default.
pub(crate) fn read_config<T: serde::de::DeserializeOwned + Default>(json: &str) -> Result<T, Problems> {
    if matches!(json.trim(), "" | "{}" | "null") {
        return Ok(T::default());
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    let mut track = serde_path_to_error::Track::new();
    let config = T::deserialize(serde_path_to_error::Deserializer::new(&mut reader, &mut track))
        .map_err(|error| Problem::new(pointer(&track.path()), without_place(&error.to_string())))?;
    reader
        .end()
        .map_err(|error| Problem::new("", without_place(&error.to_string())))?;
    Ok(config)
}

/// Line and column are those of the JSON that the host made of the TOML: of no use to anybody.
fn without_place(message: &str) -> String {
    match message.rfind(" at line ") {
        Some(at) => message[..at].to_owned(),
        None => message.to_owned(),
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default, Debug, PartialEq, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        limits: Vec<u8>,
    }

    fn problem(json: &str) -> Problem {
        read_config::<Config>(json).unwrap_err().0.remove(0)
    }

    #[test]
    fn problems_name_their_place() {
        assert_eq!(read_config::<Config>("{}"), Ok(Config::default()));
        assert_eq!(problem(r#"{"limits":[1,"a"]}"#).pointer, "/limits/1");
        assert_eq!(problem(r#"{"limit":1}"#).pointer, "/limit");
        assert_eq!(problem(r#"{"a/b":1}"#).pointer, "/a~1b");
        assert!(problem(r#"{"limit":1}"#).message.starts_with("unknown field `limit`"));
        assert!(!problem(r#"{"limit":1}"#).message.contains("line"));
    }
}
