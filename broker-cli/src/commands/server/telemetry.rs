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
use metrics_util::layers::FanoutBuilder;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::Registry;

use super::Server;
use super::otlp::Exporting;
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
    exporting: Option<Exporting>,
    serving: Option<JoinHandle<()>>,
}

impl Telemetry {
    /// Begins to answer and to export as `server` says, and to count if that is for somebody.
    pub(super) async fn start(server: &Server, pulse: &Pulse) -> Result<Self, Stop> {
        let mut telemetry = Self::serve(server.listen, pulse).await?;
        telemetry.exporting = Exporting::start(server.otlp.as_deref(), server.worker)?;
        let wanted = telemetry.serving.is_some() || telemetry.exporting.is_some() || server.worker.is_some();
        if wanted {
            telemetry.metering = recorder(telemetry.exporting.as_ref(), server.worker);
        }
        Ok(telemetry)
    }

    /// Begins to answer at `address`, with what others count.
    pub(super) async fn serve(address: Option<SocketAddr>, pulse: &Pulse) -> Result<Self, Stop> {
        let serving = match address {
            Some(address) => {
                let listener = TcpListener::bind(address)
                    .await
                    .map_err(|error| Stop::failure(format_args!("--listen {address}: {error}")))?;
                Some(tokio::spawn(serve(listener, pulse.clone())))
            }
            None => None,
        };
        Ok(Self {
            metering: None,
            exporting: None,
            serving,
        })
    }

    /// What hears of spans, if they are exported.
    pub(super) fn spans(&self) -> Option<impl Layer<Registry> + Send + Sync + use<>> {
        self.exporting.as_ref().and_then(Exporting::spans)
    }

    /// The application, whose handlings are timed, and traced if spans are exported.
    pub(super) fn observe(&self, mut app: App) -> App {
        if self.exporting.is_some() {
            app = app.traced();
        }
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

    /// Tells the last numbers, and sends what is left to be exported.
    pub(super) async fn end(mut self, receipt: Option<&Receipt>, drain: Option<Duration>) {
        if let (Some((metering, _)), Some(receipt)) = (&self.metering, receipt) {
            metering.count(receipt);
        }
        if let Some(exporting) = self.exporting.take() {
            exporting.end(drain).await;
        }
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
fn recorder(exporting: Option<&Exporting>, worker: Option<u16>) -> Option<(Arc<Metering>, PrometheusHandle)> {
    let name = Matcher::Full("broker_handler_seconds".to_owned());
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(name, &BUCKETS)
        .ok()?
        .build_recorder();
    let handle = recorder.handle();
    let mut recorders = FanoutBuilder::default().add_recorder(recorder);
    if let Some(exported) = exporting.and_then(|exporting| exporting.recorder(&BUCKETS)) {
        recorders = recorders.add_recorder(exported);
    }
    // Refused where there is another; that one then has the numbers.
    let _other = metrics::set_global_recorder(recorders.build());
    // A group's numbers are the same whichever worker asks: the first one does, so that sums are right.
    let metering = match worker {
        None | Some(1) => Metering::default(),
        Some(_) => Metering::default().without_groups(),
    };
    Some((Arc::new(metering), handle))
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
