//! Reads a sink's settings.

use record::sink::SinkError;
use record::topology::Connector;
use serde::de::DeserializeOwned;

/// The settings of `connector` as `T`. Keys that `T` does not know belong to others (`inputs`,
/// `batch`, `on_error`); the pipeline's check has refused those that nobody knows.
pub(crate) fn parse<T: DeserializeOwned>(connector: &Connector) -> Result<T, SinkError> {
    serde_json::from_str(&connector.settings).map_err(|error| wrong(connector, &without_values(&error.to_string())))
}

/// The error of settings that do not fit.
pub(crate) fn wrong(connector: &Connector, what: &str) -> SinkError {
    SinkError::Fatal {
        what: format!("the settings of sink {} do not fit: {what}", connector.name),
    }
}

/// A message of serde without the values that it quotes: any setting may hold a secret.
fn without_values(message: &str) -> String {
    let (open, close) = match (message.find('"'), message.rfind('"')) {
        (Some(open), Some(close)) if open < close => (open, close),
        _ if message.starts_with("unknown variant") => {
            let mut ticks = message.match_indices('`').map(|(at, _)| at);
            match (ticks.next(), ticks.next()) {
                (Some(open), Some(close)) => (open, close),
                _ => return message.to_owned(),
            }
        }
        _ => return message.to_owned(),
    };
    format!("{}***{}", &message[..open], &message[close + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        Upsert,
    }

    #[derive(serde::Deserialize, Debug)]
    struct Settings {
        #[serde(rename = "flag")]
        _flag: bool,
        #[serde(rename = "mode")]
        _mode: Mode,
    }

    fn message(settings: &str) -> String {
        let connector = Connector {
            name: "s".into(),
            kind: "mysql".to_owned(),
            settings: settings.to_owned(),
        };
        parse::<Settings>(&connector).expect_err("does not fit").to_string()
    }

    #[test]
    fn no_value_is_shown() {
        assert!(message(r#"{"flag":"hunter2"}"#).contains("string ***, expected a boolean"));
        let unknown = message(r#"{"flag":true,"mode":"hunter2"}"#);
        assert!(unknown.contains("unknown variant ***, expected `upsert`"), "{unknown}");
        assert!(message("{}").contains("missing field `flag`"));
    }
}
