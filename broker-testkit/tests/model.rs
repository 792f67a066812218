//! The model: random operations on the in-process broker, and on brokers with a bug that it has to find.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise"
)]

mod faulty;

use broker_testkit::model;
use faulty::FaultyHarness;

const SEED: u64 = 11;

#[test]
fn the_broker_without_a_bug_does_what_the_reference_does() {
    for partitions in [1, 4] {
        let harness = FaultyHarness::new(None, false).partitions(partitions);
        let played = model::run(&harness, 200, SEED);
        assert_eq!(played.map_err(|difference| difference.to_string()), Ok(200));
    }
}

fn is_found(fault: &'static str) {
    let difference = model::run(&FaultyHarness::new(Some(fault), false), 2_000, SEED).expect_err(fault);
    assert!(
        difference.operations.len() <= 20,
        "`{fault}` is found, and not by a short sequence: {difference}"
    );
}

macro_rules! found {
    ($($fault:ident)+) => {$(
        #[test]
        fn $fault() {
            is_found(stringify!($fault));
        }
    )+};
}

found! {
    ack_covers_earlier
    attempts_always_one
    forgets_acks
    forgets_nacks
    giving_back_counts
    hands_out_more
    hides_lag
    ignores_delay
    late_ack_settles_later
    lease_ends_at_once
    lease_never_ends
    loses_dead_letters
    moves_all_groups
    purges_all
    replays_to_all_groups
    shares_groups
    swaps_order
}
