//! Arguments that several commands share.

use std::path::{Path, PathBuf};

use clap::Args;
use record::Secret;
use record::offset::{RecordOffset, TopicPartition};
use record::origin::decode_origin;
use record::topology::Start;

use crate::compose::LogPlace;
use crate::failure::Failure;

/// Which log a command without a pipeline works on.
#[derive(Args, Debug)]
pub(crate) struct LogArgs {
    /// Kafka brokers to ask first, `host:port`, separated by commas
    #[arg(
        long,
        value_name = "HOSTS",
        env = "WASMILL_BROKERS",
        hide_env_values = true,
        default_value = "localhost:9092"
    )]
    brokers: String,
    /// Use the embedded log in a directory instead of Kafka: `--embedded=DIR`
    #[arg(long, value_name = "DIR", require_equals = true)]
    pub(crate) embedded: Option<PathBuf>,
    /// A librdkafka property, such as `security.protocol=sasl_ssl`; may be repeated
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = name_value)]
    properties: Vec<(String, String)>,
    /// A file of librdkafka properties, one `name=value` per line: the place for passwords
    #[arg(long, value_name = "FILE")]
    properties_file: Option<PathBuf>,
}

/// A token of the API of another process.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct TokenArgs {
    /// A token of the API, if it has any; better given in the environment
    #[arg(long, global = true, value_name = "TOKEN", env = "WASMILL_TOKEN", hide_env_values = true, value_parser = secret)]
    pub(crate) token: Option<Secret>,
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

impl LogArgs {
    /// The log that the arguments name.
    ///
    /// # Errors
    /// The file of properties cannot be read.
    pub(crate) fn place(&self) -> Result<LogPlace, Failure> {
        if let Some(dir) = &self.embedded {
            return Ok(LogPlace::Embedded(Some(dir.clone())));
        }
        let mut properties = match &self.properties_file {
            Some(file) => read_properties(file)?,
            None => Vec::new(),
        };
        properties.extend(
            self.properties
                .iter()
                .map(|(name, value)| (name.clone(), Secret::new(value.as_str()))),
        );
        Ok(LogPlace::Kafka {
            brokers: Secret::new(self.brokers.as_str()),
            properties,
        })
    }
}

fn read_properties(file: &Path) -> Result<Vec<(String, Secret)>, Failure> {
    let text = std::fs::read_to_string(file).map_err(|source| Failure::File {
        doing: "read",
        path: file.to_owned(),
        source,
    })?;
    text.lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| match line.split_once('=') {
            Some((name, value)) => Ok((name.trim().to_owned(), Secret::new(value.trim()))),
            // The line itself may be a password: it is not shown.
            None => Err(Failure::usage(
                format!("line {number} of {} is not `name=value`", file.display()),
                "write one librdkafka property per line",
            )),
        })
        .collect()
}

/// How a pipeline is read; the same for every command that reads one.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PipelineArgs {
    /// Use the embedded log instead of Kafka: `--embedded` in memory, `--embedded=DIR` in a directory
    #[arg(long, value_name = "DIR", require_equals = true, num_args = 0..=1)]
    pub(crate) embedded: Option<Option<PathBuf>>,
    /// Override a value of the pipeline: `--set kafka.brokers=localhost:9093`; may be repeated
    #[arg(long, value_name = "PATH=VALUE", value_parser = name_value)]
    pub(crate) set: Vec<(String, String)>,
    /// Plugins must lie in this directory [default: the current one]
    #[arg(long, value_name = "DIR")]
    pub(crate) plugin_root: Option<PathBuf>,
}

/// `NAME=VALUE`.
pub(crate) fn name_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// `earliest`, `latest` or a time.
pub(crate) fn start(text: &str) -> Result<Start, String> {
    match text {
        "earliest" => Ok(Start::Earliest),
        "latest" => Ok(Start::Latest),
        time => crate::time::parse(time)
            .map(Start::Time)
            .map_err(|e| format!("{e}, nor `earliest` or `latest`")),
    }
}

/// `TOPIC:PARTITION:OFFSET`, as messages and dead letters name a record.
pub(crate) fn place_of_record(text: &str) -> Result<(TopicPartition, RecordOffset), String> {
    decode_origin(text.as_bytes())
        .filter(|(topic, _, offset)| !topic.is_empty() && *offset >= 0)
        .map(|(topic, partition, offset)| (TopicPartition::new(topic, partition), RecordOffset(offset)))
        .ok_or_else(|| "write TOPIC:PARTITION:OFFSET, as the error message names the record".to_owned())
}

/// A separator in which `\t`, `\n`, `\r`, `\0` and `\\` may be written so.
pub(crate) fn separator(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('0') => '\0',
                Some('\\') => '\\',
                _ => return Err("after a backslash comes t, n, r, 0 or another backslash".to_owned()),
            },
            other => other,
        });
    }
    if out.is_empty() {
        return Err("the separator is empty".to_owned());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_named_as_messages_name_it() {
        assert_eq!(
            place_of_record("lines:3:42"),
            Ok((TopicPartition::new("lines", 3), RecordOffset(42)))
        );
        for text in ["lines", "lines:3", "lines:x:1", ":0:1", "lines:0:-1"] {
            assert!(place_of_record(text).is_err(), "{text}");
        }
    }

    #[test]
    fn separators_have_escapes() {
        assert_eq!(separator(r"\t"), Ok("\t".to_owned()));
        assert_eq!(separator("::"), Ok("::".to_owned()));
        assert!(separator("").is_err());
        assert!(separator(r"\x").is_err());
    }

    #[test]
    fn passwords_in_a_file_of_properties_are_not_shown() {
        let dir = tempfile::tempdir().expect("tempdir");
        let file = dir.path().join("client.properties");
        std::fs::write(&file, "# me\nsasl.username = u\n\nsasl.password=p=q\n").expect("write");
        let read = read_properties(&file).expect("reads");
        assert_eq!(read[1].1.reveal(), "p=q");
        std::fs::write(&file, "hunter2").expect("write");
        let error = read_properties(&file).expect_err("refused");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
