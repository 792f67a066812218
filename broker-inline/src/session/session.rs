//! One opened broker: its claims, whether it is closed, and the state it works on.

use std::sync::Arc;
use std::time::Duration;

use broker_core::base::{HealthReport, Membership, OpenContext};
use broker_core::{
    Capabilities, Error, ErrorKind, LostCapability, Ordering as Order, Result, StartPosition, StreamName,
};

use crate::claims::Claims;
use crate::config::InlineConfig;
use crate::group::Member;
use crate::group::{Consumer, Group};
use crate::hub::Hub;
use crate::stream::{Rules, Stream};
use crate::sync::{AtomicBool, Ordering, fence};

/// One opened broker. Endpoints share it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) hub: Arc<Hub>,
    claims: Claims,
    pub(super) rules: Rules,
    /// Whether publishing waits for handlers, and how long at most.
    pub(super) waits: Option<Duration>,
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
        let limits = config.limits()?;
        let hub = match config.shared_name()? {
            None => Arc::new(Hub::new(limits)),
            Some(name) => Hub::shared(&name, limits).map_err(|others| {
                Error::config(
                    "shared",
                    format!("another broker has opened the state `{name}` with other bounds ({others:?}); say the same"),
                )
            })?,
        };
        let claims = config.claims();
        let waits = config.waits()?.then_some(context.config.operation_timeout);
        if waits.is_some() {
            hub.handlings.want();
        }
        let has = |flag| claims.capabilities().contains(flag);
        Ok(Self {
            number: hub.join(context.events.clone()),
            hub,
            claims,
            rules: Rules {
                delays: has(Capabilities::DELAYED_DELIVERY),
                idempotent: has(Capabilities::IDEMPOTENT_PUBLISH),
            },
            waits,
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

    /// Whether the broker is closed.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Refuses what is not claimed, and everything once the broker is closed.
    #[inline]
    pub(crate) fn check(&self, needed: Capabilities) -> Result<()> {
        if self.is_closed() {
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

    /// Refuses a start that needs what is not claimed.
    pub(crate) fn check_start(&self, start: &StartPosition) -> Result<()> {
        match start {
            StartPosition::Earliest | StartPosition::Latest => Ok(()),
            StartPosition::Id(_) | StartPosition::Time(_) => self.check(Capabilities::REPLAY),
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
