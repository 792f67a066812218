//! The state that brokers of one name share.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

use broker_core::base::EventSender;
use broker_core::{Error, ErrorKind, Result, StreamName, StreamPattern};

use crate::clock::Clock;
use crate::events::Events;
use crate::gate::Gate;
use crate::handling::Handlings;
use crate::limits::Limits;
use crate::stream::Stream;
use crate::sync::{AtomicU64, Mutex, Ordering, RwLock};

/// The state that brokers of one name share, or that one broker has for itself.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) events: Arc<Events>,
    /// What publishers that wait for handlers are told.
    pub(crate) handlings: Handlings,
    /// Names resolve to the same object for as long as somebody holds it, also if the stream is deleted meanwhile.
    streams: RwLock<HashMap<StreamName, Arc<Stream>>>,
    patterns: Mutex<Vec<Weak<PatternListener>>>,
    group_ids: Arc<AtomicU64>,
    brokers: AtomicU64,
}

/// Who is to be told of new streams.
#[derive(Debug)]
pub(crate) struct PatternListener {
    pub(crate) pattern: StreamPattern,
    pub(crate) gate: Arc<Gate>,
    /// Streams made since the listener last looked.
    pub(crate) found: Mutex<Vec<Arc<Stream>>>,
}

impl Hub {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            clock: Clock::start(),
            events: Arc::default(),
            handlings: Handlings::default(),
            streams: RwLock::new(HashMap::new()),
            patterns: Mutex::new(Vec::new()),
            group_ids: Arc::new(AtomicU64::new(1)),
            brokers: AtomicU64::new(1),
        }
    }

    /// The state called `name` in this process, which is there as long as some broker has it.
    ///
    /// # Errors
    ///
    /// The bounds that the state has, where they are not `limits`.
    pub(crate) fn shared(name: &str, limits: Limits) -> Result<Arc<Self>, Limits> {
        static SHARED: OnceLock<std::sync::Mutex<HashMap<String, Weak<Hub>>>> = OnceLock::new();
        let shared = SHARED.get_or_init(std::sync::Mutex::default);
        let mut shared = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        shared.retain(|_, hub| hub.strong_count() > 0);
        match shared.get(name).and_then(Weak::upgrade) {
            Some(hub) if hub.limits == limits => Ok(hub),
            Some(hub) => Err(hub.limits),
            None => {
                let hub = Arc::new(Self::new(limits));
                shared.insert(name.to_owned(), Arc::downgrade(&hub));
                Ok(hub)
            }
        }
    }

    /// Lets a broker in; its events go to `events`.
    pub(crate) fn join(&self, events: EventSender) -> u64 {
        let broker = self.brokers.fetch_add(1, Ordering::Relaxed);
        self.events.join(broker, events);
        broker
    }

    /// The stream of this name, which is made if it is not there.
    pub(crate) fn stream(&self, name: &StreamName) -> Result<Arc<Stream>> {
        if let Some(stream) = self.streams.read().get(name) {
            return Ok(stream.clone());
        }
        let mut streams = self.streams.write();
        if let Some(stream) = streams.get(name) {
            return Ok(stream.clone());
        }
        if streams.len() >= self.limits.max_streams {
            streams.retain(|_, stream| !is_unused(stream));
        }
        if streams.len() >= self.limits.max_streams {
            return Err(Error::new(
                ErrorKind::Throttled,
                format!(
                    "there are {} streams, as many as there may be (max_streams); delete one",
                    self.limits.max_streams
                ),
            ));
        }
        let stream = Arc::new(Stream::new(
            name.clone(),
            self.limits,
            self.clock,
            self.events.clone(),
            self.group_ids.clone(),
        ));
        streams.insert(name.clone(), stream.clone());
        // Under the lock, so that a pattern's listener finds each stream either here or among those that were there.
        self.patterns.lock().retain(|listener| {
            let Some(listener) = listener.upgrade() else {
                return false;
            };
            if listener.pattern.matches(name.as_str()) {
                stream.listen(&listener.gate);
                listener.found.lock().push(stream.clone());
            }
            true
        });
        Ok(stream)
    }

    /// The stream of this name, if it is there.
    pub(crate) fn find(&self, name: &StreamName) -> Option<Arc<Stream>> {
        self.streams.read().get(name).cloned()
    }

    /// All streams that have something to show, by name.
    pub(crate) fn list(&self) -> Vec<Arc<Stream>> {
        let mut streams: Vec<_> = self.all().into_iter().filter(|stream| stream.is_live()).collect();
        streams.sort_by(|one, other| one.name.cmp(&other.name));
        streams
    }

    /// Removes a stream; answers `false` where there was none.
    pub(crate) fn delete(&self, name: &StreamName) -> bool {
        let Some(stream) = self.find(name) else {
            return false;
        };
        let was_live = stream.clear();
        drop(stream);
        let mut streams = self.streams.write();
        if streams.get(name).is_some_and(is_unused) {
            streams.remove(name);
        }
        was_live
    }

    /// The streams that match a listener's pattern; it is told of those made later.
    pub(crate) fn listen(&self, listener: &Arc<PatternListener>) -> Vec<Arc<Stream>> {
        let streams = self.streams.write();
        let mut patterns = self.patterns.lock();
        patterns.retain(|listener| listener.strong_count() > 0);
        patterns.push(Arc::downgrade(listener));
        let matching = streams
            .values()
            .filter(|stream| listener.pattern.matches(stream.name.as_str()));
        let matching: Vec<_> = matching.cloned().collect();
        matching.iter().for_each(|stream| stream.listen(&listener.gate));
        matching
    }

    /// Wakes all who wait for anything: one of the brokers was closed.
    pub(crate) fn wake_everybody(&self) {
        self.handlings.tell();
        for stream in self.all() {
            stream.wake_everybody();
        }
        let patterns: Vec<_> = self.patterns.lock().iter().filter_map(Weak::upgrade).collect();
        for listener in patterns {
            listener.gate.wake_all();
        }
    }

    fn all(&self) -> Vec<Arc<Stream>> {
        self.streams.read().values().cloned().collect()
    }
}

/// Whether nobody but the hub holds the stream, and it has nothing to show.
fn is_unused(stream: &Arc<Stream>) -> bool {
    Arc::strong_count(stream) == 1 && !stream.is_live()
}
