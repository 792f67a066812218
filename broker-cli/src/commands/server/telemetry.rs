//! Liveness, readiness and metrics over HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use broker_core::Brokers;
use broker_engine::{App, Metering, Observer, Plan, Receipt};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::pulse::Pulse;
use crate::exit::Stop;

/// Who asks is a probe or a scraper: there are few of them.
const CONNECTIONS: usize = 64;

/// How long a request may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bounds of handler times, in seconds.
const BUCKETS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0,
];

/// Liveness, readiness and metrics over HTTP, and the numbers behind them.
pub(super) struct Telemetry {
    metering: Option<(Arc<Metering>, PrometheusHandle)>,
    serving: Option<JoinHandle<()>>,
}

impl Telemetry {
    /// Begins to answer at `address`, and to count if somebody can ask.
    pub(super) async fn start(
        address: Option<SocketAddr>,
        is_worker: bool,
        pulse: &Pulse,
    ) -> Result<Self, Stop> {
        let serving = match address {
            Some(address) => {
                let listener = TcpListener::bind(address)
                    .await
                    .map_err(|error| Stop::failure(format_args!("--listen {address}: {error}")))?;
                Some(tokio::spawn(serve(listener, pulse.clone())))
            }
            None => None,
        };
        let wanted = serving.is_some() || is_worker;
        Ok(Self {
            metering: if wanted { recorder() } else { None },
            serving,
        })
    }

    /// The application, whose handlings are timed.
    pub(super) fn observe(&self, app: App) -> App {
        match &self.metering {
            Some((metering, _)) => app.observe(Arc::clone(metering) as Arc<dyn Observer>),
            None => app,
        }
    }

    /// The page for Prometheus.
    pub(super) async fn page(&self, brokers: &Brokers, plan: &Plan, receipt: &Receipt) -> String {
        let Some((metering, handle)) = &self.metering else {
            return String::new();
        };
        metering.collect(brokers, plan, receipt).await;
        handle.run_upkeep();
        handle.render()
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

/// The process's recorder, unless the application has installed one of its own: the numbers go there then.
fn recorder() -> Option<(Arc<Metering>, PrometheusHandle)> {
    let name = Matcher::Full("broker_handler_seconds".to_owned());
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(name, &BUCKETS)
        .ok()?
        .build_recorder();
    let handle = recorder.handle();
    // Refused where there is another; that one then has the numbers.
    let _other = metrics::set_global_recorder(recorder);
    Some((Arc::default(), handle))
}

async fn serve(listener: TcpListener, pulse: Pulse) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        // What can't be accepted now (too many open files) can be later.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let pulse = pulse.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let answer = answer(&request, &pulse);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), answer);
            // A probe that goes away early is no news.
            let _gone = connection.await;
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, pulse: &Pulse) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/livez") => (StatusCode::OK, "ok\n".to_owned()),
        (&Method::GET | &Method::HEAD, "/readyz") => match pulse.readiness() {
            None => (StatusCode::OK, "ok\n".to_owned()),
            Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        },
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, pulse.metrics()),
        (&Method::GET | &Method::HEAD, _) => (
            StatusCode::NOT_FOUND,
            "there are /livez, /readyz and /metrics\n".to_owned(),
        ),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "GET is expected\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
    response
}
