//! Leases: the process's own clock ends them, and the message goes back to the queue.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use broker_core::base::{Disposition, Leases, Settle};
use broker_core::{Failure, Result, Settled, Settlements, async_trait};
use lapin::options::BasicNackOptions;
use tokio::time::Instant;

use crate::broker::RabbitMq;
use crate::client::{Client, lock};
use crate::config::QueueType;
use crate::consumer::Consumer;

/// How often leases are looked at, at most and at least.
const TICKS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

#[async_trait]
impl Leases for RabbitMq {
    async fn extend(&self, settle: Settle<'_>, by: Duration) -> Result<Settlements> {
        self.client().check_open()?;
        if self.is_log() {
            return Ok(self.logged(settle.member).await?.extend(settle.runs, by));
        }
        if self.is_ordered() {
            return Ok(self.ordered(settle.member).await?.extend(settle.runs, by));
        }
        let until = Instant::now() + by;
        let mut settlements = Settlements::all(Settled::Acked, 0);
        for receipt in settle.receipts() {
            let answer = match self.client().holder(settle.member, &receipt) {
                Err(answer) => answer,
                Ok(consumer) => {
                    let mut session = lock(&consumer.session);
                    match session.as_mut().filter(|session| session.fence == receipt.fence) {
                        Some(session) => session.ledger.extend(receipt.sequence, until),
                        None => Settled::Stale,
                    }
                }
            };
            settlements.push(answer);
        }
        Ok(settlements)
    }
}

/// Ends leases for as long as the broker lives.
pub(crate) async fn keep(client: Weak<Client>) {
    loop {
        let members = match client.upgrade() {
            Some(client) => client.members(),
            None => return,
        };
        let shortest = members.iter().map(|member| member.member.lease).min();
        for member in &members {
            member.end_leases().await;
        }
        drop(members);
        let tick = shortest.map_or(TICKS.1, |lease| lease / 10);
        tokio::time::sleep(tick.clamp(TICKS.0, TICKS.1)).await;
    }
}

impl Consumer {
    /// Gives up what was held for too long, and what came for a read that was dropped.
    async fn end_leases(self: &Arc<Self>) {
        if !self.subscribed.load(Ordering::Acquire) && self.reading.load(Ordering::Acquire) == 0 {
            // The read that the server sends for was dropped.
            if let Ok(_turn) = self.turn.try_lock() {
                self.stop_stream().await;
            }
        }
        self.memory.fade();
        self.end_if_lost();
        let (fence, channel, lapsed, unseen) = {
            let mut session = lock(&self.session);
            let Some(session) = &mut *session else { return };
            // A subscription's lease begins when it takes a message.
            let keeps_unseen = self.subscribed.load(Ordering::Acquire);
            let (lapsed, unseen) = session.ledger.lapsed(Instant::now(), keeps_unseen);
            (session.fence, session.channel.clone(), lapsed, unseen)
        };
        if !unseen.is_empty() {
            let _ = self.return_unseen(fence, unseen).await;
        }
        for (tag, held) in lapsed {
            let given_up = match self.client.config.queue_type {
                // The server counts it.
                QueueType::Quorum | QueueType::Stream => {
                    drop(held);
                    self.let_go(fence, tag);
                    let requeue = BasicNackOptions {
                        requeue: true,
                        multiple: false,
                    };
                    let gone = channel.basic_nack(tag, requeue).await;
                    gone.is_ok()
                }
                QueueType::Classic => {
                    let now = Disposition::Requeue {
                        delay: Duration::ZERO,
                    };
                    let given_up = self
                        .refuse(fence, vec![held], now, &Failure::new("the lease ended"))
                        .await;
                    given_up.is_ok()
                }
            };
            let mut session = lock(&self.session);
            if let Some(session) = session.as_mut().filter(|session| session.fence == fence) {
                session.ledger.end(tag, given_up);
            }
        }
    }

    fn let_go(&self, fence: u64, tag: u64) {
        let mut session = lock(&self.session);
        if let Some(session) = session.as_mut().filter(|session| session.fence == fence) {
            session.ledger.let_go(tag);
        }
    }
}
