//! Groups under the newer protocol (KIP-848): `group.protocol = "consumer"`.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use record::Secret;
use testkit::log_conformance::{self as cases, Subject};
use wasmill_kafka::{KafkaConfig, KafkaLog};

fn fresh() -> Subject {
    let brokers = std::env::var("WASMILL_TEST_KAFKA")
        .unwrap_or_else(|_| panic!("WASMILL_TEST_KAFKA is not set; run the tests with scripts/test.sh"));
    let log = KafkaLog::new(KafkaConfig {
        brokers,
        properties: vec![("group.protocol".to_owned(), Secret::new("consumer"))],
        client_id: "conformance".to_owned(),
    });
    Subject::new(Arc::new(log.unwrap())).with_open_transactions_in_log()
}

#[test]
fn a_new_session_resumes() {
    cases::a_new_session_resumes_from_the_committed_positions(&fresh());
}

#[test]
fn sessions_hand_over() {
    cases::two_sessions_share_the_partitions_and_hand_over_without_loss_or_repeat(&fresh());
}

#[test]
fn a_closed_member_gives_back() {
    cases::a_member_that_closes_gives_its_partitions_back(&fresh());
}

#[test]
fn positions_commit_with_outputs() {
    cases::positions_and_notes_commit_with_the_outputs(&fresh());
}

#[test]
fn members_are_seen() {
    cases::members_show_their_client_ids(&fresh());
}
