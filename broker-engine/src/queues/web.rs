//! A declaration at a web address.

use std::time::Duration;

use super::error::QueueError;

/// How long fetching may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a declaration may be, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// What stands at `address`.
pub(super) async fn fetch(address: &str) -> Result<String, QueueError> {
    let asked = address.to_owned();
    // The client blocks its thread.
    let fetched = tokio::task::spawn_blocking(move || get(&asked)).await;
    let failed = |reason: String, source| QueueError::Declaration {
        place: address.to_owned(),
        reason,
        source: Some(source),
    };
    match fetched {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(failed(format!("can't be fetched: {error}"), Box::new(error))),
        Err(error) => Err(failed("fetching it was cut short".to_owned(), Box::new(error))),
    }
}

fn get(address: &str) -> Result<String, ureq::Error> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .build();
    let mut answer = ureq::Agent::from(config).get(address).call()?;
    answer.body_mut().with_config().limit(LONGEST).read_to_string()
}
