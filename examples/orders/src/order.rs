//! The messages: three kinds, each a struct that travels as JSON.

use anyhow::{Context as _, Result, bail};
use broker::Message;
use serde::{Deserialize, Serialize};

/// What every order message carries, so that the ledger can account for it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Stamp {
    /// The run of this program that published it: a broker with a memory may still hold earlier ones.
    pub(crate) run: u64,
    /// Its number in the run, from zero.
    pub(crate) sequence: usize,
    /// Whose order it is; the key.
    pub(crate) customer: usize,
    /// Its number among this customer's messages, from one.
    pub(crate) turn: u64,
}

/// A customer orders something.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Placed {
    #[serde(flatten)]
    pub(crate) stamp: Stamp,
    pub(crate) order: u64,
    pub(crate) article: String,
    pub(crate) quantity: u32,
    pub(crate) cents: u64,
}

/// A customer pays an order.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Paid {
    #[serde(flatten)]
    pub(crate) stamp: Stamp,
    pub(crate) order: u64,
    pub(crate) cents: u64,
}

/// A customer thinks better of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Cancelled {
    #[serde(flatten)]
    pub(crate) stamp: Stamp,
    pub(crate) order: u64,
    pub(crate) reason: String,
}

/// An order message of any kind.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Placed(Placed),
    Paid(Paid),
    Cancelled(Cancelled),
}

impl Order {
    pub(crate) fn stamp(&self) -> Stamp {
        match self {
            Self::Placed(placed) => placed.stamp,
            Self::Paid(paid) => paid.stamp,
            Self::Cancelled(cancelled) => cancelled.stamp,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Placed(_) => "order.placed",
            Self::Paid(_) => "order.paid",
            Self::Cancelled(_) => "order.cancelled",
        }
    }

    /// The message to publish. The customer is the key: one customer's messages keep their order.
    pub(crate) fn to_message(&self) -> Result<Message> {
        let message = match self {
            Self::Placed(placed) => Message::json(placed),
            Self::Paid(paid) => Message::json(paid),
            Self::Cancelled(cancelled) => Message::json(cancelled),
        };
        let key = format!("customer-{}", self.stamp().customer);
        Ok(message?.kind(self.kind()).key(key))
    }

    /// Reads a message by its kind.
    pub(crate) fn from_message(message: &Message) -> Result<Self> {
        match message.message_kind().context("a message without a kind")? {
            "order.placed" => Ok(Self::Placed(message.to_json()?)),
            "order.paid" => Ok(Self::Paid(message.to_json()?)),
            "order.cancelled" => Ok(Self::Cancelled(message.to_json()?)),
            other => bail!("a message of the unknown kind `{other}`"),
        }
    }
}
