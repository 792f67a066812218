//! Runs the laws as tests.

use std::process::ExitCode;
use std::sync::Arc;

use futures_util::future::{FutureExt as _, LocalBoxFuture};
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

use crate::stage::{Kind, Stage};
use crate::{
    batches, dead_letters, delivery, failures, groups, leases, order, outcomes, patterns, requests, rpc,
    stopping,
};

/// A law: its name, and how it runs.
type Law = (&'static str, fn(Stage) -> LocalBoxFuture<'static, ()>);

macro_rules! laws {
    ($($place:ident: $($law:ident),+;)+) => {
        [$($((stringify!($law), |stage| $place::$law(stage).boxed_local())),+),+]
    };
}

const LAWS: &[Law] = &laws! {
    batches:
        each_message_of_a_batch_has_its_own_outcome,
        no_key_is_in_two_batches_at_once,
        in_sequence_a_failed_message_of_a_batch_holds_back_its_key,
        a_panic_or_a_timeout_is_that_of_each_message_of_the_batch;
    dead_letters: unavailable_dead_letters_hold_their_messages;
    delivery:
        every_message_is_handled_once,
        a_blocked_subscriber_delays_no_other,
        handlers_take_what_they_need,
        each_kind_goes_to_its_handler_and_the_rest_is_skipped;
    failures:
        after_its_own_last_attempt_each_is_a_dead_letter,
        no_attempt_comes_before_its_time,
        a_permanent_error_is_not_tried_again,
        undecodable_messages_panics_and_timeouts_are_outcomes;
    groups:
        subscribers_come_and_go_while_the_engine_runs,
        a_short_lived_stream_goes_with_its_subscriber;
    leases: a_slow_handler_keeps_its_message;
    order: eight_lanes_keep_the_order_of_each_key;
    outcomes:
        a_manual_handler_settles_itself,
        what_a_handler_answers_with_is_published_and_follows_from_its_message;
    patterns: a_group_follows_a_pattern;
    requests: requests_are_answered_with_their_status;
    rpc:
        a_hundred_get_their_own_answers,
        statuses_are_mapped,
        answers_of_several_groups_are_gathered,
        timeouts_free_their_places;
    stopping:
        stopped_anywhere_nothing_is_lost_and_only_what_was_cut_off_comes_twice,
        what_is_being_handled_ends_and_may_publish,
        what_outlives_the_drain_is_cut_off_and_comes_again,
        an_engine_is_stopped_from_inside_a_handler;
};

/// Holds each law on this kind of broker, in a runtime of its own.
///
/// The program's arguments are those of any test of Rust.
pub fn hold(runtime: fn() -> std::io::Result<Runtime>, kind: impl Kind) -> ExitCode {
    let kind: Arc<dyn Kind> = Arc::new(kind);
    let trial = |&(name, law): &Law| {
        let stage = Stage::new(name, Arc::clone(&kind));
        Trial::test(name, move || {
            runtime()?.block_on(law(stage));
            Ok(())
        })
    };
    libtest_mimic::run(&Arguments::from_args(), LAWS.iter().map(trial).collect()).exit_code()
}
