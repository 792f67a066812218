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
    let roots = match &settings.tls_ca {
        Some(ca) => read("tls_ca", ca)?,
        None => system_roots()?,
    };
    let certificates = redis::TlsCertificates {
        client_tls,
        root_cert: Some(roots),
    };
    redis::Client::build_with_tls(info, certificates)
        .map_err(|error| Error::config("tls", "the certificates are not usable").source(error.to_string()))
}

/// The certificates that the system trusts, as PEM; those that nobody could use are left out.
#[cfg(feature = "tls")]
fn system_roots() -> Result<Vec<u8>> {
    use base64::Engine as _;

    let found = rustls_native_certs::load_native_certs();
    let mut usable = rustls::RootCertStore::empty();
    let mut pem = String::new();
    for certificate in found.certs {
        if usable.add(certificate.clone()).is_ok() {
            let text = base64::engine::general_purpose::STANDARD.encode(&certificate);
            pem.push_str("-----BEGIN CERTIFICATE-----\n");
            // Readers of PEM may bound its lines.
            for line in text.as_bytes().chunks(64) {
                pem.push_str(&String::from_utf8_lossy(line));
                pem.push('\n');
            }
            pem.push_str("-----END CERTIFICATE-----\n");
        }
    }
    if pem.is_empty() {
        let refusal = Error::config(
            "tls_ca",
            "the system trusts no certificates; name a file, or install the system's",
        );
        return Err(match found.errors.first() {
            Some(error) => refusal.source(error.to_string()),
            None => refusal,
        });
    }
    Ok(pem.into_bytes())
}

/// A client that speaks TLS, which this build has not; the settings were refused before.
#[cfg(not(feature = "tls"))]
pub(crate) fn client(_: ConnectionInfo, _: &ConnectionSettings) -> Result<redis::Client> {
    Err(Error::config("tls", "this build is without the feature `tls`"))
}
