//! Brokers that share streams, and brokers that do not.

use broker_core::base::BaseBroker;
use broker_core::registry::ProviderConfig;
use broker_core::{ErrorKind, Settled};
use broker_inline::InlineConfig;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn brokers_of_one_shared_name_have_the_same_streams() {
    let config = InlineConfig::default().shared("sharing-same");
    let (here, there) = (Rig::new(config.clone()), Rig::new(config));
    let one = member("one");
    here.publish(&["a"]).await;
    let got = there.read(&one, 5).await;
    assert_eq!(texts(&got), ["a"]);
    assert_eq!(here.ack(&one, &got).await, [Settled::Acked]);

    // Closing one leaves the other open, with what it waits for.
    let waiting = tokio::spawn({
        let there = there.clone();
        async move { there.wait(&member("one"), 5, secs(60)).await }
    });
    tokio::time::sleep(secs(1)).await;
    here.broker.close().await.unwrap();
    assert_eq!(here.broker.ping().await.unwrap_err().kind(), ErrorKind::Closed);
    tokio::time::sleep(secs(1)).await;
    there.publish(&["b"]).await;
    assert_eq!(texts(&waiting.await.unwrap()), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn brokers_without_a_shared_name_have_streams_of_their_own() {
    let (here, there) = (
        Rig::new(InlineConfig::default()),
        Rig::new(InlineConfig::default()),
    );
    here.publish(&["a"]).await;
    assert!(there.read(&member("one"), 5).await.is_empty());
    here.broker.close().await.unwrap();
    there.broker.ping().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_groups_position_outlives_the_broker_that_made_it() {
    let config = InlineConfig::default().shared("sharing-position");
    let keeper = Rig::new(config.clone());
    let first = Rig::new(config.clone());
    let one = member("one");
    first.count(0..4).await;
    let got = first.read(&one, 3).await;
    first.ack(&one, &got[..2]).await;
    first.broker.close().await.unwrap();
    drop(first);
    let second = Rig::new(config);
    assert_eq!(texts(&second.read(&one, 5).await), ["3"]);
    tokio::time::advance(LEASE).await;
    let again = second.read(&one, 5).await;
    assert_eq!((texts(&again), attempts(&again)), (vec!["2", "3"], vec![2, 2]));
    drop(keeper);
}

#[tokio::test(start_paused = true)]
async fn a_shared_state_has_one_set_of_bounds() {
    let _first = Rig::new(InlineConfig::default().shared("sharing-bounds"));
    let other = InlineConfig::default().shared("sharing-bounds").partitions(2);
    let error = other.open(context("second")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        error
            .message()
            .starts_with("shared: another broker has opened the state `sharing-bounds`")
    );
}
