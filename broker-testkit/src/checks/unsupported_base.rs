//! The negative twins on the adapter itself, which the broker above it would answer for.

use std::time::Duration;

use broker_core::base::{DynBroker, Membership, Nack, PublishBatch, ReadRequest, Settle};
use broker_core::{
    Capabilities, ConsumerName, Failure, GroupName, Message, Ordering, Receipt, ReceiptRun, StartPosition,
    StreamName,
};

use crate::check::check;
use crate::{CheckResult, Gate, Options, Trial, unsupported};

const ABOUT: Capabilities = Capabilities::PUBLISH
    .union(Capabilities::CONSUMER_GROUPS)
    .union(Capabilities::ACK_NACK);

check!(
    base,
    "caps.unsupported.base",
    Quick,
    Gate::ANY,
    "The adapter itself refuses what it does not claim: publish, read, ack and nack."
);

async fn base(t: &Trial) -> CheckResult {
    let base = t.harness().open_base(&Options::new())?;
    base.ensure_connection().await?;
    let answer = refuses(t, &*base).await;
    base.close().await?;
    answer
}

async fn refuses(t: &Trial, base: &dyn DynBroker) -> CheckResult {
    let absent = ABOUT - base.capabilities();
    let provider = t.harness().provider().name();
    let member = Membership {
        stream: StreamName::new(t.stream("a"))?,
        group: GroupName::new(t.group("g"))?,
        consumer: ConsumerName::new("c")?,
        start: StartPosition::Earliest,
        ordering: Ordering::Publish,
        lease: Duration::from_secs(60),
    };
    let runs = [ReceiptRun::from(Receipt {
        attempt: 1,
        ..Receipt::default()
    })];
    let settle = Settle {
        member: &member,
        runs: &runs,
    };
    let named = |error: broker_core::Error| error.provider(provider);
    if absent.contains(Capabilities::PUBLISH) {
        let mut messages = vec![Message::text("x")];
        let call = base.publish(PublishBatch::new(&member.stream, &mut messages));
        let call = async { call.await.map_err(named) };
        unsupported(Capabilities::PUBLISH, provider, "publish", call).await?;
    }
    if absent.contains(Capabilities::CONSUMER_GROUPS) {
        let request = ReadRequest {
            member: &member,
            max: 1,
            wait: Duration::ZERO,
        };
        let call = async { base.read(request).await.map_err(named) };
        unsupported(Capabilities::CONSUMER_GROUPS, provider, "read", call).await?;
    }
    if absent.contains(Capabilities::MESSAGE_ACKNOWLEDGEMENT) {
        let call = async { base.ack(settle).await.map_err(named) };
        unsupported(Capabilities::MESSAGE_ACKNOWLEDGEMENT, provider, "ack", call).await?;
    }
    if absent.contains(Capabilities::MESSAGE_REJECTION) {
        let failure = Failure::default();
        let nack = Nack {
            settle,
            disposition: broker_core::base::Disposition::Discard,
            failure: &failure,
        };
        let call = async { base.nack(nack).await.map_err(named) };
        unsupported(Capabilities::MESSAGE_REJECTION, provider, "nack", call).await?;
    }
    Ok(())
}
