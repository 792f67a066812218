//! Transactions: publishes and settlements that Kafka makes visible together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_core::base::{Transact, Transactions, Work};
use broker_core::{
    ConsumerName, Error, ErrorKind, GroupName, Message, Outcome, Published, ReceiptRun, Result, Retry,
    StreamName, TransactorName, async_trait,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::sync::Mutex;

use crate::broker::Kafka;
use crate::choices::Isolation;
use crate::client::{Client, blocking};
use crate::error;
use crate::producer::Producer;
use crate::publish::Publisher;
use crate::settlement::{Claim, Settlement};

#[async_trait]
impl Transactions for Kafka {
    async fn transactor(&self, name: &TransactorName) -> Result<Arc<dyn Transact>> {
        let client = self.client();
        client.check_open()?;
        let producer = open(client, name).await?;
        Ok(Arc::new(Transactor {
            client: Arc::clone(client),
            name: name.clone(),
            place: Arc::new(Mutex::new(Place::Ready(producer))),
        }))
    }
}

/// An opened transactor: the library's producer commits one transaction at a time.
struct Transactor {
    client: Arc<Client>,
    name: TransactorName,
    place: Arc<Mutex<Place>>,
}

/// What it commits with.
enum Place {
    /// A producer between two transactions.
    Ready(Arc<Producer>),
    /// None: the last one left its transaction open, which the next one ends.
    Vacant,
    /// Another instance has it.
    Fenced,
}

#[async_trait]
impl Transact for Transactor {
    async fn commit(&self, work: Work<'_>) -> Result<Vec<Published>> {
        self.client.check_open()?;
        let job = Job {
            client: Arc::clone(&self.client),
            name: self.name.clone(),
            publish: work.publish.to_vec(),
            settle: work
                .settle
                .iter()
                .map(|settle| Done {
                    stream: settle.member.stream.clone(),
                    group: settle.member.group.clone(),
                    consumer: settle.member.consumer.clone(),
                    runs: settle.runs.to_vec(),
                })
                .collect(),
        };
        let place = Arc::clone(&self.place);
        // A transaction that was begun is ended, also when whoever asked for it goes.
        let running = tokio::spawn(async move { job.run(&mut *place.lock().await).await });
        running.await.unwrap_or_else(|failed| {
            Err(Error::new(ErrorKind::Unexpected, "a transaction was broken off")
                .retry(Retry::Unknown)
                .source(failed))
        })
    }
}

impl Drop for Transactor {
    /// The library's producer blocks while it ends: that is done elsewhere.
    fn drop(&mut self) {
        let place = std::mem::replace(&mut self.place, Arc::new(Mutex::new(Place::Vacant)));
        self.client.endings.end(place);
    }
}

/// One transaction.
struct Job {
    client: Arc<Client>,
    name: TransactorName,
    publish: Vec<(StreamName, Vec<Message>)>,
    settle: Vec<Done>,
}

/// What a consumer is done with.
struct Done {
    stream: StreamName,
    group: GroupName,
    consumer: ConsumerName,
    runs: Vec<ReceiptRun>,
}

/// Why a transaction was not committed, as far as is known.
pub(crate) enum Failure {
    /// Nothing of it will be seen.
    Certain(Error),
    /// It may have been committed.
    Doubtful(Error),
}

impl Failure {
    pub(crate) fn certain(failed: &KafkaError) -> Self {
        Self::Certain(from_kafka(failed))
    }

    pub(crate) fn doubtful(failed: &KafkaError) -> Self {
        Self::Doubtful(from_kafka(failed))
    }
}

impl Job {
    async fn run(self, place: &mut Place) -> Result<Vec<Published>> {
        let deadline = Instant::now() + self.client.patience();
        self.client.check_open()?;
        let claims = self.claims().await?;
        let producer = match place {
            Place::Fenced => return Err(fenced()),
            Place::Ready(producer) => Arc::clone(producer),
            Place::Vacant => {
                let producer = open(&self.client, &self.name).await?;
                *place = Place::Ready(Arc::clone(&producer));
                producer
            }
        };
        let answer = self.transact(&producer, claims, deadline).await;
        let (error, doubtful) = match answer {
            Ok(published) => return Ok(published),
            Err(Failure::Certain(error)) => (error, false),
            Err(Failure::Doubtful(error)) => (error.retry(Retry::Unknown), true),
        };
        let undone = !doubtful && {
            let aborting = Arc::clone(&producer);
            let left = left(deadline).max(Duration::from_secs(1));
            blocking(move || aborting.abort(left).map_err(|failed| from_kafka(&failed)))
                .await
                .is_ok()
        };
        if undone {
            return Err(error);
        }
        let was_fenced = producer.fatal().is_some_and(is_fence) || error.kind() == ErrorKind::Fenced;
        *place = if was_fenced { Place::Fenced } else { Place::Vacant };
        // It blocks while it ends.
        let _ = blocking(move || {
            drop(producer);
            Ok(())
        })
        .await;
        if was_fenced {
            return Err(match doubtful {
                true => fenced().retry(Retry::Unknown).source(error),
                false => fenced(),
            });
        }
        // Readers of committed messages wait for what lies open.
        if doubtful && let Ok(producer) = open(&self.client, &self.name).await {
            *place = Place::Ready(producer);
        }
        Err(error)
    }

    async fn transact(
        &self,
        producer: &Arc<Producer>,
        claims: Vec<Claim>,
        deadline: Instant,
    ) -> std::result::Result<Vec<Published>, Failure> {
        producer
            .begin_transaction()
            .map_err(|failed| Failure::certain(&failed))?;
        let mut answers = Vec::with_capacity(self.publish.len());
        for (stream, messages) in &self.publish {
            let published = async {
                let publisher = Publisher::new(&self.client, stream).await?;
                publisher.publish_by(producer, messages).await
            };
            let published = published.await.map_err(Failure::Certain)?;
            if let Some(error) = not_stored(&published) {
                return Err(Failure::Certain(match producer.fatal() {
                    Some(code) if is_fence(code) => fenced(),
                    _ => error,
                }));
            }
            answers.push(published);
        }
        let committing = Arc::clone(producer);
        let ended =
            tokio::task::spawn_blocking(move || Settlement::new(claims).commit(&committing, deadline));
        match ended.await {
            Ok(Ok(())) => Ok(answers),
            Ok(Err(failure)) => Err(failure),
            Err(failed) => Err(Failure::Doubtful(
                Error::new(ErrorKind::Unexpected, "a thread of this provider failed").source(failed),
            )),
        }
    }

    /// The memberships that the deliveries belong to.
    async fn claims(&self) -> Result<Vec<Claim>> {
        let mut claims: Vec<Claim> = Vec::new();
        if !self.settle.is_empty() && self.client.config.isolation != Isolation::ReadCommitted {
            return Err(Error::config(
                "isolation",
                "a transaction that settles deliveries needs `read_committed`; remove the setting",
            ));
        }
        for done in &self.settle {
            let session = self.client.present_session(&done.stream, &done.group).await;
            let Some((session, who)) = session.and_then(|session| {
                let who = session.who(&done.consumer)?;
                Some((session, who))
            }) else {
                return Err(Error::new(
                    ErrorKind::Stale,
                    "the group was left, the deliveries are no longer in hand",
                ));
            };
            let known = claims
                .iter_mut()
                .find(|claim| Arc::ptr_eq(&claim.session, &session));
            match known {
                Some(claim) => claim.parts.push((who, done.runs.clone())),
                None => claims.push(Claim {
                    session,
                    parts: vec![(who, done.runs.clone())],
                }),
            }
        }
        Ok(claims)
    }
}

/// A producer of that name; the one before it is fenced, and what that left open is aborted.
async fn open(client: &Arc<Client>, name: &TransactorName) -> Result<Arc<Producer>> {
    let (client, name) = (Arc::clone(client), name.clone());
    blocking(move || {
        let producer = Producer::transactional(&client.native, name.as_str())?;
        let ready = producer.init_transactions(client.patience());
        ready.map_err(|failed| from_kafka(&failed).with("transactor", name.as_str()))?;
        Ok(Arc::new(producer))
    })
    .await
}

pub(crate) fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn not_stored(published: &Published) -> Option<Error> {
    if published.all_stored() {
        return None;
    }
    (0..published.len()).find_map(|index| match published.outcome(index)? {
        Outcome::Stored(_) => None,
        // Whatever became of it, it is never seen.
        Outcome::NotSent(error) | Outcome::Unknown(error) => Some(match error.retry_class() {
            Retry::Unknown => error.retry(Retry::Safe),
            _ => error,
        }),
    })
}

/// What the library answers in a transaction that is not committed.
fn from_kafka(failed: &KafkaError) -> Error {
    let Some(code) = failed.rdkafka_error_code() else {
        return error::from_kafka(failed);
    };
    if is_fence(code) {
        return fenced();
    }
    let error = error::from_code(code).source(failed.to_string());
    match code {
        // Partitions are being given out anew: the next try sees who has them.
        Code::RebalanceInProgress | Code::IllegalGeneration => error.retry(Retry::Safe),
        Code::ConcurrentTransactions | Code::CoordinatorLoadInProgress => error.retry(Retry::Safe),
        _ => error,
    }
}

fn is_fence(code: Code) -> bool {
    matches!(
        code,
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch
    )
}

fn fenced() -> Error {
    Error::new(
        ErrorKind::Fenced,
        "another instance opened this transactor; run one of each name, or open it anew to take it back",
    )
}
