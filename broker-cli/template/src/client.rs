//! All that talks to the server.

use std::io;

use crate::TemplateConfig;

pub(crate) struct Client {
    address: String,
}

impl Client {
    pub(crate) fn new(config: &TemplateConfig) -> Self {
        Self {
            // As it is shown: without a password.
            address: config.uri.to_string(),
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The first I/O of an adapter.
    pub(crate) async fn connect(&self) -> io::Result<()> {
        Ok(())
    }

    pub(crate) async fn ping(&self) -> io::Result<()> {
        Ok(())
    }
}
