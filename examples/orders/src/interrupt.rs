//! Ctrl-C, and what a service manager sends.

use anyhow::{Context as _, Result};
use tokio::sync::watch;

/// Counts the interrupts from now on.
pub(crate) fn watch() -> Result<watch::Receiver<u32>> {
    let (count, receiver) = watch::channel(0);
    let mut signals = Signals::new().context("interrupts can't be watched")?;
    tokio::spawn(async move {
        while signals.next().await {
            count.send_modify(|count| *count += 1);
            crate::out::line(true, "orders: stopping; handling what is under way");
        }
    });
    Ok(receiver)
}

#[cfg(unix)]
struct Signals(tokio::signal::unix::Signal, tokio::signal::unix::Signal);

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ))
    }

    async fn next(&mut self) -> bool {
        tokio::select! {
            seen = self.0.recv() => seen.is_some(),
            seen = self.1.recv() => seen.is_some(),
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> bool {
        tokio::signal::ctrl_c().await.is_ok()
    }
}
