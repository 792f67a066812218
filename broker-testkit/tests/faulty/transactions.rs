//! Transactions as far as one process needs them, and what goes wrong in them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use broker_core::base::{DynBroker, PublishBatch, Transact, Transactions, Work};
use broker_core::{Error, ErrorKind, Published, Result, Settled, TransactorName, async_trait};

use super::broker::FaultyBroker;
use super::fault::Fault;

/// Who opened each transactor last; names are unique, so all brokers of this process share it.
static OPENED: LazyLock<Mutex<BTreeMap<String, u64>>> = LazyLock::new(Mutex::default);

struct Transactor {
    inner: Arc<dyn DynBroker>,
    fault: Option<Fault>,
    name: String,
    number: u64,
    turn: tokio::sync::Mutex<()>,
}

#[async_trait]
impl Transactions for FaultyBroker {
    async fn transactor(&self, name: &TransactorName) -> Result<Arc<dyn Transact>> {
        let mut opened = OPENED.lock().unwrap();
        let number = opened.entry(name.to_string()).or_default();
        *number += 1;
        Ok(Arc::new(Transactor {
            inner: Arc::clone(&self.inner),
            fault: self.fault,
            name: name.to_string(),
            number: *number,
            turn: tokio::sync::Mutex::default(),
        }))
    }
}

#[async_trait]
impl Transact for Transactor {
    async fn commit(&self, work: Work<'_>) -> Result<Vec<Published>> {
        let _turn = self.turn.lock().await;
        let current = OPENED.lock().unwrap().get(&self.name).copied();
        if current != Some(self.number) && self.fault != Some(Fault::ForgetsFences) {
            return Err(Error::new(
                ErrorKind::Fenced,
                "another one opened this transactor",
            ));
        }
        if self.fault != Some(Fault::TransactsInParts) {
            let leases = self.inner.families().leases.unwrap();
            for settle in work.settle {
                // What can be held for longer can be settled.
                let held = leases.extend(*settle, Duration::from_secs(5)).await?;
                if held.iter().any(|settled| settled != Settled::Acked) {
                    return Err(Error::new(ErrorKind::Stale, "a delivery is not in hand"));
                }
            }
        }
        let mut published = Vec::new();
        for (stream, messages) in work.publish {
            let batch = &mut messages.clone();
            published.push(self.inner.publish(PublishBatch::new(stream, batch)).await?);
        }
        if self.fault != Some(Fault::TransactsPublishesOnly) {
            for settle in work.settle {
                let settled = self.inner.ack(*settle).await?;
                if !settled.is_complete() {
                    return Err(Error::new(ErrorKind::Stale, "a delivery was not in hand"));
                }
            }
        }
        Ok(published)
    }
}
