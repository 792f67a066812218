//! Private servers as the suite controls them.

use broker_core::{Error, ErrorKind, Result, async_trait};

use super::{KafkaServer, RedisServer};
use crate::ServerControl;

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

/// Does what blocks apart from the runtime's own threads.
async fn blocking<S: Clone + Send + 'static>(
    server: &S,
    work: impl FnOnce(&S) -> Result<()> + Send + 'static,
) -> Result<()> {
    let server = server.clone();
    match tokio::task::spawn_blocking(move || work(&server)).await {
        Ok(answer) => answer,
        Err(error) => Err(Error::new(ErrorKind::Unexpected, "controlling the server failed").source(error)),
    }
}
