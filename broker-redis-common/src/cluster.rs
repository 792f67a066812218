//! A cluster: which node holds which slot, and how commands find theirs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker_core::{Error, ErrorKind, Result, Retry};
use redis::{Cmd, Pipeline, Value};

use crate::Redis;
use crate::address::Address;
use crate::node::Node;
use crate::redirect::Redirect;
use crate::slots::{SLOTS, slot_of};
use crate::{error, reply};

/// How often a command follows a redirection before the cluster counts as unsettled.
const ROUNDS: usize = 8;

/// Which node holds which slot.
pub(crate) struct Cluster {
    seeds: Vec<Address>,
    map: Mutex<Map>,
    /// A node redirected: there is more to learn than the one slot.
    stale: AtomicBool,
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Map {
    /// The node of each slot; empty before the first look.
    owners: Vec<Option<Arc<Node>>>,
    /// Rises with each look, so that those who wait for one look not again.
    looks: u64,
}

/// Commands of a pipeline that go to the same node in one piece.
struct Part {
    node: Arc<Node>,
    /// Each with whether it has to be announced by `ASKING`.
    commands: Vec<(usize, bool)>,
}

impl Cluster {
    pub(crate) fn new(seeds: Vec<Address>) -> Self {
        Self {
            seeds,
            map: Mutex::default(),
            stale: AtomicBool::new(false),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// Where the cluster was looked for.
    pub(crate) fn seeds(&self) -> &[Address] {
        &self.seeds
    }

    /// The node that holds `slot`, or any.
    pub(crate) async fn node(&self, redis: &Redis, slot: Option<u16>) -> Result<Arc<Node>> {
        if let Some(node) = self.known(slot)
            && !node.is_lost()
            && !self.stale.load(Ordering::Acquire)
        {
            return Ok(node);
        }
        self.look(redis).await?;
        self.known(slot).ok_or_else(|| {
            Error::new(
                ErrorKind::Connection,
                "no node of the cluster holds this stream's slot",
            )
            .retry(Retry::Safe)
        })
    }

    /// The nodes that hold slots.
    pub(crate) fn masters(&self) -> Vec<Arc<Node>> {
        let mut masters: Vec<Arc<Node>> = Vec::new();
        for owner in self.map().owners.iter().flatten() {
            if masters.last().is_none_or(|last| !Arc::ptr_eq(last, owner))
                && !masters.iter().any(|known| Arc::ptr_eq(known, owner))
            {
                masters.push(Arc::clone(owner));
            }
        }
        masters
    }

    /// Notes that a slot is elsewhere.
    pub(crate) fn moved(&self, redis: &Redis, from: &Node, redirect: &Redirect) -> Arc<Node> {
        let node = redis.nodes().at(redirect.address(&from.address));
        if !redirect.ask {
            if let Some(owner) = self.map().owners.get_mut(usize::from(redirect.slot)) {
                *owner = Some(Arc::clone(&node));
            }
            self.stale.store(true, Ordering::Release);
        }
        node
    }

    /// Sends one command; a refusal by the server is an answer.
    pub(crate) async fn ask(&self, redis: &Redis, command: &Cmd) -> Result<Value> {
        let node = self.node(redis, slot_of(command)).await?;
        let answer = node.shared(redis).await?.ask(command).await?;
        if Redirect::of(&answer).is_none() {
            return Ok(answer);
        }
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.add_command(command.clone());
        let answers = self.follow(
            redis,
            &pipeline,
            vec![slot_of(command)],
            vec![Some(answer)],
            &node,
        );
        answers.await?.pop().ok_or_else(|| error::odd_reply("a command"))
    }

    /// Sends commands, those of one node in one piece; a refusal of one of them is its answer.
    pub(crate) async fn pipeline(&self, redis: &Redis, pipeline: &Pipeline) -> Result<Vec<Value>> {
        let slots = slots_of(pipeline);
        let (first, count) = (slots.first().copied().flatten(), slots.len());
        let node = self.node(redis, first).await?;
        let mut answers = vec![None; count];
        // The usual case: all belong to one stream, and nothing is on the move.
        if slots.iter().all(|slot| *slot == first) {
            let found = node.shared(redis).await?.pipeline(pipeline).await?;
            if !found.iter().any(|answer| Redirect::of(answer).is_some()) {
                return Ok(found);
            }
            answers = found.into_iter().map(Some).collect();
        }
        self.follow(redis, pipeline, slots, answers, &node).await
    }

    /// Sends what has no answer yet, or only that it belongs elsewhere, until each command has met its node.
    async fn follow(
        &self,
        redis: &Redis,
        pipeline: &Pipeline,
        slots: Vec<Option<u16>>,
        mut answers: Vec<Option<Value>>,
        from: &Arc<Node>,
    ) -> Result<Vec<Value>> {
        let commands: Vec<&Cmd> = pipeline.cmd_iter().collect();
        let mut sources: Vec<Arc<Node>> = vec![Arc::clone(from); commands.len()];
        for _ in 0..ROUNDS {
            let mut parts: Vec<Part> = Vec::new();
            for (at, (answer, slot)) in answers.iter().zip(&slots).enumerate() {
                let redirect = answer.as_ref().and_then(Redirect::of);
                if answer.is_some() && redirect.is_none() {
                    continue;
                }
                let source = sources.get(at).unwrap_or(from);
                let (node, asking) = match redirect {
                    Some(redirect) => (self.moved(redis, source, &redirect), redirect.ask),
                    None => (self.node(redis, *slot).await?, false),
                };
                match parts.iter_mut().find(|part| Arc::ptr_eq(&part.node, &node)) {
                    Some(part) => part.commands.push((at, asking)),
                    None => parts.push(Part {
                        node,
                        commands: vec![(at, asking)],
                    }),
                }
            }
            if parts.is_empty() {
                return Ok(answers.into_iter().flatten().collect());
            }
            for part in parts {
                let found = part.send(redis, &commands).await;
                // What other nodes have done already must not be taken for undone.
                let done = || {
                    answers
                        .iter()
                        .flatten()
                        .any(|answer| Redirect::of(answer).is_none())
                };
                let found = match found {
                    Err(failure) if failure.retry_class() == Retry::Safe && done() => {
                        return Err(failure.retry(Retry::Unknown));
                    }
                    found => found?,
                };
                for ((at, _), value) in part.commands.iter().zip(found) {
                    if let (Some(answer), Some(source)) = (answers.get_mut(*at), sources.get_mut(*at)) {
                        (*answer, *source) = (Some(value), Arc::clone(&part.node));
                    }
                }
            }
        }
        Err(Error::new(
            ErrorKind::Connection,
            "the cluster's nodes send a command round and round",
        )
        .retry(Retry::Unknown))
    }

    /// Asks a node who holds what.
    async fn look(&self, redis: &Redis) -> Result<()> {
        let before = self.map().looks;
        let _one_at_a_time = self.asking.lock().await;
        if self.map().looks != before {
            return Ok(());
        }
        self.stale.store(false, Ordering::Release);
        let mut nodes = self.masters();
        // Those that answer at once come first.
        nodes.sort_by_key(|node| node.live().is_none());
        let seeds = self.seeds.iter().map(|seed| redis.nodes().at(seed.clone()));
        for seed in seeds.collect::<Vec<_>>() {
            if !nodes.iter().any(|node| Arc::ptr_eq(node, &seed)) {
                nodes.push(seed);
            }
        }
        let mut failure = None;
        for node in nodes {
            match self.look_at(redis, &node).await {
                Ok(owners) => {
                    let mut map = self.map();
                    map.owners = owners;
                    map.looks += 1;
                    return Ok(());
                }
                Err(error) if matches!(error.kind(), ErrorKind::Config | ErrorKind::Permission) => {
                    return Err(error);
                }
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| Error::config("hosts", "no node of the cluster is named")))
    }

    async fn look_at(&self, redis: &Redis, node: &Node) -> Result<Vec<Option<Arc<Node>>>> {
        let mut question = redis::cmd("CLUSTER");
        question.arg("SLOTS");
        let answer = node.shared(redis).await?.ask(&question).await?;
        if let Value::ServerError(refusal) = &answer
            && refusal
                .details()
                .is_some_and(|detail| detail.contains("cluster support disabled"))
        {
            return Err(Error::config(
                "cluster",
                "the server is not part of a cluster; set `cluster = false`, or name one host",
            )
            .with("server", &node.address));
        }
        let mut owners = vec![None; usize::from(SLOTS)];
        for range in reply::items(answer, "CLUSTER SLOTS")? {
            let Value::Array(parts) = range else {
                return Err(error::odd_reply("CLUSTER SLOTS"));
            };
            let bound = |at: usize| {
                let slot = parts.get(at).and_then(reply::count);
                slot.and_then(|slot| usize::try_from(slot).ok())
            };
            let (Some(from), Some(to), Some(Value::Array(owner))) = (bound(0), bound(1), parts.get(2)) else {
                return Err(error::odd_reply("CLUSTER SLOTS"));
            };
            let host = owner.first().and_then(reply::text).unwrap_or_default();
            let port = owner
                .get(1)
                .and_then(reply::number)
                .and_then(|port| u16::try_from(port).ok());
            let Some(port) = port.filter(|_| host != "?") else {
                continue;
            };
            let owner = redis.nodes().at(node.address.sibling(host, port));
            for slot in owners.get_mut(from..=to).unwrap_or_default() {
                *slot = Some(Arc::clone(&owner));
            }
        }
        Ok(owners)
    }

    fn known(&self, slot: Option<u16>) -> Option<Arc<Node>> {
        match slot {
            Some(slot) => self.map().owners.get(usize::from(slot)).cloned().flatten(),
            None => {
                let masters = self.masters();
                let live = masters.iter().find(|node| node.live().is_some());
                live.or(masters.first()).cloned()
            }
        }
    }

    fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    async fn send(&self, redis: &Redis, commands: &[&Cmd]) -> Result<Vec<Value>> {
        let mut pipeline = Pipeline::with_capacity(self.commands.len() * 2);
        for (at, asking) in &self.commands {
            if *asking {
                pipeline.cmd("ASKING");
            }
            if let Some(command) = commands.get(*at) {
                pipeline.add_command((*command).clone());
            }
        }
        let mut answers = self
            .node
            .shared(redis)
            .await?
            .pipeline(&pipeline)
            .await?
            .into_iter();
        let mut found = Vec::with_capacity(self.commands.len());
        for (_, asking) in &self.commands {
            if *asking {
                answers.next();
            }
            found.push(answers.next().ok_or_else(|| error::odd_reply("a pipeline"))?);
        }
        Ok(found)
    }
}

/// The slot of each command; one without a key goes with the one before it, or with the first that has one.
fn slots_of(pipeline: &Pipeline) -> Vec<Option<u16>> {
    let mut slots: Vec<_> = pipeline.cmd_iter().map(slot_of).collect();
    let mut last = slots.iter().copied().flatten().next();
    for slot in &mut slots {
        *slot = slot.or(last);
        last = *slot;
    }
    slots
}
