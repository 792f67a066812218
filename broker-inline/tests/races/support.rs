//! Scenarios and what they are made of.

use std::sync::Arc;
use std::time::Duration;

use broker_core::base::{BaseBroker, Deliveries, Membership, OpenContext, PublishEndpoint, ReadEndpoint};
use broker_core::registry::ProviderConfig;
use broker_core::{ConsumerName, GroupName, Message, Ordering, ReceiptRun, StartPosition, StreamName};
use broker_inline::{InlineBroker, InlineConfig};
use shuttle::future::block_on;

pub(crate) const LEASE: Duration = Duration::from_secs(30);
pub(crate) const FOREVER: Duration = Duration::MAX;

/// Runs `scenario` under many random schedules, and under many that switch seldom and at awkward places.
pub(crate) fn check(scenario: impl Fn() + Send + Sync + 'static) {
    let scenario = Arc::new(scenario);
    let once = scenario.clone();
    shuttle::check_random(move || once(), 300);
    shuttle::check_pct(move || scenario(), 300, 3);
}

pub(crate) fn open(config: InlineConfig) -> InlineBroker {
    let context = OpenContext {
        name: Arc::from("default"),
        config: Arc::default(),
        consumer: ConsumerName::new("tester").unwrap(),
        events: Default::default(),
    };
    config.open(context).unwrap()
}

pub(crate) fn stream() -> StreamName {
    StreamName::new("s").unwrap()
}

pub(crate) fn member(name: &str) -> Membership {
    Membership {
        stream: stream(),
        group: GroupName::new("g").unwrap(),
        consumer: ConsumerName::new(name).unwrap(),
        start: StartPosition::Earliest,
        ordering: Ordering::Publish,
        lease: LEASE,
    }
}

pub(crate) fn publisher(broker: &InlineBroker) -> Arc<dyn PublishEndpoint> {
    block_on(broker.families().endpoints.unwrap().publisher(&stream())).unwrap()
}

pub(crate) fn reader(broker: &InlineBroker, name: &str) -> Arc<dyn ReadEndpoint> {
    block_on(broker.families().endpoints.unwrap().reader(&member(name))).unwrap()
}

pub(crate) fn numbers(deliveries: &Deliveries) -> Vec<usize> {
    deliveries
        .lots()
        .iter()
        .flat_map(|lot| (0..lot.len()).map(|index| lot.message(index).unwrap()))
        .map(|message| std::str::from_utf8(message.payload()).unwrap().parse().unwrap())
        .collect()
}

pub(crate) fn runs(deliveries: &Deliveries) -> Vec<ReceiptRun> {
    deliveries
        .lots()
        .iter()
        .flat_map(|lot| lot.runs_from(0))
        .collect()
}

pub(crate) fn publish(publisher: &Arc<dyn PublishEndpoint>, number: usize) {
    let mut message = Some(Message::text(number.to_string()));
    if publisher.try_publish_one(&mut message).is_none() {
        block_on(publisher.publish(&mut message.into_iter().collect())).unwrap();
    }
}
