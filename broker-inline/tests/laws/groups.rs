//! Groups as an operator sees them.

use broker_core::base::{BaseBroker, Groups};
use broker_core::{BrokerEvent, ErrorKind, Settled, StartPosition};
use broker_inline::InlineConfig;

use crate::support::*;

fn groups(rig: &Rig) -> &dyn Groups {
    rig.broker.families().groups.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_group_is_made_once_and_starts_where_it_was_told() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..3).await;
    let groups = groups(&rig);
    assert!(
        groups
            .create(&stream("s"), &group("late"), &StartPosition::Latest)
            .await
            .unwrap()
    );
    assert!(
        !groups
            .create(&stream("s"), &group("late"), &StartPosition::Earliest)
            .await
            .unwrap()
    );
    rig.count(3..5).await;
    assert_eq!(texts(&rig.read(&member_of("late", "one"), 10).await), ["3", "4"]);
    assert_eq!(rig.read(&member_of("early", "one"), 10).await.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn numbers_match_what_was_done() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..10).await;
    let (one, two) = (member("one"), member("two"));
    let got = rig.read(&one, 4).await;
    tokio::time::advance(secs(2)).await;
    let others = rig.read(&two, 2).await;
    rig.ack(&one, &got[1..2]).await;
    rig.requeue(&one, &got[3..], secs(5)).await;
    tokio::time::advance(secs(1)).await;

    let info = groups(&rig).list(&stream("s")).await.unwrap().remove(0);
    assert_eq!(
        (info.pending, info.lag, info.oldest_pending),
        (5, 4, Some(secs(3)))
    );
    let members: Vec<_> = info
        .members
        .iter()
        .map(|member| (member.consumer.as_str(), member.pending, member.idle))
        .collect();
    assert_eq!(members, [("one", 2, secs(1)), ("two", 2, secs(1))]);

    rig.ack(&one, &got[..1]).await;
    assert_eq!(
        groups(&rig).list(&stream("s")).await.unwrap()[0].oldest_pending,
        Some(secs(3))
    );
    rig.ack(&one, &got[2..3]).await;
    let again = rig.wait(&two, 1, secs(10)).await;
    rig.ack(&two, &again).await;
    rig.ack(&two, &others).await;
    let info = groups(&rig).list(&stream("s")).await.unwrap().remove(0);
    assert_eq!((info.pending, info.lag), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_group_with_pending_deliveries_is_deleted_by_force_only() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..2).await;
    let one = member("one");
    let got = rig.read(&one, 1).await;
    let error = groups(&rig)
        .delete(&stream("s"), &group("g"), false)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "throttled: group `g` has 1 deliveries that are not settled; settle them, or delete it by force"
    );
    assert!(
        groups(&rig)
            .delete(&stream("s"), &group("g"), true)
            .await
            .unwrap()
    );
    assert!(
        !groups(&rig)
            .delete(&stream("s"), &group("g"), true)
            .await
            .unwrap()
    );
    assert!(groups(&rig).list(&stream("s")).await.unwrap().is_empty());
    assert_eq!(rig.ack(&one, &got).await, [Settled::NotPending]);
    // Made again, it starts anew.
    assert_eq!(texts(&rig.read(&one, 5).await), ["0", "1"]);
    assert_eq!(rig.ack(&one, &got).await, [Settled::NotPending]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_goes_on_when_its_group_was_deleted_and_the_broker_tells() {
    let rig = Rig::new(InlineConfig::default());
    let ids = rig.count(0..2).await;
    let reader = rig
        .broker
        .families()
        .endpoints
        .unwrap()
        .reader(&member("one"))
        .await
        .unwrap();
    let got = unpack(&reader.try_read(5).unwrap().unwrap());
    groups(&rig)
        .delete(&stream("s"), &group("g"), true)
        .await
        .unwrap();
    assert_eq!(
        reader.try_ack(&runs(&got)).unwrap().unwrap().get(0),
        Some(Settled::Stale)
    );
    assert_eq!(texts(&unpack(&reader.try_read(5).unwrap().unwrap())), ["0", "1"]);
    assert_eq!(
        rig.events().await,
        [BrokerEvent::GroupRecreated {
            stream: stream("s"),
            group: group("g"),
            position: Some(ids[0].clone())
        }]
    );
    assert_eq!(groups(&rig).list(&stream("s")).await.unwrap()[0].members.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_removed_consumer_hands_its_deliveries_to_the_others() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..3).await;
    let (one, two) = (member("one"), member("two"));
    let got = rig.read(&one, 2).await;
    rig.read(&two, 1).await;
    let removed = |name: &'static str| {
        let rig = rig.clone();
        async move {
            groups(&rig)
                .remove_consumer(&stream("s"), &group("g"), &consumer(name))
                .await
                .unwrap()
        }
    };
    assert_eq!(removed("stranger").await, 0);
    assert_eq!(removed("one").await, 2);
    let again = rig.read(&two, 5).await;
    assert_eq!((texts(&again), attempts(&again)), (vec!["0", "1"], vec![2, 2]));
    assert_eq!(rig.ack(&one, &got).await, [Settled::Stale; 2]);
    let info = groups(&rig).list(&stream("s")).await.unwrap().remove(0);
    assert_eq!(info.members.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_left_is_shown_while_it_holds_something() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..1).await;
    let reader = rig
        .broker
        .families()
        .endpoints
        .unwrap()
        .reader(&member("one"))
        .await
        .unwrap();
    let got = unpack(&reader.try_read(1).unwrap().unwrap());
    reader.leave().await.unwrap();
    let members = async || groups(&rig).list(&stream("s")).await.unwrap()[0].members.len();
    assert_eq!(members().await, 1);
    reader.try_ack(&runs(&got)).unwrap().unwrap();
    assert_eq!(members().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_made_by_many_at_once_while_publishing_is_one_group() {
    let rig = Rig::new(InlineConfig::default());
    let readers: Vec<_> = (0..32)
        .map(|number| {
            let rig = rig.clone();
            tokio::spawn(async move {
                rig.publish(&[&number.to_string()]).await;
                rig.wait(&member(&format!("c{number}")), 1, secs(10)).await
            })
        })
        .collect();
    let mut all = Vec::new();
    for reader in readers {
        all.extend(reader.await.unwrap());
    }
    let mut numbers: Vec<usize> = all.iter().map(|got| got.text.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..32).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_empty_or_not_found() {
    let rig = Rig::new(InlineConfig::default());
    let nowhere = stream("nowhere");
    assert!(groups(&rig).list(&nowhere).await.unwrap().is_empty());
    assert!(!groups(&rig).delete(&nowhere, &group("g"), true).await.unwrap());
    let replay = rig.broker.families().replay.unwrap();
    let error = replay
        .seek(&nowhere, &group("g"), &StartPosition::Earliest)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        rig.broker
            .families()
            .streams
            .unwrap()
            .list()
            .await
            .unwrap()
            .is_empty()
    );
}
