//! The settings.

use broker_core::Result;
use broker_core::base::OpenContext;
use broker_core::config::BrokerUrl;
use broker_core::registry::{Provider, ProviderConfig};
use serde::Deserialize;

use crate::TemplateBroker;

/// The settings; each field is a key in configuration and an option in a URL's query.
#[derive(Clone, Debug, Deserialize)]
pub struct TemplateConfig {
    /// Where the server is, as `template-scheme://host:port`.
    pub uri: BrokerUrl,
}

impl ProviderConfig for TemplateConfig {
    type Broker = TemplateBroker;

    const PROVIDER: &'static Provider = &crate::PROVIDER;

    fn open(self, _: OpenContext) -> Result<TemplateBroker> {
        Ok(TemplateBroker::new(self))
    }
}
