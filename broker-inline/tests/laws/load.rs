//! Many at once, on two threads and with the real clock: laws 3, 4 and 13.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use broker_core::base::{BaseBroker, Disposition};
use broker_core::{Failure, Message};
use broker_inline::InlineConfig;

use crate::support::*;

/// The attempts of each message, by group and text.
type Seen = HashMap<(String, String), Vec<u32>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn law_3_four_publishers_and_four_consumers_of_two_groups_lose_and_double_nothing() {
    const EACH: usize = 5_000;
    let rig = Rig::new(InlineConfig::default().capacity(1_000).partitions(3));
    let endpoints = rig.broker.families().endpoints.unwrap();
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let mut tasks = Vec::new();
    let left = Arc::new(AtomicUsize::new(2 * 4 * EACH));
    for of in ["g", "h"] {
        for name in ["a", "b", "c", "d"] {
            let reader = endpoints.reader(&member_of(of, name)).await.unwrap();
            let (seen, left) = (seen.clone(), left.clone());
            tasks.push(tokio::spawn(async move {
                while left.load(Ordering::Relaxed) > 0 {
                    let got = unpack(&reader.read(50, ms(20)).await.unwrap());
                    // Every seventh message fails at its first attempt.
                    let fails = |got: &Got| got.receipt.attempt == 1 && got.text.ends_with('7');
                    let (bad, good): (Vec<_>, Vec<_>) = got.into_iter().partition(fails);
                    let requeue = Disposition::Requeue { delay: ms(1) };
                    let settled = reader
                        .nack(&runs(&bad), requeue, &Failure::default())
                        .await
                        .unwrap();
                    assert!(settled.is_complete());
                    let settled = reader.ack(&runs(&good)).await.unwrap();
                    assert!(settled.is_complete());
                    left.fetch_sub(good.len(), Ordering::Relaxed);
                    let mut seen = seen.lock().unwrap();
                    for got in bad.into_iter().chain(good) {
                        seen.entry((of.to_owned(), got.text))
                            .or_default()
                            .push(got.receipt.attempt);
                    }
                }
            }));
        }
    }
    for publisher in 0..4 {
        let endpoint = endpoints.publisher(&stream("s")).await.unwrap();
        tasks.push(tokio::spawn(async move {
            for number in 0..EACH {
                let mut message = Some(Message::text(format!("{publisher}-{number}")));
                if endpoint.try_publish_one(&mut message).is_none() {
                    endpoint
                        .publish(&mut message.into_iter().collect())
                        .await
                        .unwrap();
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2 * 4 * EACH);
    for ((_, text), attempts) in &*seen {
        let mut attempts = attempts.clone();
        attempts.sort_unstable();
        let expected: &[u32] = if text.ends_with('7') { &[1, 2] } else { &[1] };
        assert_eq!(attempts, expected, "{text}");
    }
}
