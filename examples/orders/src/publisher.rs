//! A shop that keeps publishing.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Result;
use broker::prelude::*;
use fastrand::Rng;
use tokio::sync::watch;

use crate::STREAM;
use crate::ledger::Ledger;
use crate::order::{Cancelled, Order, Paid, Placed, Stamp};

/// How many customers the shop has: as many keys, each with an order of its own.
const CUSTOMERS: usize = 1000;

/// How many messages travel together.
const BATCH: usize = 50;

/// Publishes until all is published, `interrupts` says to stop, or nobody handles anything any more.
pub(crate) async fn publish(
    broker: &Broker,
    mut shop: Shop,
    messages: usize,
    ledger: &Arc<Ledger>,
    interrupts: &mut watch::Receiver<u32>,
) -> Result<()> {
    let publisher = broker.publisher(STREAM).build().await?;
    let mut next = 0;
    while next < messages {
        // A shop that is faster than its handlers only makes a queue; and what is under way is what Ctrl-C waits for.
        tokio::select! {
            biased;
            _ = interrupts.wait_for(|count| *count > 0) => break,
            has_room = ledger.has_room() => if !has_room { break },
        }
        let batch = BATCH.min(messages - next);
        let orders = (next..next + batch).map(|sequence| shop.order(sequence).to_message());
        let published = publisher.send_batch(orders.collect::<Result<_>>()?).await?;
        for (sequence, outcome) in (next..).zip(published.into_outcomes()) {
            ledger.published(sequence, &outcome);
        }
        next += batch;
    }
    Ok(())
}

/// Draws orders: who has an open order pays it, or now and then cancels it; who has none places one.
pub(crate) struct Shop {
    run: u64,
    random: Rng,
    customers: HashMap<usize, Customer>,
    orders: u64,
}

#[derive(Default)]
struct Customer {
    turn: u64,
    open: Option<(u64, u64)>,
}

impl Shop {
    pub(crate) fn new(run: u64, seed: u64) -> Self {
        Self {
            run,
            random: Rng::with_seed(seed),
            customers: HashMap::new(),
            orders: 0,
        }
    }

    fn order(&mut self, sequence: usize) -> Order {
        const ARTICLES: [&str; 4] = ["coffee", "tea", "cups", "a very large pot"];
        let random = &mut self.random;
        let customer = random.usize(..CUSTOMERS);
        let state = self.customers.entry(customer).or_default();
        state.turn += 1;
        let stamp = Stamp {
            run: self.run,
            sequence,
            customer,
            turn: state.turn,
        };
        match state.open.take() {
            Some((order, cents)) if random.u8(..10) > 0 => Order::Paid(Paid { stamp, order, cents }),
            Some((order, _)) => Order::Cancelled(Cancelled {
                stamp,
                order,
                reason: "found it cheaper".to_owned(),
            }),
            None => {
                self.orders += 1;
                let (order, cents) = (self.orders, random.u64(100..100_000));
                state.open = Some((order, cents));
                let article = random.choice(ARTICLES).unwrap_or_default().to_owned();
                Order::Placed(Placed {
                    stamp,
                    order,
                    article,
                    quantity: random.u32(1..10),
                    cents,
                })
            }
        }
    }
}
