//! What every [`Log`] has to do, Kafka and the embedded one alike.
//!
//! A test file of a log names its subject and lists nothing:
//!
//! ```text
//! fn subject() -> testkit::log_conformance::Subject { Subject::new(Arc::new(my_log)) }
//! testkit::log_conformance!(subject);
//! ```
//!
//! That makes one `#[test]` per case. Cases share a log without meeting: each subject has a name
//! prefix of its own. Waits are bounded by [`Subject::patience`]; no case asserts on a sleep.

mod groups;
mod member;
mod reading;
mod subject;
mod topics;
mod transactions;
mod writing;

pub use member::Member;
pub use subject::{Header, Record, Subject, batch, key_value};

use record::log::Log;
use std::sync::Arc;

/// One case: its name and what it does. It panics when the log is wrong.
pub type Case = (&'static str, fn(&Subject));

macro_rules! cases {
    ($($module:ident: $($case:ident),+ $(,)?;)+) => {
        /// All cases, in the order of the files.
        pub const CASES: &[Case] = &[$($((stringify!($case), $module::$case)),+),+];

        $($(
            #[doc(hidden)]
            pub fn $case(subject: &Subject) {
                $module::$case(subject);
            }
        )+)+

        /// Makes one `#[test]` per case, on a fresh [`Subject`] from the given function each.
        #[macro_export]
        macro_rules! log_conformance {
            ($subject:path) => {
                $($(
                    #[test]
                    fn $case() {
                        $crate::log_conformance::$case(&$subject());
                    }
                )+)+
            };
        }
    };
}

cases! {
    writing:
        offsets_rise_in_each_partition_in_the_order_written,
        keys_values_headers_and_timestamps_are_kept,
        append_is_visible_when_it_returns,
        append_to_a_missing_topic_is_an_error,
        an_appender_answers_for_each_record,
        a_record_larger_than_the_topic_takes_is_refused_and_the_session_goes_on,
        large_records_pass_where_the_topic_takes_them,
        at_least_once_flush_shows_records_and_commit_keeps_positions,
        acknowledged_is_the_offset_after_the_last_record,
        the_last_value_of_each_key_survives_compaction;
    transactions:
        nothing_is_visible_before_the_commit_and_all_is_after,
        an_abort_leaves_nothing_visible,
        positions_and_notes_commit_with_the_outputs,
        a_commit_of_positions_alone_is_kept,
        a_second_session_with_the_same_transactional_id_fences_the_first,
        a_dropped_session_leaves_nothing_of_its_transaction,
        renew_drops_what_was_open_and_goes_on;
    reading:
        batches_are_per_partition_and_respect_the_limit,
        a_reader_starts_where_it_is_told,
        edges_and_times_give_offsets,
        seeking_back_reads_again,
        pause_and_resume_lose_and_repeat_nothing,
        deleted_records_are_out_of_range,
        the_end_is_the_stable_end_and_can_be_committed,
        a_waiting_poll_wakes_up_for_new_records;
    groups:
        a_new_session_resumes_from_the_committed_positions,
        two_sessions_share_the_partitions_and_hand_over_without_loss_or_repeat,
        a_member_that_closes_gives_its_partitions_back,
        a_partition_that_was_paused_is_read_when_it_comes_back,
        two_groups_do_not_meet,
        positions_can_be_set_only_without_members,
        a_deleted_group_is_forgotten,
        members_show_their_client_ids;
    topics:
        creating_is_idempotent_and_missing_topics_are_none,
        a_topic_created_again_has_another_id,
        partitions_of_a_topic_are_counted;
}

/// Runs all cases one after the other; `make` gives the log for each (the same one is fine).
pub fn run_all(make: &dyn Fn() -> Arc<dyn Log>) {
    for (name, case) in CASES {
        eprintln!("log conformance: {name}");
        case(&Subject::new(make()));
    }
}
