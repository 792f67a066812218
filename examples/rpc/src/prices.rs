//! The service: who is asked for a price.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker::prelude::*;
use serde::{Deserialize, Serialize};

/// Where prices are asked for.
pub(crate) const STREAM: &str = "prices";

/// A question.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Ask {
    pub(crate) sku: String,
    pub(crate) quantity: u64,
}

/// An answer, in cents; it names what was asked, so that an asker sees that it is its own.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Price {
    pub(crate) quantity: u64,
    pub(crate) cents: u64,
}

/// What things cost.
#[derive(Clone, Debug)]
struct Book(Arc<BTreeMap<&'static str, u64>>);

/// The book has no such page: nobody's fault but the service's.
#[derive(Debug)]
struct Torn;

impl std::fmt::Display for Torn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the page is torn out")
    }
}

impl std::error::Error for Torn {}

/// The service without its broker; `main` runs it, and so does whoever tests it.
pub(crate) fn service() -> App {
    let book = BTreeMap::from([("coffee", 350), ("tea", 290)]);
    broker::app().state(Book(Arc::new(book)))
}

#[subscriber(stream = "prices", message = "price.get", kind = query, concurrency = 16, attempts = 1)]
async fn price(Json(ask): Json<Ask>, State(book): State<Book>) -> Result<Reply<Price>, Torn> {
    if ask.sku == "cocoa" {
        return Err(Torn);
    }
    Ok(match book.0.get(ask.sku.as_str()) {
        Some(cents) => Reply::ok(Price {
            quantity: ask.quantity,
            cents: cents * ask.quantity,
        }),
        None => Reply::error(400, format!("there is no {}", ask.sku)),
    })
}

#[subscriber(stream = "prices", message = "price.slow", kind = query, concurrency = 16)]
async fn slow_price(Json(ask): Json<Ask>) -> Reply<Price> {
    tokio::time::sleep(Duration::from_millis(1200)).await;
    Reply::ok(Price {
        quantity: ask.quantity,
        cents: 0,
    })
}
