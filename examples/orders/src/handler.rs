//! A worker of a group: takes orders one by one, and acknowledges or refuses each.

use std::sync::Arc;

use anyhow::Result;
use broker::prelude::*;
use fastrand::Rng;
use tokio::sync::watch;

use crate::ledger::Ledger;
use crate::order::{Order, Stamp};
use crate::plan::Plan;
use crate::{GROUPS, STREAM};

/// Of those that fail, the share that fails for good.
const POISON: f64 = 0.05;

/// How many deliveries a worker holds unsettled at most.
const PREFETCH: usize = 64;

/// A worker of a group.
#[derive(Clone)]
pub(crate) struct Worker {
    /// The group's place in [`GROUPS`].
    pub(crate) group: usize,
    pub(crate) plan: Plan,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) run: u64,
    pub(crate) seed: u64,
    pub(crate) failures: f64,
}

/// Why an order could not be handled.
enum Failure {
    /// It may well work the next time.
    Passing(&'static str),
    /// It never will.
    Final(String),
}

impl Worker {
    /// Joins the group; it is there when this returns.
    pub(crate) async fn join(&self, broker: &Broker, number: u64) -> Result<Subscription> {
        let group = GROUPS.get(self.group).copied().unwrap_or_default();
        let mut joining = broker
            .subscribe(STREAM, group)
            .consumer(format!("{group}-{number}"))
            .prefetch(PREFETCH);
        if self.plan.sequential {
            joining = joining.sequential();
        }
        Ok(joining.start().await?)
    }

    /// Handles what comes, until `done`.
    pub(crate) async fn work(self, mut orders: Subscription, mut done: watch::Receiver<bool>) -> Result<()> {
        loop {
            let delivery = tokio::select! {
                biased;
                _ = done.wait_for(|done| *done) => break,
                next = orders.next() => match next {
                    Some(delivery) => delivery?,
                    None => break,
                },
            };
            self.take(delivery).await?;
        }
        Ok(orders.close().await?)
    }

    async fn take(&self, delivery: Delivery) -> Result<()> {
        let order = match Order::from_message(&delivery) {
            Ok(order) if order.stamp().run == self.run => order,
            // A broker with a memory still holds the orders of an earlier run, which nobody waits for.
            Ok(_) => return self.acknowledge(&delivery).await,
            Err(error) if self.plan.nacks => {
                delivery
                    .nack_with(NackOptions::new().reason(error.to_string()).dead_letter())
                    .await?;
                return Ok(());
            }
            Err(_) => return self.acknowledge(&delivery).await,
        };
        let stamp = order.stamp();
        let mut attempt = delivery.attempt();
        loop {
            self.ledger.arrived(self.group, &stamp, attempt);
            match self.handle(&order, attempt) {
                Ok(()) => {
                    self.ledger.handled(self.group, &stamp);
                    return self.acknowledge(&delivery).await;
                }
                Err(failure) if self.plan.nacks => return self.refuse(&delivery, &stamp, failure).await,
                Err(Failure::Passing(_)) if attempt < self.plan.max_attempts => attempt += 1,
                Err(_) => {
                    self.ledger.gave_up(self.group, &stamp);
                    return self.acknowledge(&delivery).await;
                }
            }
        }
    }

    async fn acknowledge(&self, delivery: &Delivery) -> Result<()> {
        if self.plan.acks {
            delivery.ack().await?;
        }
        Ok(())
    }

    async fn refuse(&self, delivery: &Delivery, stamp: &Stamp, failure: Failure) -> Result<()> {
        let options = match failure {
            // The broker waits, hands it out again, and gives up after the last attempt.
            Failure::Passing(reason) => {
                if delivery.attempt() >= self.plan.max_attempts {
                    self.ledger.gave_up(self.group, stamp);
                }
                NackOptions::new().reason(reason)
            }
            Failure::Final(reason) => {
                self.ledger.gave_up(self.group, stamp);
                NackOptions::new().reason(reason).dead_letter()
            }
        };
        delivery.nack_with(options).await?;
        Ok(())
    }

    /// What a real service would do here. Failures are drawn from seed, group and order: each run has the same.
    fn handle(&self, order: &Order, attempt: u32) -> Result<(), Failure> {
        let what = match order {
            Order::Placed(placed) if placed.cents == 0 => {
                return Err(Failure::Final(format!("order {} is for free", placed.order)));
            }
            Order::Placed(_) => "the warehouse does not answer",
            Order::Paid(_) => "the bank does not answer",
            Order::Cancelled(_) => "the archive does not answer",
        };
        let fate = (order.stamp().sequence * GROUPS.len() + self.group) as u64;
        let mut random = Rng::with_seed(self.seed ^ fate.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let draw = random.f64();
        if draw >= self.failures {
            return Ok(());
        }
        if draw < self.failures * POISON {
            return Err(if random.bool() {
                Failure::Final("the customer is not known".to_owned())
            } else {
                Failure::Passing("the article can't be found")
            });
        }
        if attempt <= random.u32(1..=2) {
            Err(Failure::Passing(what))
        } else {
            Ok(())
        }
    }
}
