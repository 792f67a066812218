use broker_core::Published;

use super::*;
use crate::torture::{Fault, Forgetful, Position};

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
            place: None,
        },
    )
}

fn answered(process: usize, at: u64, answer: Settled) -> (usize, Event) {
    event(process, at, What::Settled { entry: ENTRY, answer })
}

/// The sums for one message with this story.
fn judged(events: &[(usize, Event)], ends: &[Option<Moment>], incidents: &[Incident]) -> (Judged, Ledger) {
    judged_by(None, &Covered::default(), events, ends, incidents)
}

fn judged_by(
    forgetful: Option<Forgetful>,
    covered: &Covered,
    events: &[(usize, Event)],
    ends: &[Option<Moment>],
    incidents: &[Incident],
) -> (Judged, Ledger) {
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
        forgetful,
        copies: false,
        covered,
        acks: &Acks::of(events),
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
    let nacking = event(0, 2, What::Nacking { entry: ENTRY });
    assert_eq!(again(vec![nacking], 3, &alive, &[]), "nacked");
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

const WITHIN: Option<Forgetful> = Some(Forgetful {
    written: Duration::from_secs(1),
    answered: Duration::ZERO,
    unnoticed: Duration::from_secs(3),
});

/// An ack that is answered after 5 s by a process whose commits take up to 1 s, and a delivery to another after 20 s.
fn forgotten(fault: Fault, process: Option<usize>, began: u64, ended: u64) -> u64 {
    let asked = event(0, 5_000_000, What::Acking { entry: ENTRY });
    let again = [came(1, 20_000_000, 1), answered(1, 20_001_000, Settled::Acked)];
    let events = [
        &[
            came(0, 4_999_000, 1),
            asked,
            answered(0, 5_000_500, Settled::Acked),
        ],
        &again[..],
    ]
    .concat();
    let incident = Incident {
        fault,
        began: Moment(began),
        ended: Moment(ended),
        process,
    };
    let (judged, ledger) = judged_by(WITHIN, &Covered::default(), &events, &[None, None], &[incident]);
    assert_eq!(
        judged.attempts,
        ledger.verdict().duplicated,
        "one excuse for both"
    );
    ledger.verdict().duplicated
}

#[test]
fn an_ack_is_forgotten_only_by_what_kept_its_own_consumer_from_writing_it_down() {
    assert_eq!(forgotten(Fault::ConsumerKilled, Some(0), 5_900_000, 6_100_000), 0);
    assert_eq!(
        forgotten(Fault::ConsumerKilled, Some(0), 6_100_000, 6_200_000),
        1,
        "too late"
    );
    assert_eq!(
        forgotten(Fault::ConsumerKilled, Some(1), 5_900_000, 6_100_000),
        1,
        "another one"
    );
    assert_eq!(
        forgotten(Fault::ConsumerPaused, Some(0), 5_900_000, 13_000_000),
        0
    );
    assert_eq!(forgotten(Fault::ServerKilled, None, 5_900_000, 13_000_000), 0);
    assert_eq!(
        forgotten(Fault::ServerKilled, None, 6_100_000, 13_000_000),
        1,
        "too late"
    );
    assert_eq!(forgotten(Fault::ConnectionsSilent, None, 1_000_000, 2_500_000), 0);
    assert_eq!(
        forgotten(Fault::ConnectionsSilent, None, 1_000_000, 1_500_000),
        1,
        "noticed by then"
    );
    assert_eq!(
        forgotten(Fault::ConsumerLeft, Some(0), 5_900_000, 6_100_000),
        1,
        "in good order"
    );
    assert_eq!(
        forgotten(Fault::ConsumersComeAndGo, None, 5_000_000, 13_000_000),
        1,
        "no reason to forget"
    );
}

#[test]
fn attempts_that_could_not_be_written_down_are_forgotten_too() {
    let mut events = vec![came(0, 1, 1), answered(0, 2, Settled::Nacked), came(0, 3, 2)];
    events.extend([
        event(0, 4, What::Acking { entry: ENTRY }),
        answered(0, 5, Settled::Acked),
    ]);
    events.extend([came(1, 900, 1), event(1, 901, What::Acking { entry: ENTRY })]);
    events.push(answered(1, 902, Settled::Acked));
    let killed = Incident {
        fault: Fault::ConsumerKilled,
        began: Moment(20),
        ended: Moment(30),
        process: Some(0),
    };
    for (incidents, wrong) in [(&[killed][..], 0), (&[], 1)] {
        let none = Covered::default();
        let (judged, ledger) = judged_by(WITHIN, &none, &events, &[None, None], incidents);
        assert_eq!((judged.attempts, ledger.verdict().duplicated), (wrong, 0));
    }
}

#[test]
fn what_the_server_held_for_settled_comes_again_without_an_excuse() {
    let mut events = vec![came(0, 1, 1), event(0, 2, What::Acking { entry: ENTRY })];
    events.extend([answered(0, 3, Settled::Acked), came(1, 900, 1)]);
    for (_, event) in &mut events {
        if let What::Delivered { place, .. } = &mut event.what {
            *place = Some((0, 7));
        }
    }
    let killed = Incident {
        fault: Fault::ConsumerKilled,
        began: Moment(20),
        ended: Moment(30),
        process: Some(0),
    };
    let position = |low| Position {
        partition: 0,
        low,
        beyond: Vec::new(),
    };
    for (low, duplicated) in [(7, 0), (8, 1)] {
        let covered = Covered::of(&[(Moment(10), vec![position(low)])], &events);
        let (_, ledger) = judged_by(WITHIN, &covered, &events, &[None, None], &[killed]);
        assert_eq!(ledger.verdict().duplicated, duplicated, "up to {low}");
    }
}

#[test]
fn a_refusal_that_failed_may_leave_a_message_twice_where_it_is_copied_and_only_there() {
    let events = [
        came(0, 1, 1),
        event(0, 2, What::Nacking { entry: ENTRY }),
        event(0, 3, What::Unsettled { entry: ENTRY }),
        came(1, 4, 3),
        came(1, 5, 2),
        answered(1, 6, Settled::Acked),
    ];
    for copies in [true, false] {
        let ledger = Ledger::new("run", "check");
        let message = ledger.message_of(0, Some("k"), 0);
        ledger.published(&[message], &Published::run(0, 0, 1));
        let judge = Judge {
            ledger: &ledger,
            group: GROUP,
            ends: &[None, None],
            incidents: &[],
            lease: LEASE,
            settles: true,
            ordered: false,
            forgetful: None,
            copies,
            covered: &Covered::default(),
            acks: &Acks::default(),
        };
        let judged = judge.judge(&events);
        assert_eq!(
            judged
                .reasons
                .contains_key("settling failed, and it was there twice"),
            copies
        );
        assert_eq!(judged.attempts == 0 && ledger.verdict().duplicated == 0, copies);
    }
}
