//! From the facade `metrics` to OpenTelemetry's instruments.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

/// Hands what the facade `metrics` hears to OpenTelemetry's instruments of the same names.
pub(super) struct Bridge {
    meter: Meter,
    /// Bounds of times, in seconds.
    bounds: &'static [f64],
    counters: Kept<Count>,
    gauges: Kept<Level>,
    histograms: Kept<Spread>,
}

/// Each metric with its labels, made once.
struct Kept<T>(Mutex<HashMap<Key, Arc<T>>>);

impl<T> Kept<T> {
    fn get(&self, key: &Key, make: impl FnOnce(String, Vec<KeyValue>) -> T) -> Arc<T> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.get(key) {
            return Arc::clone(known);
        }
        let labels = key
            .labels()
            .map(|label| KeyValue::new(label.key().to_owned(), label.value().to_owned()));
        let made = Arc::new(make(key.name().to_owned(), labels.collect()));
        kept.insert(key.clone(), Arc::clone(&made));
        made
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl Bridge {
    pub(super) fn new(meter: Meter, bounds: &'static [f64]) -> Self {
        Self {
            meter,
            bounds,
            counters: Kept::default(),
            gauges: Kept::default(),
            histograms: Kept::default(),
        }
    }
}

impl Recorder for Bridge {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let count = self.counters.get(key, |name, labels| Count {
            instrument: self.meter.u64_counter(name).build(),
            labels,
            seen: AtomicU64::new(0),
        });
        Counter::from_arc(count)
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let level = self.gauges.get(key, |name, labels| {
            let gauge = self.meter.f64_gauge(name.clone());
            Level {
                instrument: with_unit(gauge, &name, |gauge, unit| gauge.with_unit(unit)).build(),
                labels,
                bits: AtomicU64::new(0_f64.to_bits()),
            }
        });
        Gauge::from_arc(level)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let spread = self.histograms.get(key, |name, labels| {
            let mut histogram = self.meter.f64_histogram(name.clone());
            if name.ends_with(SECONDS) {
                histogram = histogram.with_boundaries(self.bounds.to_vec());
            }
            Spread {
                instrument: with_unit(histogram, &name, |histogram, unit| histogram.with_unit(unit)).build(),
                labels,
            }
        });
        Histogram::from_arc(spread)
    }
}

/// What names of times end with.
const SECONDS: &str = "_seconds";

fn with_unit<B>(builder: B, name: &str, set: impl FnOnce(B, &'static str) -> B) -> B {
    if name.ends_with(SECONDS) {
        set(builder, "s")
    } else {
        builder
    }
}

struct Count {
    instrument: opentelemetry::metrics::Counter<u64>,
    labels: Vec<KeyValue>,
    /// What was counted in all.
    seen: AtomicU64,
}

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.seen.fetch_add(value, Ordering::Relaxed);
        self.instrument.add(value, &self.labels);
    }

    fn absolute(&self, value: u64) {
        let before = self.seen.fetch_max(value, Ordering::Relaxed);
        // Nothing new is told as well: who looks for a count finds zero and not nothing.
        self.instrument.add(value.saturating_sub(before), &self.labels);
    }
}

struct Level {
    instrument: opentelemetry::metrics::Gauge<f64>,
    labels: Vec<KeyValue>,
    bits: AtomicU64,
}

impl Level {
    fn change(&self, by: f64) {
        let add = |bits| Some((f64::from_bits(bits) + by).to_bits());
        let before = self.bits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        let before = f64::from_bits(before.unwrap_or_else(|bits| bits));
        self.instrument.record(before + by, &self.labels);
    }
}

impl GaugeFn for Level {
    fn increment(&self, value: f64) {
        self.change(value);
    }

    fn decrement(&self, value: f64) {
        self.change(-value);
    }

    fn set(&self, value: f64) {
        self.bits.store(value.to_bits(), Ordering::Relaxed);
        self.instrument.record(value, &self.labels);
    }
}

struct Spread {
    instrument: opentelemetry::metrics::Histogram<f64>,
    labels: Vec<KeyValue>,
}

impl HistogramFn for Spread {
    fn record(&self, value: f64) {
        self.instrument.record(value, &self.labels);
    }
}
