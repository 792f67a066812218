//! Private servers as the suite controls them.

use broker_core::{Error, ErrorKind, Result, async_trait};

use super::{KafkaServer, RabbitMqServer, RedisServer};
use crate::ServerControl;
use crate::torture::{Position, Positions};

#[async_trait]
impl ServerControl for RedisServer {
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
        // The suite's word for it.
        let key = if key == "fsync" { "appendfsync" } else { key };
        let words = [
            "CONFIG".to_owned(),
            "SET".to_owned(),
            key.to_owned(),
            value.to_owned(),
        ];
        blocking(self, move |server| server.command(&words).map(drop)).await
    }
}

#[async_trait]
impl ServerControl for KafkaServer {
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

    async fn configure(&self, key: &str, _: &str) -> Result<()> {
        // What was answered is with the kernel, which outlives the process: there is nothing to sync for a kill.
        if key == "fsync" {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unexpected,
            format!(
                "the private Kafka broker knows no setting `{key}` while it runs; give it a line at its start"
            ),
        ))
    }
}

#[async_trait]
impl Positions for KafkaServer {
    async fn positions(&self, stream: &str, group: &str) -> Result<Vec<Position>> {
        // What a group is called on the server.
        let group = format!("{stream}/{group}");
        blocking(self, move |server| Self::positions(server, &group)).await
    }
}

#[async_trait]
impl ServerControl for RabbitMqServer {
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
        match key {
            // What was confirmed is with the kernel, which outlives the process: there is nothing to sync for a kill.
            "fsync" => Ok(()),
            "memory_alarm" => {
                let raised = value == "on";
                blocking(self, move |server| server.memory_alarm(raised)).await
            }
            _ => Err(Error::new(
                ErrorKind::Unexpected,
                format!(
                    "the private RabbitMQ server knows no setting `{key}` while it runs; give it a line at its start"
                ),
            )),
        }
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
