//! A member of a group: its channel, and what it holds.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};

use broker_core::base::Membership;
use broker_core::{BrokerEvent, Result};
use futures_util::Stream;
use lapin::Channel;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};

use crate::client::{Client, lock};
use crate::entry::Entry;
use crate::error::from_lapin;
use crate::held::Ledger;
use crate::memory::{Fate, Memory};
use crate::names;
use crate::told::{Told, at_once, tell};

/// A member of a group.
pub(crate) struct Consumer {
    pub(crate) client: Arc<Client>,
    pub(crate) member: Membership,
    pub(crate) queue: ShortString,
    myself: Weak<Self>,
    pub(crate) session: Mutex<Option<Session>>,
    /// One read at a time: those of one member share its channel. What a dropped read has begun keeps the turn.
    pub(crate) turn: Arc<tokio::sync::Mutex<()>>,
    /// Whether a subscription reads from here by itself, so that the server may send ahead.
    pub(crate) subscribed: AtomicBool,
    /// Reads that wait at this moment.
    pub(crate) reading: AtomicUsize,
    left: AtomicBool,
    /// What is known of the queue's messages beyond what the server may have kept.
    pub(crate) memory: Arc<Memory>,
    /// Whether it had a session before.
    seen: AtomicBool,
}

/// A channel, for as long as it lives.
pub(crate) struct Session {
    pub(crate) channel: Channel,
    pub(crate) fence: u64,
    pub(crate) ledger: Ledger,
    pub(crate) stream: Option<lapin::Consumer>,
    /// How many unsettled deliveries the server was asked to stop at.
    pub(crate) credit: usize,
    /// How many deliveries came that were settled once more instead of being handed out.
    pub(crate) passed: usize,
}

impl Session {
    /// Takes what the server has sent by now. Answers whether the sending goes on.
    pub(crate) fn drain(&mut self, consumer: &Consumer, context: &mut Context<'_>) -> bool {
        loop {
            let Some(stream) = &mut self.stream else {
                return true;
            };
            match Pin::new(stream).poll_next(context) {
                Poll::Pending => return true,
                Poll::Ready(Some(Ok(delivery))) => {
                    let entry = Entry::new(delivery, consumer.client.config.queue_type);
                    self.take(entry, consumer);
                }
                // The queue was deleted, or the channel is gone.
                Poll::Ready(Some(Err(_)) | None) => return false,
            }
        }
    }

    /// Takes what the server has given.
    pub(crate) fn take(&mut self, mut entry: Entry, consumer: &Consumer) {
        if !consumer.memory.is_settled(&mut entry) {
            self.ledger.came(entry, consumer.member.lease);
            return;
        }
        self.ledger.passed(entry.tag);
        self.passed += 1;
        // It is on its way when this returns; should it be lost too, the message comes once more.
        drop(tell(&self.channel, vec![(false, entry.tag)]));
    }
}

impl Consumer {
    /// Joins a group, which is there when this returns.
    pub(crate) async fn join(client: &Arc<Client>, member: &Membership) -> Result<Arc<Self>> {
        client.check_open()?;
        let queue = client.group(&member.stream, &member.group).await?;
        client.keep_leases();
        let memory = Memory::of(&client.config, &queue);
        Ok(Arc::new_cyclic(|myself| Self {
            client: Arc::clone(client),
            member: member.clone(),
            queue,
            myself: Weak::clone(myself),
            session: Mutex::default(),
            turn: Arc::default(),
            subscribed: AtomicBool::new(false),
            reading: AtomicUsize::new(0),
            left: AtomicBool::new(false),
            memory,
            seen: AtomicBool::new(false),
        }))
    }

    /// The session's channel, which is opened if need be.
    pub(crate) async fn channel(&self) -> Result<(Channel, u64)> {
        if let Some(session) = &*lock(&self.session)
            && session.channel.status().connected()
        {
            return Ok((session.channel.clone(), session.fence));
        }
        self.end_session();
        if self.seen.swap(true, Ordering::AcqRel) {
            self.recover().await?;
        }
        let channel = self.client.asking().await?;
        let fence = self.client.fence(&self.myself);
        let session = Session {
            channel: channel.clone(),
            fence,
            ledger: Ledger::default(),
            stream: None,
            credit: 0,
            passed: 0,
        };
        *lock(&self.session) = Some(session);
        Ok((channel, fence))
    }

    /// Sees that the group is still there, and makes it again where it is not.
    async fn recover(&self) -> Result<()> {
        let (client, member) = (&self.client, &self.member);
        if client
            .find_again(&member.stream, &member.group, &self.queue)
            .await?
        {
            client.context.events.send(BrokerEvent::GroupRecreated {
                stream: member.stream.clone(),
                group: member.group.clone(),
                position: None,
            });
        }
        Ok(())
    }

    /// Forgets the session, whose deliveries the server gives to others.
    pub(crate) fn end_session(&self) {
        let session = lock(&self.session).take();
        self.note_end(session);
    }

    /// Forgets the session if its channel is gone: what it had in hand is noted before it comes to anybody again.
    pub(crate) fn end_if_lost(&self) {
        let lost = |session: &mut Session| !session.channel.status().connected();
        let session = lock(&self.session).take_if(lost);
        self.note_end(session);
    }

    fn note_end(&self, session: Option<Session>) {
        let Some(session) = session else { return };
        self.client.forget(session.fence);
        for entry in session.ledger.out() {
            self.memory.note(entry.identity(), Fate::Seen(entry.attempt));
        }
        if !session.channel.status().connected() {
            self.memory.lost();
        }
    }

    /// Asks the server to send up to `max` messages more by itself.
    pub(crate) async fn start_stream(&self, channel: &Channel, max: usize) -> Result<()> {
        let (started, held, credit) = match &*lock(&self.session) {
            Some(session) => (session.stream.is_some(), session.ledger.len(), session.credit),
            None => return Ok(()),
        };
        if started && held + max <= credit {
            return Ok(());
        }
        if started {
            // Credit is given to a consumer when it starts.
            self.stop_stream().await;
        }
        // A subscription's bound is on all that it holds, and the server counts what it sends from now on.
        let subscribed = self.subscribed.load(Ordering::Acquire);
        let credit = if subscribed { held + max } else { max };
        let prefetch = u16::try_from(credit).unwrap_or(u16::MAX);
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let starting = async {
            channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
            // A name of the server's making: one consumer may come back before the server noticed that it had gone.
            channel
                .basic_consume(self.queue.clone(), ShortString::default(), options, none)
                .await
        };
        let stream = starting.await.map_err(|error| from_lapin(&error))?;
        if let Some(session) = &mut *lock(&self.session) {
            session.credit = credit;
            session.stream = Some(stream);
        }
        Ok(())
    }

    /// Asks the server to send no more, and takes what came before it heard.
    pub(crate) async fn stop_stream(&self) {
        let (channel, tag) = {
            let session = lock(&self.session);
            let Some(session) = &*session else { return };
            let Some(stream) = &session.stream else { return };
            (session.channel.clone(), stream.tag())
        };
        let stopped = channel.basic_cancel(tag, BasicCancelOptions::default()).await;
        let mut session = lock(&self.session);
        let Some(current) = &mut *session else { return };
        current.drain(self, &mut Context::from_waker(std::task::Waker::noop()));
        current.stream = None;
        if stopped.is_err() {
            drop(session);
            self.end_session();
        }
    }

    /// Gives back what was never handed out.
    pub(crate) async fn give_back_unseen(&self) {
        let (fence, unseen) = {
            let mut session = lock(&self.session);
            let Some(session) = &mut *session else { return };
            (session.fence, session.ledger.unseen())
        };
        let _ = self.return_unseen(fence, unseen).await;
    }

    /// Puts back what nobody saw, which must not count as an attempt. Where it can't be written, the server is left to
    /// count it, and the error says so.
    pub(crate) async fn return_unseen(&self, fence: u64, entries: Vec<Entry>) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let copy = |entry: &Entry| {
            let seen = entry.attempt.saturating_sub(1);
            self.copy_to(self.queue.clone(), entry, seen, entry.meta.first_failed)
        };
        let copies: Result<Vec<_>> = entries.iter().map(copy).collect();
        let copied = match (self.is_heard(fence).await, copies) {
            (Ok(()), Ok(copies)) => self.client.put(copies).await,
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        let tags: Vec<_> = entries.iter().map(|entry| entry.tag).collect();
        if copied.is_ok() {
            self.memory
                .note(entries.iter().filter_map(Entry::identity), Fate::Moved);
            if let Some(told) = self.tell(fence, tags) {
                let _ = told.await;
            }
        } else {
            self.requeue(fence, tags).await;
        }
        copied
    }

    /// Leaves messages to the server, which counts that they were delivered. A channel that is gone does so as well.
    async fn requeue(&self, fence: u64, tags: Vec<u64>) {
        let requeuing = {
            let mut session = lock(&self.session);
            let Some(session) = session.as_mut().filter(|session| session.fence == fence) else {
                return;
            };
            session.ledger.forget(&tags);
            let channel = session.channel.clone();
            let requeue = BasicNackOptions {
                requeue: true,
                multiple: false,
            };
            at_once(async move {
                let nacks = tags.into_iter().map(|tag| channel.basic_nack(tag, requeue));
                drop(futures_util::future::join_all(nacks).await);
            })
        };
        requeuing.await;
    }

    /// Tells the server of what is done with, if the session still is that one: it is on its way when this returns.
    pub(crate) fn tell(&self, fence: u64, tags: Vec<u64>) -> Option<Told> {
        let mut session = lock(&self.session);
        let session = session.as_mut().filter(|session| session.fence == fence)?;
        let acks = session.ledger.tell(tags);
        Some(tell(&session.channel, acks))
    }

    /// Nobody reads from here any more: what the server sent ahead goes to others.
    pub(crate) fn unsubscribe(&self) {
        let sends = lock(&self.session)
            .as_ref()
            .is_some_and(|session| session.stream.is_some());
        if !self.subscribed.swap(false, Ordering::AcqRel) || !sends {
            return;
        }
        // Without a runtime nothing is sent any more, either.
        if let (Some(consumer), Ok(runtime)) = (self.myself.upgrade(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(async move {
                let _turn = consumer.turn.lock().await;
                consumer.stop_stream().await;
                consumer.give_back_unseen().await;
            });
        }
    }

    /// Leaves the group: what is in hand stays until it is settled or its lease ends.
    pub(crate) async fn leave(&self) {
        self.left.store(true, Ordering::Release);
        self.subscribed.store(false, Ordering::Release);
        let _turn = self.turn.lock().await;
        self.stop_stream().await;
        self.give_back_unseen().await;
        let empty = lock(&self.session)
            .as_ref()
            .is_none_or(|session| session.ledger.is_empty());
        if empty {
            self.end_session();
        }
    }

    /// How many deliveries it has.
    pub(crate) fn held(&self) -> usize {
        lock(&self.session)
            .as_ref()
            .map_or(0, |session| session.ledger.len())
    }

    /// Whether it left and nothing is in hand any more.
    pub(crate) fn is_over(&self) -> bool {
        self.left.load(Ordering::Acquire)
            && lock(&self.session)
                .as_ref()
                .is_none_or(|session| session.ledger.is_empty())
    }

    /// A copy of a delivery for another queue, as the same message.
    pub(crate) fn copy_to(
        &self,
        queue: ShortString,
        entry: &Entry,
        attempts: u32,
        first_failed: Option<u64>,
    ) -> Result<crate::sender::Outgoing> {
        let meta = entry.meta.moved(attempts, first_failed);
        let (properties, table) = crate::codec::encode(&entry.message, &meta, self.client.config.persistent)?;
        Ok(crate::sender::Outgoing {
            id: meta.id,
            exchange: names::short("exchange's name", names::DEFAULT_EXCHANGE)?,
            routing_key: queue,
            payload: entry.message.payload().clone(),
            properties: crate::codec::finish(properties, table),
        })
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.end_session();
    }
}
