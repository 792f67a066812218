//! The suite itself is tested: brokers with a known bug are each caught, and the same broker without one passes.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod faulty;

use broker_testkit::{Level, Outcome, Part, Suite};
use faulty::FaultyHarness;

fn suite(fault: Option<&'static str>, has_server: bool) -> Suite {
    Part::ALL
        .into_iter()
        .fold(
            Suite::new(FaultyHarness::new(fault, has_server)),
            |suite, part| suite.absent(part, "there is no server"),
        )
        .seed(7)
}

#[test]
fn the_broker_without_a_bug_passes_everything() {
    let report = suite(None, false).run(Level::Quick, &[]).unwrap();
    assert!(report.is_good(), "{report}");
    // The laws about a server that is down want it to themselves.
    let down = ["health.down".to_owned(), "read.error_is_error".to_owned()];
    let report = suite(None, true).run(Level::Full, &down).unwrap();
    assert_eq!(report.count(Outcome::Passed), down.len(), "{report}");
}

fn is_caught(fault: &'static str, level: Level, by: &[&str]) {
    let filters: Vec<_> = by.iter().map(|id| (*id).to_owned()).collect();
    let report = suite(Some(fault), true).run(level, &filters).unwrap();
    for id in by {
        let check = report.checks.iter().find(|check| check.id == *id);
        let outcome = check.map(|check| check.outcome);
        assert_eq!(
            outcome,
            Some(Outcome::Failed),
            "`{id}` does not catch `{fault}`: {report}"
        );
    }
}

macro_rules! mutants {
    ($($fault:ident, $level:ident: $($by:literal),+;)+) => {$(
        #[test]
        fn $fault() {
            is_caught(stringify!($fault), Level::$level, &[$($by),+]);
        }
    )+};
}

mutants! {
    drops_some, Quick: "delivery.at_least_once", "delivery.no_spurious_duplicates", "order.fifo_single";
    duplicates_some, Quick: "delivery.at_least_once", "delivery.no_spurious_duplicates";
    swaps_order, Quick: "order.fifo_single", "order.batch_publish";
    truncates_payload, Full: "payload.large_within_limit";
    drops_headers, Quick: "headers.round_trip", "ack.nack_redelivers", "dlq.entry_complete";
    one_id_for_all, Quick: "pubsub.publish_returns_id", "pubsub.id_matches_read";
    forgets_ids, Quick: "pubsub.idempotent";
    stores_later, Full: "lifecycle.close_flushes";
    mixes_up_answers, Quick: "pubsub.cancelled_publish";
    attempts_always_one, Quick: "delivery.attempt_count", "ack.nack_redelivers", "retry.max_attempts";
    shares_groups, Quick: "groups.independent", "ack.per_group";
    lease_never_ends, Quick: "ack.unacked_redelivered", "ack.drop_unsettled";
    lease_ends_at_once, Quick: "ack.held_within_lease", "groups.single_owner";
    swallows_read_errors, Full: "read.error_is_error";
    pops_on_read, Quick: "ack.unacked_redelivered", "ack.out_of_order", "fault.cancel_read";
    sleeps_through_messages, Quick: "block.returns_early";
    readers_block_publishers, Quick: "block.does_not_block_publish";
    hands_out_more, Quick: "read.count";
    ignores_parked_keys, Quick: "order.nack_blocks_key", "order.pending_first";
    ack_covers_earlier, Quick: "ack.later_does_not_cover_earlier", "ack.out_of_order";
    double_ack_is_acked, Quick: "ack.double";
    anybody_settles, Quick: "ack.ownership";
    late_ack_settles_later, Quick: "ack.late_settle_own";
    forgets_acks, Quick: "ack.removes", "ack.double";
    forgets_nacks, Quick: "ack.nack_redelivers", "delivery.attempt_count";
    ignores_delay, Quick: "ack.nack_delay", "retry.backoff_schedule";
    giving_back_counts, Quick: "ack.give_back", "shutdown.prefetched_returned";
    loses_dead_letters, Quick: "retry.max_attempts", "dlq.depth", "dlq.entry_complete";
    replays_to_all_groups, Quick: "dlq.replay";
    purges_all, Quick: "dlq.replay_selected";
    lists_oldest_first, Quick: "dlq.list_order_limit_filter";
    moves_all_groups, Quick: "replay.other_groups_unaffected";
    trims_what_is_needed, Quick: "retention.slowest_group";
    forgets_extensions, Quick: "ack.extend_lease";
    transacts_in_parts, Quick: "tx.refused";
    transacts_publishes_only, Quick: "tx.commit";
    forgets_fences, Quick: "tx.fenced";
    hides_lag, Quick: "health.lag";
    answers_ping_when_down, Full: "health.down";
    unsupported_is_ok, Quick: "caps.unsupported.base";
}
