//! OpenSSL, before the client library gets to it.

/// Readies OpenSSL without its clean-up at the end of the process.
///
/// That would free what threads of the client library still use, where a client was dropped and not closed.
#[cfg(feature = "tls")]
pub(crate) fn prepare() {
    openssl_sys::init();
}

/// This build is without TLS.
#[cfg(not(feature = "tls"))]
pub(crate) fn prepare() {}
