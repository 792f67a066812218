//! A stream to publish to.

use std::sync::Arc;

use broker_core::base::{BoxFuture, PublishEndpoint};
use broker_core::{Capabilities, Message, MessageId, Published, Result};

use crate::session::Session;
use crate::stream::{OneTried, Stream};

/// A stream to publish to.
pub(crate) struct Publisher {
    session: Arc<Session>,
    stream: Arc<Stream>,
}

impl Publisher {
    pub(crate) fn new(session: Arc<Session>, stream: Arc<Stream>) -> Self {
        Self { session, stream }
    }

    #[cold]
    fn try_special(&self, message: &mut Option<Message>) -> Option<Result<MessageId>> {
        let mut messages: Vec<_> = message.take().into_iter().collect();
        let tried = self.session.try_publish(&self.stream, &mut messages);
        *message = messages.pop();
        tried.map(|published| {
            let id = published?.into_ids()?.pop();
            id.ok_or_else(broker_core::Error::closed)
        })
    }
}

impl PublishEndpoint for Publisher {
    #[inline]
    fn try_publish_one(&self, message: &mut Option<Message>) -> Option<Result<MessageId>> {
        if let Err(error) = self.session.check(Capabilities::PUBLISH) {
            return Some(Err(error));
        }
        if self.session.waits() {
            return None;
        }
        match self.stream.try_publish_one(message, self.session.rules()) {
            OneTried::Stored(id) => Some(Ok(id)),
            OneTried::Full if self.session.refuses() => Some(Err(self.stream.full())),
            OneTried::Full => None,
            OneTried::Special => self.try_special(message),
        }
    }

    #[inline]
    fn try_publish(&self, messages: &mut Vec<Message>) -> Option<Result<Published>> {
        self.session.try_publish(&self.stream, messages)
    }

    fn publish<'a>(&'a self, messages: &'a mut Vec<Message>) -> BoxFuture<'a, Result<Published>> {
        Box::pin(self.session.publish(&self.stream, messages))
    }
}
