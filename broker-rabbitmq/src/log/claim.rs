//! The consumer of a group's token: whoever has the token in hand reads for the group.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use broker_core::Result;
use futures_util::Stream;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicConsumeOptions};
use lapin::types::{FieldTable, ShortString};

use super::progress::Progress;
use crate::client::Client;
use crate::error::from_lapin;
use crate::told::{Told, at_once, tell};

/// A consumer of a group's token, the single active one or one that waits to become it.
pub(super) struct Claim {
    channel: Channel,
    tokens: lapin::Consumer,
    /// Tells this claim's pump from any other's.
    pub(super) epoch: u32,
    /// The latest token in hand, with its delivery tag.
    held: Option<(u64, Progress)>,
    /// Whose tokens count, once it is this process that writes them.
    owner: Option<u64>,
    /// Whether somebody else took the group over.
    is_overtaken: bool,
}

impl Claim {
    pub(super) async fn stake(client: &Client, queue: &ShortString, epoch: u32) -> Result<Self> {
        let channel = client.asking().await?;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let tokens = channel
            .basic_consume(queue.clone(), ShortString::default(), options, none)
            .await;
        Ok(Self {
            tokens: tokens.map_err(|error| from_lapin(&error))?,
            channel,
            epoch,
            held: None,
            owner: None,
            is_overtaken: false,
        })
    }

    pub(super) fn is_up(&self) -> bool {
        self.channel.status().connected() && !self.is_overtaken
    }

    /// Whether the server gives the token here; else another consumer has it.
    pub(super) async fn is_given(&mut self) -> Result<bool> {
        self.all_came().await?;
        self.drain(Waker::noop());
        Ok(self.held.is_some())
    }

    /// Answers once all tokens have come that the server had sent before.
    pub(super) fn all_came(&self) -> Told {
        tell(&self.channel, Vec::new())
    }

    /// Takes what the server has sent by now. Answers whether the sending goes on.
    pub(super) fn drain(&mut self, waker: &Waker) -> bool {
        let mut context = Context::from_waker(waker);
        while !self.is_overtaken {
            match Pin::new(&mut self.tokens).poll_next(&mut context) {
                Poll::Pending => return true,
                Poll::Ready(Some(Ok(delivery))) => {
                    self.take(delivery.delivery_tag, Progress::from_text(&delivery.data));
                }
                // The group was deleted, or the channel is gone.
                Poll::Ready(Some(Err(_)) | None) => return false,
            }
        }
        false
    }

    /// Keeps the latest token; the others are done with.
    fn take(&mut self, tag: u64, token: Option<Progress>) {
        let Some(token) = token else {
            return self.discard(tag);
        };
        let known = self.held.as_ref().map(|(_, known)| known);
        if let (Some(owner), Some(known)) = (self.owner, known)
            && owner != token.owner
        {
            // One that is late says less than what was read already. One of a later owner stays for whoever is next.
            match token.generation > known.generation {
                true => self.is_overtaken = true,
                false => self.discard(tag),
            }
            return;
        }
        match known.is_none_or(|known| token.is_later(known)) {
            true => {
                if let Some((before, _)) = self.held.replace((tag, token)) {
                    self.discard(before);
                }
            }
            false => self.discard(tag),
        }
    }

    fn discard(&self, tag: u64) {
        let channel = self.channel.clone();
        drop(at_once(async move {
            channel.basic_ack(tag, BasicAckOptions::default()).await
        }));
    }

    /// The latest token.
    pub(super) fn token(&self) -> Option<&Progress> {
        self.held.as_ref().map(|(_, token)| token)
    }

    /// From now on the tokens of this owner count.
    pub(super) fn writes_as(&mut self, owner: u64) {
        self.owner = Some(owner);
    }

    /// Whether a token of this owner came back, so that it is stored and nobody else has the group.
    pub(super) fn has(&self, owner: u64, sequence: u64) -> bool {
        self.token()
            .is_some_and(|token| token.owner == owner && token.sequence >= sequence)
    }

    /// Gives the token to whoever is next, which is done when this returns.
    pub(super) fn leave(&self) -> impl Future<Output = bool> + Send + use<> {
        let channel = self.channel.clone();
        async move { channel.close(200, "left".into()).await.is_ok() }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        drop(at_once(self.leave()));
    }
}
