//! Requests to the collector.

use std::fmt;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};

/// How long an answer may be, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// Sends requests to the collector. It blocks, as the threads that call it are there for nothing else.
#[derive(Debug)]
pub(super) struct Client {
    agent: ureq::Agent,
    fails: AtomicBool,
}

impl Client {
    /// Gives a request so long.
    pub(super) fn new(timeout: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .build();
        Self {
            agent: config.into(),
            fails: AtomicBool::new(false),
        }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let answer = self.agent.run(request.map(Vec::from))?;
        let (head, mut body) = answer.into_parts();
        let body = body.with_config().limit(LONGEST).read_to_vec()?;
        Ok(Response::from_parts(head, body.into()))
    }

    /// Tells people of the first of several failures, as nobody else does.
    fn told(&self, address: &str, failure: Option<&dyn fmt::Display>) {
        let failed_before = self.fails.swap(failure.is_some(), Ordering::Relaxed);
        if let (Some(failure), false) = (failure, failed_before) {
            complain(format_args!(
                "what is observed does not reach {address}: {failure}"
            ));
        }
    }
}

#[broker_core::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let address = request.uri().to_string();
        let answer = self.send(request);
        match &answer {
            Ok(answer) if answer.status().is_success() => self.told(&address, None),
            Ok(answer) => self.told(&address, Some(&answer.status())),
            Err(error) => self.told(&address, Some(error)),
        }
        Ok(answer?)
    }
}

/// Tells people what does not end the service.
pub(super) fn complain(line: impl fmt::Display) {
    // Where standard error is gone as well, nobody is left to tell.
    let _gone = writeln!(std::io::stderr(), "error: {line}");
}
