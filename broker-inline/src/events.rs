//! Telling every broker that shares a state.

use broker_core::BrokerEvent;
use broker_core::base::EventSender;

use crate::sync::Mutex;

/// The event senders of the brokers that share a state, by number.
#[derive(Debug, Default)]
pub(crate) struct Events(Mutex<Vec<(u64, EventSender)>>);

impl Events {
    pub(crate) fn join(&self, broker: u64, sender: EventSender) {
        self.0.lock().push((broker, sender));
    }

    pub(crate) fn leave(&self, broker: u64) {
        self.0.lock().retain(|(other, _)| *other != broker);
    }

    /// Tells all of them.
    pub(crate) fn send(&self, event: &BrokerEvent) {
        let senders: Vec<_> = self.0.lock().iter().map(|(_, sender)| sender.clone()).collect();
        for sender in senders {
            sender.send(event.clone());
        }
    }
}
