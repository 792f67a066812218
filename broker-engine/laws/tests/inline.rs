//! The laws on the in-process broker, with a paused clock.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::process::ExitCode;
use std::time::Duration;

use broker::inline::InlineConfig;
use broker::prelude::*;
use broker::{Brokers, Selection};
use engine_laws::{Barred, Kind};
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use tokio::runtime::Builder;

struct Inline;

impl Kind for Inline {
    fn open(&self, law: &'static str) -> Brokers {
        let config = InlineConfig::default().shared(law).max_dead_letters(100);
        Brokers::builder().default(config).build().unwrap()
    }

    /// Fills them up.
    fn bar<'a>(&'a self, barred: &'a Barred) -> LocalBoxFuture<'a, ()> {
        let fill = async move {
            let (broker, wait) = (barred.brokers.default_broker(), Duration::from_secs(1));
            loop {
                let filler = Message::text("in the way");
                broker.publish(barred.stream, filler).await.unwrap();
                let deliveries = broker.receive_many(barred.stream, barred.group, 1, wait).await;
                let delivery = deliveries.unwrap().pop().unwrap();
                if delivery
                    .nack_with(NackOptions::new().dead_letter())
                    .await
                    .is_err()
                {
                    delivery.ack().await.unwrap();
                    break;
                }
            }
        };
        fill.boxed_local()
    }

    fn unbar<'a>(&'a self, barred: &'a Barred) -> LocalBoxFuture<'a, ()> {
        let letters = barred
            .brokers
            .default_broker()
            .dead_letters(barred.stream, barred.group);
        async move { assert_eq!(letters.unwrap().purge(&Selection::All).await.unwrap(), 100) }.boxed_local()
    }
}

fn main() -> ExitCode {
    let paused = || {
        Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
    };
    engine_laws::hold(paused, Inline)
}
