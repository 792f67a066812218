//! A collector in this process: it keeps what it is sent.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

const PATIENCE: Duration = Duration::from_secs(60);

/// A collector in this process.
pub(crate) struct Collector {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

/// What a collector was sent.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    pub(crate) spans: Vec<Span>,
    /// Each with the instance of the service that it is of.
    pub(crate) metrics: Vec<(String, Metric)>,
    pub(crate) services: BTreeSet<(String, String)>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, kept) = (listener.local_addr().unwrap(), Arc::<Mutex<Kept>>::default());
        let shared = Arc::clone(&kept);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&shared);
                std::thread::spawn(move || while serve(&stream, &kept).is_some() {});
            }
        });
        Self { address, kept }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn kept(&self) -> Kept {
        self.kept.lock().unwrap().clone()
    }

    /// Waits until what was sent is `enough`.
    pub(crate) fn until(&self, enough: impl Fn(&Kept) -> bool) -> Kept {
        let until = Instant::now() + PATIENCE;
        loop {
            let kept = self.kept();
            if enough(&kept) {
                return kept;
            }
            assert!(Instant::now() < until, "never sent: {:#?}", kept.names());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Kept {
    pub(crate) fn named(&self, name: &str) -> Vec<&Span> {
        self.spans.iter().filter(|span| span.name == name).collect()
    }

    /// The last values of a counter or gauge, each with its instance and labels.
    pub(crate) fn values(&self, name: &str) -> Vec<(String, String, f64)> {
        let mut last: Vec<(String, String, f64)> = Vec::new();
        for (instance, metric) in self.metrics.iter().filter(|(_, metric)| metric.name == name) {
            let points = match metric.data.as_ref().unwrap() {
                metric::Data::Gauge(gauge) => &gauge.data_points,
                metric::Data::Sum(sum) => &sum.data_points,
                _ => panic!("{name} is neither a counter nor a gauge"),
            };
            for point in points {
                use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
                let value = match point.value.unwrap() {
                    Value::AsDouble(value) => value,
                    Value::AsInt(value) => value as f64,
                };
                let labels = labels(&point.attributes);
                last.retain(|(one, known, _)| (one, known) != (instance, &labels));
                last.push((instance.clone(), labels, value));
            }
        }
        last
    }

    pub(crate) fn names(&self) -> BTreeSet<&str> {
        let spans = self.spans.iter().map(|span| span.name.as_str());
        spans
            .chain(self.metrics.iter().map(|(_, metric)| metric.name.as_str()))
            .collect()
    }
}

/// An attribute of a span, as text.
pub(crate) fn attribute(span: &Span, name: &str) -> Option<String> {
    text(&span.attributes, name)
}

fn labels(attributes: &[KeyValue]) -> String {
    let mut labels: Vec<_> = attributes
        .iter()
        .map(|one| format!("{}={}", one.key, text(attributes, &one.key).unwrap()))
        .collect();
    labels.sort_unstable();
    labels.join(",")
}

fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let value = attributes
        .iter()
        .find(|one| one.key == name)?
        .value
        .clone()?
        .value?;
    Some(match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

fn service(resource: Option<Resource>) -> (String, String) {
    let attributes = resource.unwrap().attributes;
    let of = |name| text(&attributes, name).unwrap();
    (of("service.name"), of("service.instance.id"))
}

/// One request; none where the other side is gone.
fn serve(mut stream: &TcpStream, kept: &Mutex<Kept>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_ascii_lowercase());
    }
    let length = lines
        .iter()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())?;
    assert!(
        lines.contains(&"content-type: application/x-protobuf".to_owned()),
        "{lines:?}"
    );
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    if lines[0].starts_with("post /v1/traces ") {
        keep_spans(kept, ExportTraceServiceRequest::decode(body.as_slice()).unwrap());
    } else {
        assert!(lines[0].starts_with("post /v1/metrics "), "{lines:?}");
        keep_metrics(
            kept,
            ExportMetricsServiceRequest::decode(body.as_slice()).unwrap(),
        );
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n")
        .ok()
}

fn keep_spans(kept: &Mutex<Kept>, request: ExportTraceServiceRequest) {
    let mut kept = kept.lock().unwrap();
    for resource in request.resource_spans {
        kept.services.insert(service(resource.resource));
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        kept.spans.extend(spans);
    }
}

fn keep_metrics(kept: &Mutex<Kept>, request: ExportMetricsServiceRequest) {
    let mut kept = kept.lock().unwrap();
    for resource in request.resource_metrics {
        let service = service(resource.resource);
        let metrics = resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
        kept.metrics
            .extend(metrics.map(|metric| (service.1.clone(), metric)));
        kept.services.insert(service);
    }
}
