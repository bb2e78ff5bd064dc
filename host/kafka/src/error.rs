//! What librdkafka says, as what the engine has to do.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use record::log::{CommitError, LogError};

/// Sorts an error of any call outside transactions.
pub(crate) fn log_error(doing: &str, error: &KafkaError) -> LogError {
    let what = format!("{doing}: {error}");
    let Some(code) = error.rdkafka_error_code() else {
        return LogError::Fatal { what };
    };
    sort(code, what)
}

/// Sorts an error code; `what` is the sentence around it.
pub(crate) fn sort(code: Code, what: String) -> LogError {
    match code {
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::FencedInstanceId => {
            LogError::Fenced { what }
        }
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => LogError::Fatal {
            what: format!("{what}; give the user this right (docs/kafka.md lists the rights needed)"),
        },
        Code::Authentication | Code::SaslAuthenticationFailed => LogError::Fatal {
            what: format!("{what}; check `sasl.*` under [kafka.properties]"),
        },
        Code::UnsupportedVersion | Code::UnsupportedFeature => LogError::Fatal {
            what: format!("{what}; Kafka 2.5 or newer is needed"),
        },
        Code::InvalidArgument
        | Code::InvalidConfig
        | Code::InvalidTopic
        | Code::InvalidReplicationFactor
        | Code::InvalidPartitions
        | Code::PolicyViolation
        | Code::TopicDeletionDisabled
        | Code::NonEmptyGroup
        | Code::UnknownMemberId
        | Code::InvalidTransactionTimeout
        | Code::Fatal => LogError::Fatal { what },
        _ => LogError::Retriable { what },
    }
}

/// What librdkafka says of settings that it does not take. Its own text may hold the value, which may
/// be a password.
pub(crate) fn refused_settings(error: &KafkaError) -> LogError {
    let what = match error {
        KafkaError::ClientConfig(_, description, key, value) if !value.is_empty() => {
            format!("`{key}`: {}", description.replace(value.as_str(), "***"))
        }
        KafkaError::ClientConfig(_, description, key, _) => format!("`{key}`: {description}"),
        other => other.to_string(),
    };
    LogError::Fatal {
        what: format!("librdkafka does not accept the settings: {what}; check [kafka.properties]"),
    }
}

/// How a call of the transaction's interface failed.
#[derive(Debug)]
pub(crate) enum TransactionError {
    /// Call it again, it goes on.
    Unfinished,
    /// The transaction has to be aborted.
    MustAbort(String),
    /// The end, as this.
    Ended(CommitError),
}

pub(crate) fn transaction_error(doing: &str, error: &KafkaError) -> TransactionError {
    let what = format!("{doing}: {error}");
    let code = error.rdkafka_error_code();
    let fenced = matches!(
        code,
        Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::FencedInstanceId)
    );
    let KafkaError::Transaction(native) = error else {
        return TransactionError::Ended(CommitError::Ambiguous { what });
    };
    if native.txn_requires_abort() {
        return TransactionError::MustAbort(what);
    }
    if native.is_fatal() {
        return TransactionError::Ended(if fenced {
            CommitError::Fenced { what }
        } else if matches!(
            code,
            Some(
                Code::TransactionalIdAuthorizationFailed | Code::ClusterAuthorizationFailed | Code::UnsupportedFeature
            )
        ) {
            CommitError::Fatal { what }
        } else {
            CommitError::Ambiguous { what }
        });
    }
    if native.is_retriable() {
        return TransactionError::Unfinished;
    }
    match code {
        // The member is no longer in the group, or its generation is old: the broker has refused
        // the positions, so nothing was committed.
        Some(Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress) => {
            TransactionError::MustAbort(what)
        }
        _ if fenced => TransactionError::Ended(CommitError::Fenced { what }),
        _ => TransactionError::Ended(CommitError::Ambiguous { what }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "tests")]

    use rdkafka::ClientConfig;
    use rdkafka::consumer::BaseConsumer;

    use super::*;

    #[test]
    fn values_of_settings_are_not_shown() {
        for key in ["sasl.pasword", "security.protocol", "linger.ms"] {
            let mut config = ClientConfig::new();
            config.set(key, "hunter2");
            let error = config.create::<BaseConsumer>().err().expect("refused");
            let shown = refused_settings(&error).to_string();
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains(key), "{shown}");
        }
    }
}
