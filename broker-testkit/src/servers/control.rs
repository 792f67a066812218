//! Private servers as the suite controls them.

use broker_core::{Error, ErrorKind, Result, async_trait};

use super::{KafkaServer, RabbitMqServer, RedisServer};
use crate::ServerControl;
use crate::torture::{Position, Positions};

/// Has the suite control a server that is one process by the server's own methods.
macro_rules! controlled {
    ($server:ty, $configure:path) => {
        #[async_trait]
        impl ServerControl for $server {
            async fn start(&self) -> Result<()> {
                blocking(self, Self::restart).await
            }

            async fn stop(&self) -> Result<()> {
                blocking(self, Self::stop).await
            }

            async fn kill(&self) -> Result<()> {
                blocking(self, Self::kill).await
            }

            async fn pause(&self) -> Result<()> {
                Self::pause(self)
            }

            async fn resume(&self) -> Result<()> {
                Self::resume(self)
            }

            async fn configure(&self, key: &str, value: &str) -> Result<()> {
                let (key, value) = (key.to_owned(), value.to_owned());
                blocking(self, move |server| $configure(server, &key, &value)).await
            }
        }
    };
}

controlled!(RedisServer, configure_redis);
controlled!(KafkaServer, configure_kafka);
controlled!(RabbitMqServer, configure_rabbitmq);

fn configure_redis(server: &RedisServer, key: &str, value: &str) -> Result<()> {
    // The suite's word for it.
    let key = if key == "fsync" { "appendfsync" } else { key };
    server.command(&["CONFIG", "SET", key, value]).map(drop)
}

fn configure_kafka(_: &KafkaServer, key: &str, _: &str) -> Result<()> {
    match key {
        // What was answered is with the kernel, which outlives the process: there is nothing to sync for a kill.
        "fsync" => Ok(()),
        _ => Err(unknown("Kafka broker", key)),
    }
}

fn configure_rabbitmq(server: &RabbitMqServer, key: &str, value: &str) -> Result<()> {
    match key {
        // What was confirmed is with the kernel, which outlives the process: there is nothing to sync for a kill.
        "fsync" => Ok(()),
        "memory_alarm" => server.memory_alarm(value == "on"),
        _ => Err(unknown("RabbitMQ server", key)),
    }
}

fn unknown(server: &str, key: &str) -> Error {
    let line =
        format!("the private {server} knows no setting `{key}` while it runs; give it a line at its start");
    Error::new(ErrorKind::Unexpected, line)
}

#[async_trait]
impl Positions for KafkaServer {
    async fn positions(&self, stream: &str, group: &str) -> Result<Vec<Position>> {
        // What a group is called on the server.
        let group = format!("{stream}/{group}");
        blocking(self, move |server| Self::positions(server, &group)).await
    }
}

/// Does what blocks apart from the runtime's own threads.
async fn blocking<S: Clone + Send + 'static, T: Send + 'static>(
    server: &S,
    work: impl FnOnce(&S) -> Result<T> + Send + 'static,
) -> Result<T> {
    let server = server.clone();
    match tokio::task::spawn_blocking(move || work(&server)).await {
        Ok(answer) => answer,
        Err(error) => Err(Error::new(ErrorKind::Unexpected, "controlling the server failed").source(error)),
    }
}
