//! What comes too late.

use std::time::Duration;

use broker_core::Settled;
use broker_testkit::{NetProxy, TcpProxy};

use crate::scene::{open, open_at, publish, server, take};

/// Law 5: an ack that was sent in time and arrives after another member took over does not touch that delivery.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ack_that_is_late_on_its_way_is_stale() {
    const LEASE: Duration = Duration::from_secs(2);
    let server = server();
    let proxy = TcpProxy::start(([127, 0, 0, 1], server.port()).into()).unwrap();
    let slow = open_at(
        &server.url_at(proxy.port()),
        "consumer=slow&message_timeout=2s&operation_retries=0",
    );
    let quick = open(&server, "consumer=quick&message_timeout=2s");
    // Twice, so that its connections are there and the token for plain acks is known.
    for round in 0..2 {
        publish(&slow, "orders", round..round + 1).await;
        take(&slow, "orders", "billing", 1)
            .await
            .remove(0)
            .ack()
            .await
            .unwrap();
    }
    publish(&slow, "orders", 2..3).await;
    let late = take(&slow, "orders", "billing", 1).await.remove(0);
    proxy.delay(LEASE * 2).await.unwrap();
    let acking = tokio::spawn(async move { late.ack().await });
    let taken = take(&quick, "orders", "billing", 1).await.remove(0);
    assert_eq!(taken.attempt(), 2);
    let settled = acking.await.unwrap();
    assert!(
        !matches!(settled, Ok(Settled::Acked | Settled::AlreadySettled)),
        "{settled:?}"
    );
    assert_eq!(taken.ack().await.unwrap(), Settled::Acked);
}
