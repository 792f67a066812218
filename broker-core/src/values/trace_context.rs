//! Trace context in headers, as the program's propagator reads and writes it.

use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::{Context, global};

use super::Headers;

impl Headers {
    /// The trace context that these headers carry, as the program's propagator reads it; an empty one where they carry
    /// none.
    #[must_use]
    pub fn trace_context(&self) -> Context {
        global::get_text_map_propagator(|propagator| {
            propagator.extract_with_context(&Context::new(), &Carried(self))
        })
    }

    /// Sets the trace context that these headers carry, as the program's propagator writes it.
    pub fn insert_trace_context(&mut self, context: &Context) {
        global::get_text_map_propagator(|propagator| {
            propagator.inject_context(context, &mut Carrier(self));
        });
    }
}

struct Carried<'a>(&'a Headers);

impl Extractor for Carried<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get_str(name).ok().flatten()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name).collect()
    }
}

struct Carrier<'a>(&'a mut Headers);

impl Injector for Carrier<'_> {
    fn set(&mut self, name: &str, value: String) {
        // A state of nothing says no more than none, and costs bytes on the wire.
        if value.is_empty() {
            self.0.remove(name);
        } else {
            self.0.insert(name.to_owned(), value);
        }
    }
}
