//! Spans and metrics to an OpenTelemetry collector, by OTLP over HTTP.

mod bridge;
mod client;

use std::time::Duration;

use metrics::Recorder;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, Protocol, SpanExporter};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::Registry;

use self::bridge::Bridge;
use self::client::Client;
use super::single::host;
use crate::exit::Stop;

/// How long the last spans and metrics may take on their way.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who makes the spans and metrics, as the collector sees it.
const SCOPE: &str = "broker";

/// Spans and metrics on their way to a collector.
#[derive(Debug)]
pub(super) struct Exporting {
    spans: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

impl Exporting {
    /// Begins to export to `address`, or else to where OpenTelemetry's variables say; nothing where neither says.
    pub(super) fn start(address: Option<&str>, worker: Option<u16>) -> Result<Option<Self>, Stop> {
        let wants = |signal: Signal| signal.is_wanted(address.is_some());
        if variable("OTEL_SDK_DISABLED").is_some_and(|disabled| disabled.eq_ignore_ascii_case("true"))
            || !(wants(SPANS) || wants(METRICS))
        {
            return Ok(None);
        }
        let resource = resource(worker);
        let spans = if wants(SPANS) {
            Some(spans(address, resource.clone())?)
        } else {
            None
        };
        let metrics = if wants(METRICS) {
            Some(metrics(address, resource)?)
        } else {
            None
        };
        Ok(Some(Self { spans, metrics }))
    }

    /// What hears of the spans, if they are exported.
    pub(super) fn spans(&self) -> Option<impl Layer<Registry> + Send + Sync + use<>> {
        let tracer = self.spans.as_ref()?.tracer(SCOPE);
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        Some(layer.with_filter(LevelFilter::INFO))
    }

    /// What hears of the metrics, if they are exported.
    pub(super) fn recorder(&self, bounds: &'static [f64]) -> Option<impl Recorder + Sync + 'static> {
        let metrics = self.metrics.as_ref()?;
        Some(Bridge::new(metrics.meter(SCOPE), bounds))
    }

    /// Sends what is left, for as long as that may take.
    pub(super) async fn end(self, drain: Option<Duration>) {
        let patience = drain.map_or(PATIENCE, |drain| drain.min(PATIENCE));
        let sending = tokio::task::spawn_blocking(move || {
            // What goes wrong is told by the client, once.
            let _told = self.spans.map(|spans| spans.shutdown_with_timeout(patience));
            let _told = self.metrics.map(|metrics| metrics.shutdown());
        });
        if tokio::time::timeout(patience, sending).await.is_err() {
            client::complain(format_args!(
                "the last spans and metrics were not sent within {}",
                humantime::format_duration(patience)
            ));
        }
    }
}

/// What is exported by itself.
#[derive(Clone, Copy)]
struct Signal {
    path: &'static str,
    endpoint: &'static str,
    exporter: &'static str,
    protocol: &'static str,
    timeout: &'static str,
}

const SPANS: Signal = Signal {
    path: "/v1/traces",
    endpoint: opentelemetry_otlp::OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    exporter: "OTEL_TRACES_EXPORTER",
    protocol: opentelemetry_otlp::OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
    timeout: opentelemetry_otlp::OTEL_EXPORTER_OTLP_TRACES_TIMEOUT,
};

const METRICS: Signal = Signal {
    path: "/v1/metrics",
    endpoint: opentelemetry_otlp::OTEL_EXPORTER_OTLP_METRICS_ENDPOINT,
    exporter: "OTEL_METRICS_EXPORTER",
    protocol: opentelemetry_otlp::OTEL_EXPORTER_OTLP_METRICS_PROTOCOL,
    timeout: opentelemetry_otlp::OTEL_EXPORTER_OTLP_METRICS_TIMEOUT,
};

impl Signal {
    fn is_wanted(self, addressed: bool) -> bool {
        (addressed || self.variables().is_some())
            && variable(self.exporter).is_none_or(|exporter| exporter != "none")
    }

    /// Where the variables send it.
    fn variables(self) -> Option<String> {
        variable(self.endpoint).or_else(|| variable(opentelemetry_otlp::OTEL_EXPORTER_OTLP_ENDPOINT))
    }

    /// Where it goes, if the variables are not asked.
    fn address(self, collector: Option<&str>) -> Option<String> {
        collector.map(|collector| format!("{}{}", collector.trim_end_matches('/'), self.path))
    }

    fn client(self, collector: Option<&str>) -> Result<Client, Stop> {
        let address = collector.map(str::to_owned).or_else(|| self.variables());
        if cfg!(not(feature = "otlp-tls")) && address.is_some_and(|address| address.starts_with("https:")) {
            return Err(Stop::usage(
                "a collector at an https address needs the feature `otlp-tls`",
            ));
        }
        let general = opentelemetry_otlp::OTEL_EXPORTER_OTLP_PROTOCOL;
        for name in [self.protocol, general] {
            if let Some(protocol) = variable(name).filter(|protocol| protocol != "http/protobuf") {
                return Err(Stop::usage(format_args!(
                    "{name} is `{protocol}`, and this program speaks http/protobuf; set that, and the collector's address \
                     for HTTP, mostly at port 4318"
                )));
            }
        }
        let millis = [self.timeout, opentelemetry_otlp::OTEL_EXPORTER_OTLP_TIMEOUT]
            .into_iter()
            .find_map(variable)
            .and_then(|millis| millis.parse().ok());
        let timeout = opentelemetry_otlp::OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT;
        Ok(Client::new(millis.map_or(timeout, Duration::from_millis)))
    }
}

fn spans(address: Option<&str>, resource: Resource) -> Result<SdkTracerProvider, Stop> {
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(SPANS.client(address)?)
        .with_protocol(Protocol::HttpBinary);
    if let Some(address) = SPANS.address(address) {
        exporter = exporter.with_endpoint(address);
    }
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter.build().map_err(refused)?)
        .with_resource(resource)
        .build();
    global::set_text_map_propagator(TraceContextPropagator::new());
    Ok(provider)
}

fn metrics(address: Option<&str>, resource: Resource) -> Result<SdkMeterProvider, Stop> {
    let mut exporter = MetricExporter::builder()
        .with_http()
        .with_http_client(METRICS.client(address)?)
        .with_protocol(Protocol::HttpBinary);
    if let Some(address) = METRICS.address(address) {
        exporter = exporter.with_endpoint(address);
    }
    Ok(SdkMeterProvider::builder()
        .with_periodic_exporter(exporter.build().map_err(refused)?)
        .with_resource(resource)
        .build())
}

/// Which process it is. A name of the service that the variables give stands.
fn resource(worker: Option<u16>) -> Resource {
    let host = host();
    let instance = match worker {
        Some(worker) => format!("{host}-{worker}"),
        None => format!("{host}-{}", std::process::id()),
    };
    let builder = Resource::builder().with_attribute(KeyValue::new("service.instance.id", instance));
    let is_named = variable("OTEL_SERVICE_NAME").is_some()
        || variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|all| all.contains("service.name="));
    let program = std::env::current_exe().ok();
    let program = program.as_ref().and_then(|path| path.file_stem()?.to_str());
    match program {
        Some(program) if !is_named => builder.with_service_name(program.to_owned()).build(),
        _ => builder.build(),
    }
}

fn refused(error: ExporterBuildError) -> Stop {
    Stop::usage(format_args!("spans and metrics can't be exported: {error}"))
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}
