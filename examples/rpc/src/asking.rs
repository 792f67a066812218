//! Many askers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use broker::prelude::*;
use tokio::task::JoinSet;

use crate::prices::{Ask, Price, STREAM};
use crate::summary::Summary;

/// How long an asker waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long it waits for the slow one, which takes longer.
const HURRY: Duration = Duration::from_millis(400);

/// How many of the requests are for the slow one.
const SLOW: u32 = 3;

/// Asks `requests` times, with `askers` asking at once over one client.
pub(crate) async fn all(broker: &Broker, requests: u32, askers: u32) -> Result<Summary> {
    let client = RequestClient::new(broker).await?;
    let next = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..askers {
        let (client, next) = (client.clone(), Arc::clone(&next));
        tasks.spawn(async move {
            let mut summary = Summary::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return Ok(summary);
                }
                ask(&client, number, &mut summary).await?;
            }
        });
    }
    let mut summary = Summary::default();
    while let Some(one) = tasks.join_next().await {
        let one: Result<Summary> = one?;
        summary.add(&one?);
    }
    // One that nobody waits for any more is dropped when it comes, and counted.
    let hurried = (0..SLOW).map(|number| {
        let question = question("price.slow", "coffee", u64::from(number));
        let client = client.clone();
        async move { client.request(STREAM, question?, HURRY).await }
    });
    for asked in hurried {
        summary.asked += 1;
        match asked.await {
            Err(error) if error.kind() == ErrorKind::Timeout => summary.timed_out += 1,
            Ok(_) => summary.wrong += 1,
            Err(error) => return Err(error.into()),
        }
    }
    let late = async {
        while client.late() < u64::from(SLOW) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // What never comes shows in the count.
    let _never = tokio::time::timeout(PATIENCE, late).await;
    summary.late = client.late();
    client.close().await?;
    Ok(summary)
}

fn question(kind: &'static str, sku: &str, quantity: u64) -> Result<Message, Error> {
    let ask = Ask {
        sku: sku.to_owned(),
        quantity,
    };
    Ok(Message::json(&ask)?.kind(kind))
}

async fn ask(client: &RequestClient, number: u32, summary: &mut Summary) -> Result<()> {
    let quantity = u64::from(number);
    let (sku, expected) = match number % 10 {
        0 => ("mead", 400),
        1 => ("cocoa", 500),
        2..=5 => ("tea", 200),
        _ => ("coffee", 200),
    };
    summary.asked += 1;
    let answer = client
        .request(STREAM, question("price.get", sku, quantity)?, PATIENCE)
        .await?;
    let is_own = || {
        answer.json::<Price>().is_ok_and(|price| {
            price.quantity == quantity && price.cents == quantity * if sku == "tea" { 290 } else { 350 }
        })
    };
    match answer.status().0 {
        200 if expected == 200 && is_own() => summary.answered += 1,
        400 if expected == 400 && answer.error() == Some("there is no mead") => summary.refused += 1,
        500 if expected == 500 && answer.error() == Some("the page is torn out") => summary.failed += 1,
        _ => summary.wrong += 1,
    }
    Ok(())
}
