//! Private servers as the suite controls them.

use broker_core::{Error, ErrorKind, Result, async_trait};

use super::RedisServer;
use crate::ServerControl;

#[async_trait]
impl ServerControl for RedisServer {
    async fn start(&self) -> Result<()> {
        self.blocking(Self::restart).await
    }

    async fn stop(&self) -> Result<()> {
        self.blocking(Self::stop).await
    }

    async fn kill(&self) -> Result<()> {
        self.blocking(Self::kill).await
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
        self.blocking(move |server| server.command(&words).map(drop))
            .await
    }
}

impl RedisServer {
    /// Does what blocks apart from the runtime's own threads.
    async fn blocking(&self, work: impl FnOnce(&Self) -> Result<()> + Send + 'static) -> Result<()> {
        let server = self.clone();
        match tokio::task::spawn_blocking(move || work(&server)).await {
            Ok(answer) => answer,
            Err(error) => {
                Err(Error::new(ErrorKind::Unexpected, "controlling the server failed").source(error))
            }
        }
    }
}
