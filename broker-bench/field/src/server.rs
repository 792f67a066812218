//! The servers: each private to a run.

use std::any::Any;

use anyhow::Result;
use broker_bench::results::Contest;
use broker_testkit::servers::{KafkaConfig, RabbitMqConfig, RedisConfig};
use clap::ValueEnum;

use crate::contest::{self, Entrant, Latencies, Task};
use crate::{inline, kafka, memory, rabbitmq, redis};

/// Where messages go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Server {
    Inline,
    Redis,
    #[value(name = "rabbitmq")]
    RabbitMq,
    Kafka,
}

/// A server that runs as long as this lives.
struct Running {
    place: String,
    version: Option<String>,
    _server: Box<dyn Any>,
}

impl Running {
    fn new(place: String, version: String, server: impl Any) -> Self {
        Self {
            place,
            version: Some(version),
            _server: Box::new(server),
        }
    }
}

impl Server {
    pub const ALL: [Self; 4] = [Self::Inline, Self::Redis, Self::RabbitMq, Self::Kafka];

    pub fn name(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Redis => "redis",
            Self::RabbitMq => "rabbitmq",
            Self::Kafka => "kafka",
        }
    }

    /// What the raw client is.
    fn raw(self) -> &'static str {
        match self {
            Self::Inline => "flume",
            Self::Redis => "redis",
            Self::RabbitMq => "lapin",
            Self::Kafka => "rdkafka",
        }
    }

    fn start(self) -> Result<Running> {
        Ok(match self {
            Self::Inline => Running {
                place: String::new(),
                version: None,
                _server: Box::new(()),
            },
            Self::Redis => {
                let server = RedisConfig::new().start()?;
                Running::new(server.url(), server.version().to_string(), server)
            }
            Self::RabbitMq => {
                let server = RabbitMqConfig::new().start()?;
                contest::on_a_runtime(rabbitmq::prepare(server.url()))?;
                Running::new(server.url(), server.version().to_string(), server)
            }
            Self::Kafka => {
                let server = KafkaConfig::new()
                    .line("log.segment.delete.delay.ms=100")
                    .line("offsets.topic.num.partitions=1")
                    .start()?;
                kafka::prepare(&server.bootstrap_servers())?;
                Running::new(server.bootstrap_servers(), server.version().to_string(), server)
            }
        })
    }

    /// The pieces of work on the server at `place`.
    pub fn tasks(self, place: &str) -> Vec<Task> {
        match self {
            Self::Inline => inline::tasks(),
            Self::Redis => redis::tasks(place),
            Self::RabbitMq => rabbitmq::tasks(place),
            Self::Kafka => kafka::tasks(place),
        }
    }

    fn latencies(self, place: &str) -> Vec<Entrant<Latencies>> {
        match self {
            Self::Inline => Vec::new(),
            Self::Redis => redis::latencies(place),
            Self::RabbitMq => rabbitmq::latencies(place),
            Self::Kafka => kafka::latencies(place),
        }
    }

    /// Measures all, or what has `only` in its name.
    pub fn measure(self, rounds: usize, only: &[String]) -> Result<Contest> {
        let running = self.start()?;
        let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
        let mut tasks = self.tasks(&running.place);
        tasks.retain(|task| wanted(task.name));
        let mut works = contest::measure(&tasks, rounds)?;
        let latencies = self.latencies(&running.place);
        if wanted("latency") && !latencies.is_empty() {
            works.extend(contest::latencies(&latencies, rounds.min(3))?);
        }
        if wanted("memory") {
            works.extend(memory::measure(self, &running.place)?);
        }
        Ok(Contest {
            server: self.name().to_owned(),
            version: running.version,
            raw: self.raw().to_owned(),
            rounds,
            works,
        })
    }
}
