//! Leases and their extension.

use broker_core::Settled;
use broker_core::base::{BaseBroker, Settle};
use broker_inline::InlineConfig;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn an_extended_lease_keeps_the_message_with_its_consumer() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..2).await;
    let (one, two) = (member("one"), member("two"));
    let got = rig.read(&one, 2).await;
    let leases = rig.broker.families().leases.unwrap();
    for _ in 0..3 {
        tokio::time::advance(LEASE - secs(1)).await;
        let kept = runs(&got[..1]);
        let settle = Settle {
            member: &one,
            runs: &kept,
        };
        assert_eq!(
            leases.extend(settle, LEASE).await.unwrap().get(0),
            Some(Settled::Acked)
        );
    }
    let others = rig.read(&two, 5).await;
    assert_eq!((texts(&others), attempts(&others)), (vec!["1"], vec![2]));
    let kept = runs(&got[1..]);
    let settle = Settle {
        member: &one,
        runs: &kept,
    };
    assert_eq!(
        leases.extend(settle, LEASE).await.unwrap().get(0),
        Some(Settled::Stale)
    );
    assert_eq!(rig.ack(&one, &got[..1]).await, [Settled::Acked]);
    tokio::time::advance(LEASE * 2).await;
    assert_eq!(texts(&rig.read(&two, 5).await), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn extending_never_shortens() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..1).await;
    let one = member("one");
    let got = rig.read(&one, 1).await;
    let leases = rig.broker.families().leases.unwrap();
    let all = runs(&got);
    leases
        .extend(
            Settle {
                member: &one,
                runs: &all,
            },
            secs(1),
        )
        .await
        .unwrap();
    tokio::time::advance(LEASE - ms(1)).await;
    assert_eq!(rig.ack(&one, &got).await, [Settled::Acked]);
}

#[tokio::test(start_paused = true)]
async fn each_consumer_has_the_lease_it_asked_for() {
    let rig = Rig::new(InlineConfig::default());
    rig.count(0..2).await;
    let mut short = member("short");
    short.lease = secs(1);
    let long = member("long");
    let kept = rig.read(&long, 1).await;
    rig.read(&short, 1).await;
    tokio::time::advance(secs(1)).await;
    assert_eq!(texts(&rig.read(&long, 5).await), ["1"]);
    assert_eq!(rig.ack(&long, &kept).await, [Settled::Acked]);
}
