//! Streams as an operator sees them.

use broker_core::base::Streams;
use broker_core::{MessageId, Result, StreamInfo, StreamName, async_trait};
use rdkafka::admin::AdminOptions;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;

use crate::broker::Kafka;
use crate::{error, groups, names, offsets};

#[async_trait]
impl Streams for Kafka {
    async fn list(&self) -> Result<Vec<StreamName>> {
        let topics = self.client().ask(|asker, within| {
            let metadata = asker.fetch_metadata(None, within)?;
            Ok(metadata
                .topics()
                .iter()
                .filter_map(|topic| names::stream(topic.name()))
                .collect())
        });
        let mut streams: Vec<StreamName> = topics.await?;
        streams.sort();
        Ok(streams)
    }

    async fn info(&self, stream: &StreamName) -> Result<Option<StreamInfo>> {
        let client = self.client();
        let Some(topic) = client.find_topic(stream).await? else {
            return Ok(None);
        };
        let asked = topic.clone();
        let marks = client.ask(move |asker, within| {
            let marks =
                (0..asked.partitions).map(|number| offsets::watermarks(asker, &asked.name, number, within));
            Ok(marks.collect::<Result<Vec<_>>>())
        });
        let marks = marks.await??;
        let mut info = StreamInfo {
            stream: stream.clone(),
            messages: 0,
            partitions: topic.partitions,
            first: None,
            last: None,
        };
        for (number, (low, high)) in (0..).zip(marks) {
            if low >= high {
                continue;
            }
            let id = |offset| MessageId::Offset {
                partition: number,
                offset,
            };
            info.messages += high - low;
            info.first = info.first.or_else(|| Some(id(low)));
            info.last = Some(id(high - 1));
        }
        Ok(Some(info))
    }

    async fn delete(&self, stream: &StreamName) -> Result<bool> {
        let client = self.client();
        client.forget_topic(stream);
        let Some(topic) = client.find_topic(stream).await? else {
            return Ok(false);
        };
        client.sessions.leave_stream(stream).await;
        let asked = stream.clone();
        let beside = client.ask(move |asker, within| {
            let metadata = asker.fetch_metadata(None, within)?;
            let topics = metadata.topics().iter().map(|topic| topic.name());
            Ok(topics
                .filter(|topic| names::may_be_beside(topic, &asked))
                .map(str::to_owned)
                .collect::<Vec<_>>())
        });
        let beside = beside.await?;
        let groups = groups::names(client, stream).await?;
        let admin = client.admin().await?;
        let options = AdminOptions::new()
            .request_timeout(Some(client.patience()))
            .operation_timeout(Some(client.patience()));
        let mut topics = vec![topic.name.as_str()];
        // Another stream's name may begin like this one's: only topics of this stream's own groups are its own.
        let own: Vec<_> = groups
            .iter()
            .flat_map(|group| [names::dead_letters(stream, group), names::retry(stream, group)])
            .collect();
        topics.extend(
            beside
                .iter()
                .filter(|name| own.contains(name))
                .map(String::as_str),
        );
        let answers = admin.delete_topics(&topics, &options).await;
        let answers = answers.map_err(|error| error::from_kafka(&error))?;
        client.forget_topic(stream);
        let mut removed = false;
        for answer in answers {
            match answer {
                Ok(name) => removed |= name == topic.name,
                Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((name, code)) => return Err(error::from_code(code).with("topic", name)),
            }
        }
        let ids: Vec<_> = groups
            .iter()
            .map(|group| names::group_id(stream, group))
            .collect();
        if !ids.is_empty() {
            let ids: Vec<_> = ids.iter().map(String::as_str).collect();
            // A group that has members elsewhere is theirs to leave; without the topic it has nothing left to read.
            let _ = admin.delete_groups(&ids, &options).await;
        }
        Ok(removed)
    }
}
