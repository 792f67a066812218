//! From a declared group to its runners: one for a stream, and for a pattern one for each stream that matches.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use broker_core::broker::Subscription;
use broker_core::{Capabilities, Result, StreamName, StreamPattern};
use tokio::task::JoinSet;

use super::assemble::{Assembled, Source};
use super::engine::{Inner, Running};
use crate::context::Context;
use crate::retry::{Budget, RetryPolicy};
use crate::run::{
    BatchLanes, Lanes, Phase, RouteInfo, Runner, SingleLanes, Stop, Strategy, Tally, Wiring, seed,
};
use crate::subscriber::{AtEnd, Make};

/// Deliveries in hand unless a subscriber says otherwise: enough that reading never waits for a round trip.
const PREFETCH: usize = 256;

/// As many as they may grow to where handlers are quick: larger reads gain next to nothing.
const PREFETCH_AT_MOST: usize = 2048;

/// How soon a stream that matches a pattern is found, on a broker that lists its streams.
const LISTING: Duration = Duration::from_secs(1);

/// What the streams of dead letters end with; those have none of their own.
const DEAD: &str = ".dead";

/// A group that was joined, and is ready to run.
pub(super) struct Joined {
    member: Member,
    /// None for a pattern whose streams are listed.
    runner: Option<Runner>,
}

/// A member of a group, which makes runners.
struct Member {
    inner: Arc<Inner>,
    one: Assembled,
    stop: Stop,
    tally: Arc<Tally>,
}

impl Joined {
    pub(super) async fn new(inner: &Arc<Inner>, one: Assembled) -> Result<Self> {
        let member = Member {
            inner: Arc::clone(inner),
            one,
            stop: Stop::new(),
            tally: Arc::default(),
        };
        if member.one.settings.at_end == AtEnd::RemoveStream {
            // That the broker can do that is found out now, and not when it is too late.
            member.one.broker.streams().await?;
        }
        let runner = match &member.one.source {
            Source::Stream(stream) => Some(member.runner(stream).await?),
            Source::Pattern(pattern) if member.listens() => {
                let listening = member.one.broker.listen(pattern.as_str());
                let listening = listening.prefetch(*member.prefetch().start()).start().await?;
                let stream = listening.stream().clone();
                Some(member.runner_over(listening, &stream)?)
            }
            Source::Pattern(_) => {
                // That the broker can list its streams at all is found out now.
                member.one.broker.streams().await?;
                None
            }
        };
        Ok(Self { member, runner })
    }

    pub(super) fn running(&self) -> Running {
        let member = &self.member;
        Running {
            broker: member.one.broker.name().to_owned(),
            stream: member.one.source.to_string(),
            group: member.one.group.to_string(),
            tally: Arc::clone(&member.tally),
            stop: member.stop.clone(),
            handlers: member.one.handlers(),
        }
    }

    /// Runs until it is stopped.
    pub(super) async fn run(self) {
        let Self { member, runner } = self;
        match (runner, &member.one.source) {
            (Some(runner), _) => runner.run().await,
            (None, Source::Pattern(pattern)) => member.follow(pattern).await,
            (None, Source::Stream(_)) => {}
        }
        member.clear_away().await;
    }
}

impl Member {
    /// Runs each stream that matches, from when it is first listed.
    async fn follow(&self, pattern: &StreamPattern) {
        let mut known = BTreeSet::new();
        let mut runners = JoinSet::new();
        let mut stopping = std::pin::pin!(self.stop.listen().reached(Phase::Draining));
        loop {
            match self.one.broker.streams().await {
                Ok(streams) => {
                    for stream in streams {
                        if !pattern.matches(stream.as_str()) || known.contains(&stream) {
                            continue;
                        }
                        match self.runner(&stream).await {
                            Ok(runner) => {
                                runners.spawn(runner.run());
                                known.insert(stream);
                            }
                            Err(error) => {
                                tracing::warn!(%error, %stream, "joining failed; it is tried again");
                            }
                        }
                    }
                }
                Err(error) => {
                    self.tally.read_errors.add(1);
                    tracing::warn!(%error, %pattern, "listing the streams failed; it is tried again");
                }
            }
            if tokio::time::timeout(LISTING, &mut stopping).await.is_ok() {
                break;
            }
        }
        while runners.join_next().await.is_some() {}
    }

    /// Removes what is not to outlive the subscriber.
    async fn clear_away(&self) {
        let (broker, group) = (&self.one.broker, &self.one.group);
        let at_end = self.one.settings.at_end;
        if at_end == AtEnd::Keep || (at_end == AtEnd::RemoveGroup && self.listens()) {
            return;
        }
        let streams = match &self.one.source {
            Source::Stream(stream) => vec![stream.clone()],
            Source::Pattern(pattern) => {
                let mut streams = broker.streams().await.unwrap_or_default();
                streams.retain(|stream| pattern.matches(stream.as_str()));
                streams
            }
        };
        for stream in streams {
            let removed = match at_end {
                AtEnd::RemoveStream => broker.delete_stream(&stream).await,
                AtEnd::RemoveGroup | AtEnd::Keep => broker.delete_group(&stream, group, true).await,
            };
            if let Err(error) = removed {
                tracing::warn!(%error, %stream, %group, "what the subscriber was to remove is still there");
            }
        }
    }

    /// Whether there are no groups: every member sees every message.
    fn listens(&self) -> bool {
        !self.one.broker.has_capability(Capabilities::CONSUMER_GROUPS)
    }

    fn prefetch(&self) -> RangeInclusive<usize> {
        let settings = &self.one.settings;
        let settles = self
            .one
            .broker
            .has_capability(Capabilities::MESSAGE_ACKNOWLEDGEMENT);
        let at_once = settings.concurrency * self.one.batch_size();
        match settings.prefetch {
            Some(prefetch) => prefetch.max(at_once)..=prefetch.max(at_once),
            None if settles => {
                let least = PREFETCH.max(at_once.saturating_mul(4));
                least..=PREFETCH_AT_MOST.max(least)
            }
            // What was read ahead of a crash would be lost: no more than is being handled.
            None => at_once..=at_once,
        }
    }

    fn lease(&self) -> Duration {
        let settings = &self.one.settings;
        settings.lease.unwrap_or(self.one.broker.config().message_timeout)
    }

    async fn runner(&self, stream: &StreamName) -> Result<Runner> {
        let (one, settings) = (&self.one, &self.one.settings);
        if self.listens() {
            let listening = one.broker.listen(stream.as_str());
            let listening = listening.prefetch(*self.prefetch().start()).start().await?;
            return self.runner_over(listening, stream);
        }
        let attempts = self.routes().iter().map(|route| route.retry.attempts).max();
        let mut subscription = one
            .broker
            .subscribe(stream, &one.group)
            .start_at(settings.start.clone())
            .max_attempts(attempts.unwrap_or(1))
            .prefetch_between(self.prefetch())
            .lease(self.lease());
        if settings.sequential {
            subscription = subscription.sequential();
        }
        let subscription = subscription
            .start()
            .await
            .map_err(|error| error.with("stream", stream).with("group", &one.group))?;
        self.runner_over(subscription, stream)
    }

    fn routes(&self) -> Vec<RouteInfo> {
        let config = self.one.broker.config();
        let route = |declared: &crate::subscriber::Declared| RouteInfo {
            kinds: declared.kinds.clone(),
            handles_rest: declared.handles_rest,
            timeout: declared.settings.timeout,
            retry: declared
                .settings
                .retry
                .clone()
                .unwrap_or_else(|| RetryPolicy::of(config)),
            undecodable: declared.settings.undecodable,
        };
        self.one.declared.iter().map(route).collect()
    }

    fn runner_over(&self, subscription: Subscription, stream: &StreamName) -> Result<Runner> {
        let (one, settings, routes) = (&self.one, &self.one.settings, self.routes());
        let budget = routes
            .iter()
            .map(|route| route.retry.budget)
            .fold(f64::NAN, f64::min);
        let keeps_dead = self.inner.dead_streams && !stream.as_str().ends_with(DEAD);
        let dead_stream = keeps_dead
            .then(|| StreamName::new(format!("{stream}.{}{DEAD}", one.group)))
            .transpose()?;
        let wiring = Wiring {
            context: Context::new(
                stream.clone(),
                one.group.clone(),
                one.broker.clone(),
                self.inner.brokers.clone(),
                Arc::clone(&self.inner.states),
            ),
            routes,
            strategy: Strategy::of(&one.broker, dead_stream),
            ack: settings.ack,
            ordered_by: settings.ordered_by,
            lease: self.lease(),
            tally: Arc::clone(&self.tally),
            seed: seed(),
        };
        let lanes = self.lanes(Budget::new(budget));
        Ok(Runner::new(subscription, wiring, lanes, &self.stop.listen()))
    }

    fn lanes(&self, budget: Budget) -> Lanes {
        let (one, count) = (&self.one, self.one.settings.concurrency);
        // A handler of batches is the only one of its group.
        if let Some((batching, make)) = one.declared.iter().find_map(|declared| match &declared.make {
            Make::Batched(batching, make) => Some((*batching, make)),
            Make::Single(_) => None,
        }) {
            return Lanes::Batched(BatchLanes::new(count, batching, budget, || make()));
        }
        let calls = || {
            let calls = one.declared.iter().filter_map(|declared| match &declared.make {
                Make::Single(make) => Some(make()),
                Make::Batched(..) => None,
            });
            calls.collect()
        };
        Lanes::Single(SingleLanes::new(count, budget, calls))
    }
}
