//! Endpoints of the scripted adapter.

use std::sync::Arc;
use std::time::Duration;

use broker_core::base::BaseBroker as _;
use broker_core::base::{
    BoxFuture, Deliveries, Disposition, Endpoints, ListenRequest, Membership, Nack, PublishEndpoint,
    ReadEndpoint, Settle,
};
use broker_core::{Failure, Message, Published, ReceiptRun, Result, Settlements, StreamName, async_trait};

use super::script::Script;

#[async_trait]
impl Endpoints for Script {
    async fn publisher(&self, _: &StreamName) -> Result<Arc<dyn PublishEndpoint>> {
        Ok(Arc::new(self.clone()))
    }

    async fn reader(&self, member: &Membership) -> Result<Arc<dyn ReadEndpoint>> {
        self.step("reader", 0).await?;
        Ok(Arc::new(Reader {
            script: self.clone(),
            member: Some(member.clone()),
        }))
    }

    async fn listener(&self, _: &ListenRequest) -> Result<Arc<dyn ReadEndpoint>> {
        Ok(Arc::new(Reader {
            script: self.clone(),
            member: None,
        }))
    }
}

impl PublishEndpoint for Script {
    fn publish<'a>(&'a self, messages: &'a mut Vec<Message>) -> BoxFuture<'a, Result<Published>> {
        Box::pin(self.store(messages))
    }

    fn batches_in_flight(&self) -> usize {
        self.resolves.map_or(1, |resolves| resolves.in_flight)
    }
}

struct Reader {
    script: Script,
    member: Option<Membership>,
}

impl Reader {
    fn at_once(&self) -> bool {
        self.script.resolves.is_some_and(|resolves| resolves.at_once)
    }
}

impl ReadEndpoint for Reader {
    fn try_read(&self, max: usize) -> Option<Result<Deliveries>> {
        if !self.at_once() || self.script.state().ready.is_empty() {
            return None;
        }
        self.script.note("try_read", max);
        Some(Ok(self.script.deliveries(max)))
    }

    fn read(&self, max: usize, wait: Duration) -> BoxFuture<'_, Result<Deliveries>> {
        Box::pin(self.script.hand_out(max, wait))
    }

    fn try_ack(&self, runs: &[ReceiptRun]) -> Option<Result<Settlements>> {
        if !self.at_once() {
            return None;
        }
        self.script.note("try_ack", runs.len());
        Some(Ok(self.script.settled(runs, None)))
    }

    fn ack<'a>(&'a self, runs: &'a [ReceiptRun]) -> BoxFuture<'a, Result<Settlements>> {
        Box::pin(async move {
            let member = self.member.as_ref().unwrap();
            self.script.ack(Settle { member, runs }).await
        })
    }

    fn nack<'a>(
        &'a self,
        runs: &'a [ReceiptRun],
        disposition: Disposition,
        failure: &'a Failure,
    ) -> BoxFuture<'a, Result<Settlements>> {
        Box::pin(async move {
            let member = self.member.as_ref().unwrap();
            let nack = Nack {
                settle: Settle { member, runs },
                disposition,
                failure,
            };
            self.script.nack(nack).await
        })
    }

    fn try_give_back(&self, runs: &[ReceiptRun]) -> bool {
        if !self.at_once() {
            return false;
        }
        self.script
            .settled(runs, Some((Disposition::GiveBack, &String::new())));
        true
    }

    fn reads_ahead(&self) -> bool {
        self.script.resolves.is_some_and(|resolves| resolves.ahead)
    }

    fn settles(&self) -> bool {
        self.member.is_some()
    }
}
