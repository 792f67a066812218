//! The signals that end a service.

/// Waits for the next signal that asks the process to end: an interrupt, or where there is one, a termination.
#[cfg(unix)]
pub(super) async fn next() {
    use tokio::signal::unix::{SignalKind, signal};

    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}

/// Waits for the next signal that asks the process to end.
#[cfg(not(unix))]
pub(super) async fn next() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
