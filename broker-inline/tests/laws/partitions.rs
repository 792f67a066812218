//! Partitions.

use std::collections::{BTreeMap, BTreeSet};

use broker_core::base::BaseBroker;
use broker_core::{Message, MessageId, Settled, partition_for_key};
use broker_inline::InlineConfig;

use crate::support::*;

fn partition_of(id: &MessageId) -> u32 {
    match id {
        MessageId::Offset { partition, .. } => *partition,
        other => panic!("{other} is no offset"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_has_its_partition_and_its_order() {
    let rig = Rig::new(InlineConfig::default().partitions(6));
    let keys: Vec<String> = (0..1_000).map(|number| format!("key-{number}")).collect();
    for round in 0..2 {
        let batch = keys
            .iter()
            .map(|key| Message::text(format!("{key} {round}")).key(key.clone()))
            .collect();
        let ids = rig.send(batch).await;
        for (key, id) in keys.iter().zip(&ids) {
            assert_eq!(partition_of(id), partition_for_key(key.as_bytes(), 6));
        }
        assert_eq!(ids.iter().map(partition_of).collect::<BTreeSet<_>>().len(), 6);
    }
    let one = member("one");
    let mut seen: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
    loop {
        let got = rig.read(&one, 100).await;
        if got.is_empty() {
            break;
        }
        assert!(
            rig.ack(&one, &got)
                .await
                .iter()
                .all(|settled| *settled == Settled::Acked)
        );
        for got in got {
            seen.entry(got.message.message_key().unwrap().to_vec())
                .or_default()
                .push(got.text);
        }
    }
    assert!(seen.len() == 1_000 && seen.values().all(|texts| texts.len() == 2 && texts.is_sorted()));
}

#[tokio::test(start_paused = true)]
async fn messages_without_a_key_are_spread() {
    let rig = Rig::new(InlineConfig::default().partitions(4));
    let mut ids = rig
        .send((0..100).map(|number| Message::text(number.to_string())).collect())
        .await;
    ids.extend(rig.count(100..200).await);
    let mut counts = [0; 4];
    ids.iter().for_each(|id| counts[partition_of(id) as usize] += 1);
    assert_eq!(counts, [50; 4]);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 200);
    let got = rig.read(&member("one"), 1_000).await;
    let read: BTreeSet<_> = got.iter().map(|got| got.id.clone()).collect();
    assert_eq!(read, ids.into_iter().collect());
}

#[tokio::test(start_paused = true)]
async fn partitions_are_shown_with_their_lag() {
    let rig = Rig::new(InlineConfig::default().partitions(3));
    rig.count(0..9).await;
    let one = member("one");
    rig.read(&one, 1).await;
    let partitions = rig.broker.families().partitions.unwrap();
    assert_eq!(partitions.count(&stream("s")).await.unwrap(), 3);
    let shown = partitions.assignments(&stream("s"), &group("g")).await.unwrap();
    assert_eq!(
        shown.iter().map(|info| info.partition).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert_eq!(shown.iter().map(|info| info.lag).sum::<u64>(), 8);
}

#[tokio::test(start_paused = true)]
async fn law_13_a_stream_is_bounded_as_a_whole() {
    let rig = Rig::new(InlineConfig::default().partitions(4).capacity(40));
    rig.count(0..200).await;
    let got = rig.read(&member("one"), 1_000).await;
    let numbers: BTreeSet<usize> = got.iter().map(|got| got.text.parse().unwrap()).collect();
    assert_eq!(numbers, (160..200).collect());
}
