//! Moving a group.

use broker_core::base::Replay;
use broker_core::{Error, ErrorKind, GroupName, Result, StartPosition, StreamName, async_trait};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer};
use tokio::sync::oneshot;

use crate::broker::Kafka;
use crate::groups::{asking, is_elsewhere};
use crate::orders::Order;
use crate::{error, offsets};

#[async_trait]
impl Replay for Kafka {
    async fn seek(&self, stream: &StreamName, group: &GroupName, position: &StartPosition) -> Result<()> {
        let client = self.client();
        let topic = client.topic(stream).await?;
        if let Some(session) = client.present_session(stream, group).await {
            session.wait_until_assigned(client.patience()).await?;
            let (answer, wait) = oneshot::channel();
            session.order(Order::Seek(position.clone(), answer));
            return wait.await.map_err(|_| left())?;
        }
        let position = position.clone();
        let places = client.places(stream, group, &topic).await?;
        asking(client, stream, group, move |consumer, within| {
            let known = offsets::committed(consumer, &places, &places.numbers(), within)?;
            if !known.iter().any(|found| found.exists) {
                return Err(Error::new(ErrorKind::NotFound, "there is no such group"));
            }
            let mut list = TopicPartitionList::new();
            for (number, start) in offsets::resolve_move(consumer, &places, &position, within)? {
                places.add(&mut list, number, start)?;
            }
            consumer
                .commit(&list, CommitMode::Sync)
                .map_err(|refused| match is_elsewhere(&refused) {
                    true => Error::new(
                        ErrorKind::Throttled,
                        "the group has members elsewhere, which would not notice; stop them first",
                    ),
                    false => error::from_kafka(&refused),
                })
        })
        .await
    }
}

fn left() -> Error {
    Error::new(ErrorKind::Connection, "the group was left meanwhile").retry(broker_core::Retry::Safe)
}
