//! Dead letters: laws 8 and 9.

use std::time::SystemTime;

use broker_core::base::{BaseBroker, DeadLetters, Disposition};
use broker_core::{DeadLetterQuery, ErrorKind, Message, MessageId, Selection, Settled};
use broker_inline::InlineConfig;

use crate::support::*;

fn letters(rig: &Rig) -> &dyn DeadLetters {
    rig.broker.families().dead_letters.unwrap()
}

/// Publishes and buries `count` messages, one by one.
async fn bury(rig: &Rig, count: usize) {
    let one = member("one");
    for number in 0..count {
        rig.send(vec![Message::text(number.to_string()).header("trace", "t")])
            .await;
        let got = rig.read(&one, 1).await;
        assert_eq!(
            rig.nack(&one, &got, Disposition::DeadLetter).await,
            [Settled::Nacked]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn law_8_an_entry_tells_the_whole_story() {
    let rig = Rig::new(InlineConfig::default());
    let before = SystemTime::now();
    let message = Message::text("a")
        .key("k")
        .header("h", "v")
        .kind("order.placed")
        .id("app-7");
    let ids = rig.send(vec![message.clone()]).await;
    let (one, two) = (member("one"), member("two"));
    let got = rig.read(&one, 1).await;
    rig.requeue(&one, &got, secs(1)).await;
    let between = SystemTime::now();
    let got = rig.wait(&two, 1, secs(5)).await;
    assert_eq!(
        rig.nack(&two, &got, Disposition::DeadLetter).await,
        [Settled::Nacked]
    );
    assert_eq!(rig.ack(&two, &got).await, [Settled::AlreadySettled]);

    let page = letters(&rig)
        .list(&stream("s"), &group("g"), &DeadLetterQuery::default())
        .await
        .unwrap();
    assert_eq!((page.letters.len(), page.next), (1, None));
    let letter = &page.letters[0];
    assert_eq!(letter.original_id, ids[0]);
    assert_eq!((&letter.stream, &letter.group), (&stream("s"), &group("g")));
    assert_eq!((letter.partition, letter.attempts), (0, 2));
    assert_eq!(letter.message, message);
    assert_eq!(letter.failure.reason, "bounced");
    assert_eq!(letter.failure.chain, ["no such address"]);
    assert_eq!(letter.consumer, consumer("two"));
    assert!(before <= letter.first_failed && letter.first_failed <= between && between <= letter.last_failed);
    let same = letters(&rig)
        .inspect(&stream("s"), &group("g"), &letter.id)
        .await
        .unwrap();
    assert_eq!(same.as_ref(), Some(letter));
    tokio::time::advance(LEASE * 2).await;
    assert!(rig.read(&one, 1).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn law_8_what_can_t_be_written_stays() {
    let rig = Rig::new(InlineConfig::default().max_dead_letters(2));
    let one = member("one");
    rig.count(0..3).await;
    let got = rig.read(&one, 3).await;
    let error = rig
        .try_nack(&one, &got, Disposition::DeadLetter)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert_eq!(letters(&rig).depth(&stream("s"), &group("g")).await.unwrap(), 0);
    assert_eq!(
        rig.nack(&one, &got[..2], Disposition::DeadLetter).await,
        [Settled::Nacked; 2]
    );
    assert!(rig.broker.health_stats().warnings[0].contains("no room for more"));
    // A receipt that settles nothing needs no room.
    assert_eq!(
        rig.nack(&one, &got[..1], Disposition::DeadLetter).await,
        [Settled::AlreadySettled]
    );
    rig.try_nack(&one, &got[2..], Disposition::DeadLetter)
        .await
        .unwrap_err();
    tokio::time::advance(LEASE).await;
    assert_eq!(texts(&rig.read(&one, 3).await), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn law_9_pages_are_newest_first_and_complete_while_entries_are_added() {
    let rig = Rig::new(InlineConfig::default());
    bury(&rig, 7).await;
    let letters = letters(&rig);
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let query = DeadLetterQuery {
            limit: 3,
            before: before.clone(),
            ..DeadLetterQuery::default()
        };
        let page = letters.list(&stream("s"), &group("g"), &query).await.unwrap();
        seen.extend(
            page.letters
                .iter()
                .map(|letter| String::from_utf8(letter.message.payload().to_vec()).unwrap()),
        );
        bury(&rig, 1).await;
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["6", "5", "4", "3", "2", "1", "0"]);
}

#[tokio::test(start_paused = true)]
async fn law_9_entries_are_filtered_by_the_time_of_their_last_failure() {
    let rig = Rig::new(InlineConfig::default());
    bury(&rig, 2).await;
    let middle = SystemTime::now();
    bury(&rig, 3).await;
    let count = |query: DeadLetterQuery| {
        let rig = rig.clone();
        async move {
            letters(&rig)
                .list(&stream("s"), &group("g"), &query)
                .await
                .unwrap()
                .letters
                .len()
        }
    };
    assert_eq!(
        count(DeadLetterQuery {
            since: Some(middle),
            ..DeadLetterQuery::default()
        })
        .await,
        3
    );
    assert_eq!(
        count(DeadLetterQuery {
            until: Some(middle),
            ..DeadLetterQuery::default()
        })
        .await,
        2
    );
    let purged = letters(&rig)
        .purge(&stream("s"), &group("g"), &Selection::Before(middle))
        .await
        .unwrap();
    assert_eq!(purged, 2);
    assert_eq!(letters(&rig).depth(&stream("s"), &group("g")).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn law_9_replay_goes_to_the_failing_group_alone_with_attempts_anew() {
    let rig = Rig::new(InlineConfig::default());
    let (one, other) = (member("one"), member_of("other", "one"));
    rig.read(&other, 1).await;
    bury(&rig, 7).await;
    let first = letters(&rig)
        .list(
            &stream("s"),
            &group("g"),
            &DeadLetterQuery {
                limit: 100,
                ..DeadLetterQuery::default()
            },
        )
        .await
        .unwrap()
        .letters
        .pop()
        .unwrap();
    let others = rig.read(&other, 100).await;
    rig.ack(&other, &others).await;

    let ids = Selection::Ids(vec![first.id.clone()]);
    assert_eq!(
        letters(&rig)
            .replay(&stream("s"), &group("g"), &ids)
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        letters(&rig)
            .replay(&stream("s"), &group("g"), &Selection::All)
            .await
            .unwrap(),
        6
    );
    assert_eq!(
        letters(&rig)
            .replay(&stream("s"), &group("g"), &Selection::All)
            .await
            .unwrap(),
        0
    );
    assert_eq!(letters(&rig).depth(&stream("s"), &group("g")).await.unwrap(), 0);
    assert!(rig.read(&other, 100).await.is_empty());

    rig.publish(&["new"]).await;
    let got = rig.read(&one, 100).await;
    assert_eq!(texts(&got), ["0", "1", "2", "3", "4", "5", "6", "new"]);
    assert!(attempts(&got).iter().all(|attempt| *attempt == 1));
    assert_eq!(
        got[0].message.headers().get_str("replayed-from").unwrap(),
        Some(first.id.to_string().as_str())
    );
    assert_eq!(got[0].message.headers().get_str("trace").unwrap(), Some("t"));
    assert_eq!(got[0].id, first.original_id);
    assert!(
        rig.ack(&one, &got[1..])
            .await
            .iter()
            .all(|settled| *settled == Settled::Acked)
    );
    // It fails again, and its origin is still the same.
    rig.requeue(&one, &got[..1], secs(0)).await;
    let again = rig.read(&one, 1).await;
    assert_eq!(attempts(&again), [2]);
    rig.nack(&one, &again, Disposition::DeadLetter).await;
    let page = letters(&rig)
        .list(&stream("s"), &group("g"), &DeadLetterQuery::default())
        .await
        .unwrap();
    assert_eq!(page.letters[0].original_id, first.original_id);
    assert_ne!(page.letters[0].id, first.id);
}

#[tokio::test(start_paused = true)]
async fn law_9_a_reader_that_waits_gets_what_is_replayed() {
    let rig = Rig::new(InlineConfig::default());
    bury(&rig, 1).await;
    let waiting = tokio::spawn({
        let rig = rig.clone();
        async move { rig.wait(&member("two"), 5, secs(5)).await }
    });
    tokio::time::sleep(ms(1)).await;
    letters(&rig)
        .replay(&stream("s"), &group("g"), &Selection::All)
        .await
        .unwrap();
    assert_eq!(texts(&waiting.await.unwrap()), ["0"]);
}

#[tokio::test(start_paused = true)]
async fn law_9_an_unknown_id_changes_nothing() {
    let rig = Rig::new(InlineConfig::default());
    bury(&rig, 2).await;
    let letters = letters(&rig);
    let page = letters
        .list(&stream("s"), &group("g"), &DeadLetterQuery::default())
        .await
        .unwrap();
    let unknown: MessageId = "dead-99".parse().unwrap();
    let ids = Selection::Ids(vec![page.letters[0].id.clone(), unknown.clone()]);
    for result in [
        letters.replay(&stream("s"), &group("g"), &ids).await,
        letters.purge(&stream("s"), &group("g"), &ids).await,
        letters.purge(&stream("elsewhere"), &group("g"), &ids).await,
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    assert_eq!(letters.depth(&stream("s"), &group("g")).await.unwrap(), 2);
    assert_eq!(
        letters
            .inspect(&stream("s"), &group("g"), &unknown)
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        letters
            .inspect(&stream("elsewhere"), &group("g"), &page.letters[0].id)
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        letters
            .purge(&stream("s"), &group("g"), &Selection::All)
            .await
            .unwrap(),
        2
    );
    assert_eq!(
        letters
            .purge(&stream("s"), &group("g"), &Selection::All)
            .await
            .unwrap(),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn law_13_replays_are_bounded_with_the_dead_letters() {
    let rig = Rig::new(InlineConfig::default().max_dead_letters(3));
    bury(&rig, 3).await;
    letters(&rig)
        .replay(&stream("s"), &group("g"), &Selection::All)
        .await
        .unwrap();
    let one = member("one");
    let replayed = rig.read(&one, 10).await;
    rig.count(10..11).await;
    let got = rig.read(&one, 10).await;
    rig.nack(&one, &got, Disposition::DeadLetter).await;
    let error = letters(&rig)
        .replay(&stream("s"), &group("g"), &Selection::All)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert_eq!(letters(&rig).depth(&stream("s"), &group("g")).await.unwrap(), 1);
    rig.ack(&one, &replayed).await;
    assert_eq!(
        letters(&rig)
            .replay(&stream("s"), &group("g"), &Selection::All)
            .await
            .unwrap(),
        1
    );
    assert_eq!(texts(&rig.read(&one, 10).await), ["10"]);
}
