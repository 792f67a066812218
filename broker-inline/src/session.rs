//! One opened broker: its claims, whether it is closed, and the state it works on.

use std::sync::Arc;

use broker_core::base::{Deliveries, Disposition, HealthReport, Membership, OpenContext};
use broker_core::{
    Capabilities, Error, ErrorKind, Failure, LostCapability, Message, Ordering as Order, Outcome, Published,
    ReceiptRun, Result, Settled, Settlements, StartPosition, StreamName,
};
use std::time::{Duration, SystemTime};

use crate::claims::Claims;
use crate::clock::Moment;
use crate::config::{InlineConfig, WhenFull};
use crate::group::{Consumer, Group};
use crate::hub::Hub;
use crate::members::Member;
use crate::progress::Gone;
use crate::stream::{Rules, Stream};
use crate::sync::{AtomicBool, Ordering, fence};
use crate::window::{Purpose, Who};

/// One opened broker. Endpoints share it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) hub: Arc<Hub>,
    claims: Claims,
    rules: Rules,
    closed: AtomicBool,
    number: u64,
}

/// What the names of a membership stand for.
pub(crate) struct Found {
    pub(crate) stream: Arc<Stream>,
    pub(crate) group: Arc<Group>,
    pub(crate) member: Option<Arc<Member>>,
}

impl Session {
    pub(crate) fn open(config: &InlineConfig, context: &OpenContext) -> Result<Self> {
        let place = format!("brokers.{}", context.name);
        let limits = config.limits(&place)?;
        let hub = match config.shared_name(&place)? {
            None => Arc::new(Hub::new(limits)),
            Some(name) => Hub::shared(&name, limits).map_err(|others| {
                Error::config(
                    &place,
                    format!("another broker has opened the state `{name}` with other bounds ({others:?}); say the same"),
                )
            })?,
        };
        let claims = config.claims();
        let has = |flag| claims.capabilities().contains(flag);
        Ok(Self {
            number: hub.join(context.events.clone()),
            hub,
            claims,
            rules: Rules {
                delays: has(Capabilities::DELAYED_DELIVERY),
                idempotent: has(Capabilities::IDEMPOTENT_PUBLISH),
            },
            closed: AtomicBool::new(false),
        })
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        self.claims.capabilities()
    }

    pub(crate) fn lost_capabilities(&self) -> Vec<LostCapability> {
        self.claims.lost()
    }

    /// Whether `needed` is claimed.
    #[inline]
    pub(crate) fn has(&self, needed: Capabilities) -> bool {
        self.claims.capabilities().contains(needed)
    }

    /// Refuses what is not claimed, and everything once the broker is closed.
    #[inline]
    pub(crate) fn check(&self, needed: Capabilities) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        if self.has(needed) {
            return Ok(());
        }
        let missing = needed - self.claims.capabilities();
        Err(Error::unsupported(missing.flags().next().unwrap_or(missing)))
    }

    /// Wakes whoever waits; after this every call answers that the broker is closed.
    pub(crate) fn close(&self) {
        if !self.closed.swap(true, Ordering::SeqCst) {
            fence(Ordering::SeqCst);
            self.hub.wake_everybody();
            self.hub.events.leave(self.number);
        }
    }

    /// Stores messages if there is room now.
    #[inline]
    pub(crate) fn try_publish(
        &self,
        stream: &Stream,
        messages: &mut Vec<Message>,
    ) -> Option<Result<Published>> {
        if let Err(error) = self.check(Capabilities::PUBLISH) {
            return Some(Err(error));
        }
        if messages.is_empty() {
            return Some(Ok(Published::run(0, 0, 0)));
        }
        match stream.try_publish(messages, self.rules, None) {
            Ok(Some(published)) => Some(Ok(published)),
            Err(error) => Some(Err(error)),
            Ok(None) if self.refuses() && stream.piece(messages) == messages.len() => {
                Some(Err(stream.full()))
            }
            Ok(None) => None,
        }
    }

    /// Stores messages, and waits for room.
    pub(crate) async fn publish(&self, stream: &Stream, messages: &mut Vec<Message>) -> Result<Published> {
        if let Some(published) = self.try_publish(stream, messages) {
            return published;
        }
        let place = stream.queue();
        let mut outcomes: Vec<Outcome> = Vec::new();
        loop {
            let piece = stream.piece(messages);
            let mut rest = messages.split_off(piece.min(messages.len()));
            let tried = self
                .check(Capabilities::PUBLISH)
                .and_then(|()| stream.try_publish(messages, self.rules, Some(&place)));
            let stored = matches!(tried, Ok(Some(_)));
            messages.append(&mut rest);
            match tried {
                Ok(Some(published)) if messages.is_empty() && outcomes.is_empty() => return Ok(published),
                Ok(Some(published)) => outcomes.extend(published.into_outcomes()),
                Ok(None) if self.refuses() => return not_sent(outcomes, messages, stream.full()),
                Ok(None) => place.wait().await,
                Err(error) => return not_sent(outcomes, messages, error),
            }
            if stored && messages.is_empty() {
                return Ok(Published::each(outcomes));
            }
        }
    }

    pub(crate) fn rules(&self) -> Rules {
        self.rules
    }

    /// Whether publishing to a full stream is refused.
    pub(crate) fn refuses(&self) -> bool {
        self.hub.limits.when_full == WhenFull::Refuse
    }

    /// Refuses a start that needs what is not claimed.
    pub(crate) fn check_start(&self, start: &StartPosition) -> Result<()> {
        match start {
            StartPosition::Earliest | StartPosition::Latest => Ok(()),
            StartPosition::Id(_) | StartPosition::Time(_) => self.check(Capabilities::REPLAY),
        }
    }

    /// Refuses to wait where that is not claimed.
    pub(crate) fn check_wait(&self, wait: Duration) -> Result<()> {
        if wait.is_zero() {
            Ok(())
        } else {
            self.check(Capabilities::BLOCKING_READ)
        }
    }

    /// What the names of a membership stand for; the group is made, and the consumer joins it.
    pub(crate) fn enter(&self, member: &Membership) -> Result<(Arc<Stream>, Arc<Group>, Consumer)> {
        self.check(Capabilities::CONSUMER_GROUPS)?;
        self.check_start(&member.start)?;
        let sequential = member.ordering == Order::Sequential;
        if sequential {
            self.check(Capabilities::MESSAGE_ORDERING)?;
        }
        let stream = self.hub.stream(&member.stream)?;
        let (group, _) = stream.open_group(&member.group, &member.start)?;
        let consumer = Consumer {
            member: group.join(&member.consumer, self.hub.clock.now())?,
            lease: member.lease,
            sequential,
            settles: self.has(Capabilities::MESSAGE_ACKNOWLEDGEMENT),
        };
        Ok((stream, group, consumer))
    }

    /// What the names of a membership stand for, if group and stream are there; nothing is made.
    pub(crate) fn find(&self, member: &Membership) -> Option<Found> {
        let stream = self.hub.find(&member.stream)?;
        let group = stream.group(&member.group)?;
        let member = group.member(&member.consumer);
        Some(Found {
            stream,
            group,
            member,
        })
    }

    /// The stream of this name, for an operation that can't do without.
    pub(crate) fn expect_stream(&self, name: &StreamName) -> Result<Arc<Stream>> {
        self.hub.find(name).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("there is no stream `{name}`; publish to it once"),
            )
        })
    }

    /// Hands out what is there; `None` where nothing is.
    #[inline]
    pub(crate) fn try_read(
        &self,
        stream: &Stream,
        group: &Group,
        consumer: &Consumer,
        start: &StartPosition,
        max: usize,
    ) -> Option<Result<Deliveries>> {
        if let Err(error) = self.check(Capabilities::CONSUMER_GROUPS) {
            return Some(Err(error));
        }
        if max == 0 {
            return Some(Ok(Deliveries::new()));
        }
        let now = self.hub.clock.now();
        stream.admit(now);
        loop {
            match group.read(stream, consumer, now, max) {
                Ok(deliveries) if deliveries.is_empty() => {
                    stream.ran_dry();
                    return None;
                }
                Ok(deliveries) => {
                    if !consumer.settles {
                        stream.freed(deliveries.len() as u64);
                    }
                    return Some(Ok(deliveries));
                }
                Err(Gone) => {
                    if let Err(error) = stream.recreate(group, start) {
                        return Some(Err(error));
                    }
                }
            }
        }
    }

    /// Hands out messages, and waits for the first one.
    pub(crate) async fn read(
        &self,
        stream: &Stream,
        group: &Group,
        consumer: &Consumer,
        start: &StartPosition,
        max: usize,
        wait: Duration,
    ) -> Result<Deliveries> {
        let attempt = || self.try_read(stream, group, consumer, start, max);
        self.check_wait(wait)?;
        if let Some(read) = attempt() {
            return read;
        }
        if wait.is_zero() {
            return Ok(Deliveries::new());
        }
        let until = self.hub.clock.now().after(wait);
        let due = || group.due().min(stream.delayed_due());
        let read = group.gate.wait(&self.hub.clock, until, attempt, due).await;
        read.unwrap_or_else(|| Ok(Deliveries::new()))
    }

    /// Marks deliveries as done.
    #[inline]
    pub(crate) fn ack(
        &self,
        stream: &Stream,
        group: &Group,
        member: Option<&Member>,
        runs: &[ReceiptRun],
    ) -> Result<Settlements> {
        self.check(Capabilities::MESSAGE_ACKNOWLEDGEMENT)?;
        let now = self.hub.clock.now();
        let who = see(member, now);
        Ok(group.settle(stream, runs, who, Purpose::Done, Settled::Acked, now))
    }

    /// Refuses deliveries.
    pub(crate) fn nack(
        &self,
        stream: &Stream,
        group: &Group,
        member: Option<&Member>,
        runs: &[ReceiptRun],
        disposition: Disposition,
        failure: &Failure,
    ) -> Result<Settlements> {
        self.check_nack(disposition)?;
        let now = self.hub.clock.now();
        let who = see(member, now);
        let purpose = match disposition {
            Disposition::Requeue { delay } => Purpose::Requeue(now.after(delay), SystemTime::now()),
            Disposition::GiveBack => Purpose::GiveBack,
            Disposition::Discard => Purpose::Done,
            Disposition::DeadLetter => {
                return match member {
                    Some(member) => group.bury(stream, runs, member, failure, now),
                    None => Ok(group.settle(stream, runs, who, Purpose::Done, Settled::Nacked, now)),
                };
            }
        };
        Ok(group.settle(stream, runs, who, purpose, Settled::Nacked, now))
    }

    /// Refuses a disposition that is not claimed.
    pub(crate) fn check_nack(&self, disposition: Disposition) -> Result<()> {
        self.check(Capabilities::MESSAGE_REJECTION)?;
        match disposition {
            Disposition::DeadLetter => self.check(Capabilities::DEAD_LETTER_QUEUE),
            Disposition::Requeue { .. } | Disposition::GiveBack | Disposition::Discard => Ok(()),
        }
    }

    /// Lets leases end no sooner than `by` from now.
    pub(crate) fn extend(
        &self,
        stream: &Stream,
        group: &Group,
        member: Option<&Member>,
        runs: &[ReceiptRun],
        by: Duration,
    ) -> Settlements {
        let now = self.hub.clock.now();
        let who = see(member, now);
        group.settle(
            stream,
            runs,
            who,
            Purpose::Extend(now.after(by)),
            Settled::Acked,
            now,
        )
    }

    /// The state in numbers, and what wants attention.
    pub(crate) fn health(&self) -> HealthReport {
        let streams = self.hub.list();
        let mut report = HealthReport::default();
        let (mut groups, mut messages, mut bytes, mut delayed, mut pending, mut dead) = (0, 0, 0, 0, 0, 0);
        for stream in &streams {
            let summary = stream.summary();
            groups += summary.groups;
            messages += summary.messages;
            bytes += summary.bytes;
            delayed += summary.delayed;
            pending += summary.pending;
            dead += summary.dead;
            report.warnings.extend(summary.warnings);
        }
        let numbers = [
            ("streams", streams.len() as u64),
            ("groups", groups),
            ("messages", messages),
            ("bytes", bytes),
            ("delayed", delayed),
            ("pending", pending),
            ("dead_letters", dead),
        ];
        report.details = numbers
            .map(|(name, number)| (name.to_owned(), number.to_string()))
            .to_vec();
        report
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.hub.events.leave(self.number);
    }
}

/// Who settles, and now is seen to; nobody, where no such consumer ever read.
#[inline]
fn see(member: Option<&Member>, now: Moment) -> Who {
    member.map_or(Who::NOBODY, |member| {
        member.see(now);
        member.who
    })
}

/// What became of a batch of which only the first pieces were stored.
fn not_sent(mut outcomes: Vec<Outcome>, messages: &mut Vec<Message>, error: Error) -> Result<Published> {
    if outcomes.is_empty() {
        return Err(error);
    }
    let again =
        |error: &Error| Error::new(error.kind(), error.message().to_owned()).retry(error.retry_class());
    outcomes.extend(messages.drain(..).map(|_| Outcome::NotSent(again(&error))));
    Ok(Published::each(outcomes))
}

impl Stream {
    /// The answer to who is not to wait for room.
    pub(crate) fn full(&self) -> Error {
        Error::new(
            ErrorKind::Throttled,
            format!(
                "stream `{}` is full of messages that some group has not settled (capacity, capacity_bytes)",
                self.name
            ),
        )
    }
}
