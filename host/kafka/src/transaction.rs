//! A transaction as a machine of stages: begun by the first record, committed or aborted in slices.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::producer::Producer as _;
use record::log::{CommitError, LogError, Position, Session as _};

use crate::error::{TransactionError, transaction_error};
use crate::session::{INIT_TIMEOUT, KafkaSession};

const OFFSETS_TIMEOUT: Duration = Duration::from_secs(5);
/// A commit that takes longer is of unknown fate: an answer that was lost and a request that is
/// still on its way look the same, and the old producer is not used again.
const COMMIT_MAX: Duration = Duration::from_secs(15);

/// Where a transaction stands. Commit and abort are called in slices and go on where they were.
///
/// ```text
///   None --produce--> Open --commit--> Flushing -> Offsets -> Committing --> None
///                      |                   \_______________________|
///                      +--abort--> Aborting <-- must abort --------+--> None
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    None,
    Open,
    Flushing,
    Offsets,
    Committing,
    /// With the error that the caller of `commit` gets when it is done.
    Aborting(Option<AbortReason>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AbortReason {
    Broken(String),
    /// The log refuses a record for good.
    Refused(LogError),
}

impl AbortReason {
    fn into_error(self) -> CommitError {
        match self {
            Self::Broken(what) => CommitError::Aborted { what },
            Self::Refused(error) => CommitError::Refused(error),
        }
    }
}

impl KafkaSession {
    pub(crate) fn begin(&mut self) -> Result<(), CommitError> {
        let Some(producer) = &self.producer else {
            return Err(CommitError::Ambiguous {
                what: "there is no producer".to_owned(),
            });
        };
        if self.stage != Stage::None {
            return Ok(());
        }
        match producer.inner().begin_transaction() {
            Ok(()) => {
                self.stage = Stage::Open;
                Ok(())
            }
            Err(error) => {
                self.is_spoiled = true;
                Err(ended(transaction_error("beginning a transaction", &error)))
            }
        }
    }

    /// One step of a commit or abort, of at most `left`. `Ok(true)`: done.
    fn advance(&mut self, positions: &[Position], left: Duration) -> Result<bool, TransactionError> {
        let Some(producer) = &self.producer else {
            return Err(TransactionError::Ended(CommitError::Ambiguous {
                what: "there is no producer".to_owned(),
            }));
        };
        match &self.stage {
            Stage::None => return Ok(true),
            Stage::Open => self.stage = Stage::Flushing,
            Stage::Flushing => {
                if !producer.flush(left) {
                    return Err(TransactionError::Unfinished);
                }
                match producer.take_failure() {
                    None => self.stage = Stage::Offsets,
                    Some(error) if error.is_of_a_record() => {
                        self.is_spoiled = true;
                        self.stage = Stage::Aborting(Some(AbortReason::Refused(error)));
                    }
                    Some(LogError::Fatal { what }) => {
                        return Err(TransactionError::Ended(CommitError::Fatal { what }));
                    }
                    Some(other) => return Err(TransactionError::MustAbort(other.to_string())),
                }
            }
            Stage::Offsets => {
                if !positions.is_empty() {
                    let doing = "sending positions to the transaction";
                    let fatal = |error: LogError| {
                        TransactionError::Ended(CommitError::Fatal {
                            what: error.to_string(),
                        })
                    };
                    let list = crate::consumer::positions(positions).map_err(fatal)?;
                    // Taken now: the generation changes with every rebalance.
                    let metadata =
                        self.consumer.client().group_metadata().ok_or_else(|| {
                            TransactionError::MustAbort("the group's metadata is not known".to_owned())
                        })?;
                    // Not in slices: this call cannot be resumed (`rd_kafka_send_offsets_to_transaction`).
                    producer
                        .inner()
                        .send_offsets_to_transaction(&list, &metadata, OFFSETS_TIMEOUT)
                        .map_err(|e| match transaction_error(doing, &e) {
                            TransactionError::Unfinished => TransactionError::MustAbort(format!("{doing}: {e}")),
                            other => other,
                        })?;
                }
                self.stage = Stage::Committing;
            }
            Stage::Committing => {
                producer
                    .inner()
                    .commit_transaction(left)
                    .map_err(|e| transaction_error("committing", &e))?;
                self.stage = Stage::None;
                return Ok(true);
            }
            Stage::Aborting(reason) => {
                let reason = reason.clone();
                producer
                    .inner()
                    .abort_transaction(left)
                    .map_err(|e| match transaction_error("aborting", &e) {
                        TransactionError::MustAbort(what) => TransactionError::Ended(CommitError::Ambiguous { what }),
                        other => other,
                    })?;
                // Refusals of records that were purged are part of the abort.
                let failure = producer.take_failure();
                self.stage = Stage::None;
                if let Some(LogError::Fatal { what }) = failure {
                    return Err(TransactionError::Ended(CommitError::Fatal { what }));
                }
                // A record that the broker refused leaves a gap in the sequence numbers, and the
                // next transaction would fail on it: only a new producer is free of that.
                if (self.is_spoiled || failure.is_some_and(|error| error.is_of_a_record()))
                    && let Err(error) = self.renew(INIT_TIMEOUT)
                {
                    return Err(TransactionError::Ended(CommitError::Ambiguous {
                        what: error.to_string(),
                    }));
                }
                return match reason {
                    Some(reason) => Err(TransactionError::Ended(reason.into_error())),
                    None => Ok(true),
                };
            }
        }
        Ok(false)
    }

    /// Steps until done, failed, or the slice is over.
    pub(crate) fn drive(&mut self, positions: &[Position], slice: Duration) -> Result<(), CommitError> {
        let until = Instant::now() + slice;
        let began = *self.commit_began.get_or_insert_with(Instant::now);
        loop {
            let left = until
                .saturating_duration_since(Instant::now())
                .max(Duration::from_millis(10));
            let error = match self.advance(positions, left) {
                Ok(true) => {
                    self.commit_began = None;
                    return Ok(());
                }
                Ok(false) => continue,
                Err(error) => error,
            };
            match error {
                TransactionError::MustAbort(what) if !matches!(self.stage, Stage::Aborting(_)) => {
                    self.stage = Stage::Aborting(Some(AbortReason::Broken(what)));
                }
                TransactionError::Unfinished if began.elapsed() > COMMIT_MAX => {
                    self.commit_began = None;
                    return Err(CommitError::Ambiguous {
                        what: format!("no answer for {} s", COMMIT_MAX.as_secs()),
                    });
                }
                TransactionError::Unfinished if Instant::now() >= until => return Err(CommitError::Unfinished),
                TransactionError::Unfinished => {}
                other => {
                    self.commit_began = None;
                    return Err(ended(other));
                }
            }
        }
    }
}

fn ended(error: TransactionError) -> CommitError {
    match error {
        TransactionError::Unfinished => CommitError::Unfinished,
        TransactionError::MustAbort(what) => CommitError::Ambiguous { what },
        TransactionError::Ended(error) => error,
    }
}
