//! The settings.

use std::path::PathBuf;

use broker_core::Result;
use broker_core::base::OpenContext;
use broker_core::config::BrokerUrl;
use broker_core::registry::{Provider, ProviderConfig};
use serde::Deserialize;

use crate::DirBroker;

/// The settings; each field is a key in configuration and an option in a URL's query.
#[derive(Clone, Debug, Deserialize)]
pub struct DirConfig {
    /// The folder, as `dir:///path/to/folder`.
    #[serde(rename = "uri")]
    pub folder: Folder,
}

impl ProviderConfig for DirConfig {
    type Broker = DirBroker;

    const PROVIDER: &'static Provider = &crate::PROVIDER;

    fn open(self, _: OpenContext) -> Result<DirBroker> {
        Ok(DirBroker::new(self))
    }
}

/// The path of a `dir:///path` address.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "BrokerUrl")]
pub struct Folder(pub PathBuf);

impl TryFrom<BrokerUrl> for Folder {
    type Error = String;

    fn try_from(url: BrokerUrl) -> Result<Self, String> {
        if url.scheme() != "dir" || !url.hosts().is_empty() || url.path().len() < 2 {
            return Err("`dir:///path/to/folder` is expected, with three slashes".to_owned());
        }
        Ok(Self(url.path().into()))
    }
}
