//! TLS, where the build has it.

use broker_core::{Error, Result};
use redis::ConnectionInfo;

use crate::ConnectionSettings;

/// A client that speaks TLS.
#[cfg(feature = "tls")]
pub(crate) fn client(info: ConnectionInfo, settings: &ConnectionSettings) -> Result<redis::Client> {
    let read = |place: &'static str, path: &std::path::Path| {
        std::fs::read(path)
            .map_err(|error| Error::config(place, format!("`{}` can't be read: {error}", path.display())))
    };
    // Another crate of the program may have chosen a provider; then that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client_tls = match (&settings.tls_cert, &settings.tls_key) {
        (Some(cert), Some(key)) => Some(redis::ClientTlsConfig {
            client_cert: read("tls_cert", cert)?,
            client_key: read("tls_key", key)?,
        }),
        _ => None,
    };
    let root_cert = match &settings.tls_ca {
        Some(ca) => Some(read("tls_ca", ca)?),
        None => None,
    };
    let certificates = redis::TlsCertificates {
        client_tls,
        root_cert,
    };
    redis::Client::build_with_tls(info, certificates)
        .map_err(|error| Error::config("tls", "the certificates are not usable").source(error.to_string()))
}

/// A client that speaks TLS, which this build has not; the settings were refused before.
#[cfg(not(feature = "tls"))]
pub(crate) fn client(_: ConnectionInfo, _: &ConnectionSettings) -> Result<redis::Client> {
    Err(Error::config("tls", "this build is without the feature `tls`"))
}
