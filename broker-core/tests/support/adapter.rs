//! The adapter that follows a script.

use std::task::Poll;
use std::time::Duration;

use broker_core::base::{
    BaseBroker, DeadLetters, Deliveries, Disposition, Endpoints, Families, HealthReport, Nack, OpenContext,
    PublishBatch, ReadRequest, Settle,
};
use broker_core::config::{BrokerUrl, duration};
use broker_core::registry::{Provider, ProviderConfig};
use broker_core::{
    Capabilities, DeadLetter, DeadLetterPage, DeadLetterQuery, Error, ErrorKind, GroupName, LostCapability,
    Message, MessageId, Outcome, Published, Receipt, ReceiptRun, Result, Retry, Secret, Selection, Settled,
    Settlements, StreamName, async_trait,
};
use serde::Deserialize;
use tokio::time::Instant;

use super::CLAIMS;
use super::script::{Call, Script, Step};

pub(crate) static PROVIDER: Provider =
    Provider::new::<ScriptConfig>("script", "broker-script").schemes(&["scripted"]);

/// Settings of every type that a provider may want.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct ScriptConfig {
    pub(crate) uri: Option<BrokerUrl>,
    pub(crate) password: Secret,
    pub(crate) pool_size: u16,
    pub(crate) ratio: f64,
    pub(crate) verify: bool,
    pub(crate) mode: Mode,
    #[serde(with = "duration")]
    pub(crate) patience: Duration,
    pub(crate) servers: Vec<String>,
    pub(crate) claims: Option<Capabilities>,
    #[serde(skip)]
    script: Option<Script>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    #[default]
    Queue,
    Channel,
}

impl Default for ScriptConfig {
    fn default() -> Self {
        Self {
            uri: None,
            password: Secret::default(),
            pool_size: 4,
            ratio: 0.5,
            verify: true,
            mode: Mode::Queue,
            patience: Duration::from_secs(1),
            servers: Vec::new(),
            claims: None,
            script: None,
        }
    }
}

impl ScriptConfig {
    pub(crate) fn following(script: &Script) -> Self {
        Self {
            script: Some(script.clone()),
            ..Self::default()
        }
    }
}

impl ProviderConfig for ScriptConfig {
    type Broker = Script;

    const PROVIDER: &'static Provider = &PROVIDER;

    fn open(self, _: OpenContext) -> Result<Script> {
        Ok(self
            .script
            .unwrap_or_else(|| Script::new(self.claims.unwrap_or(CLAIMS))))
    }
}

impl BaseBroker for Script {
    fn capabilities(&self) -> Capabilities {
        self.state().claims
    }

    fn lost_capabilities(&self) -> Vec<LostCapability> {
        self.state().lost.clone()
    }

    fn families(&self) -> Families<'_> {
        Families {
            dead_letters: self.state().offers_dead_letters.then_some(self),
            endpoints: self.resolves.map(|_| self as &dyn Endpoints),
            ..Families::default()
        }
    }

    async fn publish(&self, batch: PublishBatch<'_>) -> Result<Published> {
        self.store(batch.messages()).await
    }

    async fn read(&self, request: ReadRequest<'_>) -> Result<Deliveries> {
        self.hand_out(request.max, request.wait).await
    }

    async fn ack(&self, settle: Settle<'_>) -> Result<Settlements> {
        self.settle(settle.runs, None).await
    }

    async fn nack(&self, nack: Nack<'_>) -> Result<Settlements> {
        self.settle(nack.settle.runs, Some((nack.disposition, &nack.failure.reason)))
            .await
    }

    async fn ping(&self) -> Result<()> {
        self.step("ping", 0).await.map(|_| ())
    }

    fn health_stats(&self) -> HealthReport {
        HealthReport::default()
    }

    async fn ensure_connection(&self) -> Result<()> {
        self.step("connect", 0).await.map(|_| ())
    }

    async fn close(&self) -> Result<()> {
        self.step("close", 0).await.map(|_| ())
    }
}

/// How a call goes on after its step.
pub(super) enum Then {
    Work,
    FailAfter(Error),
    FailSome(Vec<usize>, Error),
    Forget,
    Empty,
}

impl Script {
    pub(super) fn note(&self, operation: &'static str, size: usize) -> Option<Step> {
        let mut state = self.state();
        let at = Instant::now();
        state.calls.push(Call { operation, at, size });
        state.steps.get_mut(operation)?.pop_front()
    }

    pub(super) async fn step(&self, operation: &'static str, size: usize) -> Result<Then> {
        match self.note(operation, size) {
            None => Ok(Then::Work),
            Some(Step::Fail(error)) => Err(error),
            Some(Step::FailAfter(error)) => Ok(Then::FailAfter(error)),
            Some(Step::FailSome(places, error)) => Ok(Then::FailSome(places, error)),
            Some(Step::Forget) => Ok(Then::Forget),
            Some(Step::Empty) => Ok(Then::Empty),
            Some(Step::Hang) => std::future::pending().await,
            Some(Step::FailLate(time, error)) => {
                tokio::time::sleep(time).await;
                Err(error)
            }
            Some(Step::FailAtPoll(number, error)) => {
                let mut polls = 0;
                std::future::poll_fn(|_| {
                    polls += 1;
                    match polls < number {
                        true => Poll::Pending,
                        false => Poll::Ready(()),
                    }
                })
                .await;
                Err(error)
            }
            Some(Step::Wait(time)) => {
                tokio::time::sleep(time).await;
                Ok(Then::Work)
            }
            Some(Step::Gate(gate)) => {
                gate.acquire().await.unwrap().forget();
                Ok(Then::Work)
            }
            Some(Step::Panic) => panic!("as the script says"),
        }
    }

    pub(super) async fn store(&self, messages: &[Message]) -> Result<Published> {
        let then = self.step("publish", messages.len()).await?;
        let failing = match &then {
            Then::FailSome(places, error) => Some((places, error)),
            _ => None,
        };
        let mut state = self.state();
        let mut outcomes: Vec<Outcome> = messages
            .iter()
            .enumerate()
            .map(|(place, message)| match failing {
                Some((places, error)) if places.contains(&place) => match error.retry_class() {
                    Retry::Unknown => Outcome::Unknown(error.clone()),
                    _ => Outcome::NotSent(error.clone()),
                },
                _ => Outcome::Stored(MessageId::Offset {
                    partition: 0,
                    offset: state.store(message.clone()),
                }),
            })
            .collect();
        drop(state);
        self.arrived.notify_waiters();
        match then {
            Then::FailAfter(error) => return Err(error),
            Then::Forget => drop(outcomes.pop()),
            Then::Work | Then::FailSome(..) | Then::Empty => {}
        }
        Ok(Published::each(outcomes))
    }

    pub(super) async fn hand_out(&self, max: usize, wait: Duration) -> Result<Deliveries> {
        if max == 0 {
            return self.step("join", 0).await.map(|_| Deliveries::new());
        }
        if let Then::Empty = self.step("read", max).await? {
            return Ok(Deliveries::new());
        }
        let until = Instant::now() + wait;
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            arrived.as_mut().enable();
            let deliveries = self.deliveries(max);
            let waits = self.state().claims.contains(Capabilities::BLOCKING_READ);
            if !deliveries.is_empty() || !waits || Instant::now() >= until {
                return Ok(deliveries);
            }
            let _ = tokio::time::timeout_at(until, arrived).await;
        }
    }

    pub(super) fn deliveries(&self, max: usize) -> Deliveries {
        let mut state = self.state();
        let taken = state.hand_out(max);
        let receipts = taken.iter().map(|(sequence, attempt)| Receipt {
            sequence: *sequence,
            attempt: *attempt,
            ..Receipt::default()
        });
        let receipts: Vec<_> = receipts.collect();
        let messages = receipts.iter().map(|receipt| {
            let message = &state.stored[usize::try_from(receipt.sequence).unwrap()];
            (receipt.offset_id(), message.clone())
        });
        let messages: Vec<_> = messages.collect();
        if messages.is_empty() {
            return Deliveries::new();
        }
        Deliveries::each(messages, receipts)
    }

    async fn settle(
        &self,
        runs: &[ReceiptRun],
        refusal: Option<(Disposition, &String)>,
    ) -> Result<Settlements> {
        let size = runs.iter().map(|run| run.len as usize).sum();
        let operation = if refusal.is_some() { "nack" } else { "ack" };
        let then = self.step(operation, size).await?;
        let mut answers = self.settled(runs, refusal);
        match then {
            Then::FailAfter(error) => return Err(error),
            Then::Forget => answers = Settlements::all(Settled::Acked, size - 1),
            Then::Work | Then::FailSome(..) | Then::Empty => {}
        }
        Ok(answers)
    }

    pub(super) fn settled(
        &self,
        runs: &[ReceiptRun],
        refusal: Option<(Disposition, &String)>,
    ) -> Settlements {
        let mut state = self.state();
        let usual = refusal.map_or(Settled::Acked, |_| Settled::Nacked);
        let mut answers = Settlements::all(usual, 0);
        let mut back = Vec::new();
        for receipt in runs.iter().flat_map(|run| run.iter()) {
            let offset = receipt.sequence;
            if state.pending.remove(&offset).is_none() {
                answers.push(Settled::NotPending);
                continue;
            }
            answers.push(usual);
            match refusal {
                None => state.acked.push(offset),
                Some((disposition, reason)) => {
                    state.nacks.push((offset, disposition, reason.clone()));
                    match disposition {
                        Disposition::Requeue { .. } => state.ready.push_back((offset, receipt.attempt + 1)),
                        Disposition::GiveBack => {
                            state.given_back.push(offset);
                            back.push((offset, receipt.attempt));
                        }
                        Disposition::DeadLetter | Disposition::Discard => {}
                    }
                }
            }
        }
        back.into_iter()
            .rev()
            .for_each(|entry| state.ready.push_front(entry));
        drop(state);
        self.arrived.notify_waiters();
        answers
    }
}

#[async_trait]
impl DeadLetters for Script {
    async fn list(&self, _: &StreamName, _: &GroupName, _: &DeadLetterQuery) -> Result<DeadLetterPage> {
        self.step("list", 0).await.map(|_| DeadLetterPage::default())
    }

    async fn inspect(&self, _: &StreamName, _: &GroupName, _: &MessageId) -> Result<Option<DeadLetter>> {
        Ok(None)
    }

    async fn replay(&self, _: &StreamName, _: &GroupName, _: &Selection) -> Result<u64> {
        Err(Error::new(ErrorKind::NotFound, "there are no dead letters"))
    }

    async fn purge(&self, _: &StreamName, _: &GroupName, _: &Selection) -> Result<u64> {
        Ok(0)
    }

    async fn depth(&self, _: &StreamName, _: &GroupName) -> Result<u64> {
        Ok(0)
    }
}
