use broker_core::Published;

use super::*;
use crate::torture::Fault;

const GROUP: &str = "g";
const LEASE: Duration = Duration::from_secs(1);
const ENTRY: Entry = Entry {
    publisher: 0,
    sequence: 0,
};

fn event(process: usize, at: u64, what: What) -> (usize, Event) {
    (process, Event { at: Moment(at), what })
}

fn came(process: usize, at: u64, attempt: u32) -> (usize, Event) {
    let key = "k".to_owned();
    event(
        process,
        at,
        What::Delivered {
            entry: ENTRY,
            attempt,
            key,
        },
    )
}

fn answered(process: usize, at: u64, answer: Settled) -> (usize, Event) {
    event(process, at, What::Settled { entry: ENTRY, answer })
}

/// The sums for one message with this story.
fn judged(events: &[(usize, Event)], ends: &[Option<Moment>], incidents: &[Incident]) -> (Judged, Ledger) {
    let ledger = Ledger::new("run", "check");
    let message = ledger.message_of(0, Some("k"), 0);
    ledger.published(&[message], &Published::run(0, 0, 1));
    let judge = Judge {
        ledger: &ledger,
        group: GROUP,
        ends,
        incidents,
        lease: LEASE,
        settles: true,
        ordered: true,
        forgetful: None,
    };
    (judge.judge(events), ledger)
}

#[test]
fn a_message_that_comes_again_after_its_ack_has_no_reason() {
    let events = [came(0, 1, 1), answered(0, 2, Settled::Acked), came(1, 3, 2)];
    let incident = Incident {
        fault: Fault::ServerKilled,
        began: Moment(0),
        ended: Moment(9),
        process: None,
    };
    let (judged, ledger) = judged(&events, &[Some(Moment(2)), None], &[incident]);
    assert_eq!(ledger.verdict().duplicated, 1);
    assert!(
        judged.samples[0].contains("again without a reason"),
        "{:?}",
        judged.samples
    );
}

#[test]
fn each_reason_is_told_by_its_name() {
    let again = |before: Vec<(usize, Event)>, at, ends: &[Option<Moment>], incidents: &[Incident]| {
        let events: Vec<_> = [came(0, 1, 1)]
            .into_iter()
            .chain(before)
            .chain([came(1, at, 2), answered(1, at + 1, Settled::Acked)])
            .collect();
        let (judged, ledger) = judged(&events, ends, incidents);
        assert_eq!((ledger.verdict().duplicated, judged.unsettled), (0, 0));
        judged.reasons.into_keys().next().unwrap()
    };
    let alive = [None, None];
    assert_eq!(
        again(vec![answered(0, 2, Settled::Nacked)], 3, &alive, &[]),
        "nacked"
    );
    assert_eq!(
        again(vec![answered(0, 2, Settled::Stale)], 3, &alive, &[]),
        "settling refused"
    );
    let failed = event(0, 2, What::Unsettled { entry: ENTRY });
    assert_eq!(again(vec![failed], 3, &alive, &[]), "settling failed");
    assert_eq!(
        again(vec![], 3, &[Some(Moment(2)), None], &[]),
        "its consumer died"
    );
    assert_eq!(again(vec![], 900_000, &alive, &[]), "its lease ended");
    let cut = Incident {
        fault: Fault::ConnectionsCut,
        began: Moment(2),
        ended: Moment(2),
        process: None,
    };
    assert_eq!(
        again(vec![], 3, &alive, &[cut]),
        "a fault of server or connection"
    );
}

#[test]
fn a_process_that_stood_still_may_see_an_earlier_delivery_and_must_not_settle_by_it() {
    let seen = [came(1, 1, 2), answered(1, 2, Settled::Acked), came(0, 3, 1)];
    let refused = [&seen[..], &[answered(0, 4, Settled::Stale)]].concat();
    let (good, ledger) = judged(&refused, &[None, None], &[]);
    assert_eq!((good.attempts, ledger.verdict().duplicated), (0, 0));
    let settled = [&seen[..], &[answered(0, 4, Settled::Acked)]].concat();
    assert_eq!(judged(&settled, &[None, None], &[]).0.attempts, 1);
}

#[test]
fn an_ack_that_nobody_lived_to_hear_answered_is_no_loss_and_one_never_asked_for_is() {
    let asked = event(0, 2, What::Acking { entry: ENTRY });
    let (unheard, _) = judged(&[came(0, 1, 1), asked], &[Some(Moment(3))], &[]);
    assert_eq!((unheard.unheard, unheard.unsettled), (1, 0));
    let (gone, _) = judged(&[came(0, 1, 1)], &[Some(Moment(3))], &[]);
    assert_eq!((gone.unheard, gone.unsettled), (0, 1));
}

#[test]
fn attempts_rise_and_what_is_not_settled_is_told() {
    let (judged, _) = judged(&[came(0, 1, 2), came(1, 900_000, 2)], &[None, None], &[]);
    assert_eq!((judged.attempts, judged.unsettled), (1, 1));
}
