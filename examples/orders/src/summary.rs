//! The table at the end.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use broker::prelude::*;
use broker::{DeadLetterQuery, Error};
use indicatif::HumanCount;
use serde::Serialize;

use crate::bits::Bits;
use crate::ledger::{Account, Ledger};
use crate::order::Stamp;
use crate::plan::Plan;
use crate::progress::rate;
use crate::{GROUPS, STREAM};

/// What became of the orders.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    provider: &'static str,
    seconds: f64,
    /// Orders settled per second, all groups together.
    rate: u64,
    /// Whether Ctrl-C ended it.
    interrupted: bool,
    groups: Vec<Row>,
    total: Row,
    /// Orders that the broker did not take, or may not have taken.
    unsent: u64,
    /// Deliveries of orders that were done before.
    repeated: u64,
    /// Whether the broker promises each customer's order.
    order_checked: bool,
    /// Deliveries against that order.
    out_of_order: u64,
    /// What this broker can't do.
    notes: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
struct Row {
    group: &'static str,
    published: u64,
    handled: u64,
    retried: u64,
    dead_lettered: u64,
    lost: u64,
}

impl Summary {
    pub(crate) async fn new(
        broker: &Broker,
        plan: &Plan,
        ledger: &Ledger,
        run: u64,
        time: Duration,
        interrupted: bool,
    ) -> Result<Self> {
        let mut accounts = Vec::new();
        for (index, group) in GROUPS.iter().enumerate() {
            let kept = if plan.dead_letters {
                Some(dead_letters(broker, group, run).await?)
            } else {
                None
            };
            accounts.extend(ledger.account(index, kept.as_ref()));
        }
        let sum = |field: fn(&Account) -> u64| accounts.iter().map(field).sum::<u64>();
        let row = |group, of: &dyn Fn(fn(&Account) -> u64) -> u64| Row {
            group,
            published: of(|account| account.published),
            handled: of(|account| account.handled),
            retried: of(|account| account.retried),
            dead_lettered: of(|account| account.dead),
            lost: of(|account| account.lost),
        };
        let groups = GROUPS.iter().zip(&accounts);
        Ok(Self {
            provider: broker.provider(),
            seconds: time.as_secs_f64(),
            rate: rate(ledger.counts().settled, time),
            interrupted,
            groups: groups
                .map(|(group, account)| row(group, &|field| field(account)))
                .collect(),
            total: row("in all", &sum),
            unsent: ledger.unsent(),
            repeated: sum(|account| account.repeated),
            order_checked: plan.ordered,
            out_of_order: sum(|account| account.out_of_order),
            notes: plan.notes(),
        })
    }

    /// Whether nothing was lost and every customer's order was kept.
    pub(crate) fn is_clean(&self) -> bool {
        self.total.lost == 0 && self.out_of_order == 0
    }
}

/// The orders of this run that the broker itself shows as a group's dead letters.
async fn dead_letters(broker: &Broker, group: &str, run: u64) -> Result<Bits, Error> {
    let queue = broker.dead_letters(STREAM, group)?;
    let (mut dead, mut query) = (Bits::default(), DeadLetterQuery::default());
    loop {
        let page = queue.list(query.clone()).await?;
        for stamp in page
            .letters
            .iter()
            .filter_map(|letter| letter.message.to_json::<Stamp>().ok())
        {
            if stamp.run == run {
                dead.insert(stamp.sequence);
            }
        }
        match page.next {
            Some(next) => query.before = Some(next),
            None => return Ok(dead),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["", "published", "handled", "retried", "dead-lettered", "lost"].map(str::to_owned);
        let rows = self.groups.iter().chain([&self.total]).map(|row| {
            let [published, handled, retried, dead, lost] = [
                row.published,
                row.handled,
                row.retried,
                row.dead_lettered,
                row.lost,
            ]
            .map(|count| HumanCount(count).to_string());
            [row.group.to_owned(), published, handled, retried, dead, lost]
        });
        for [group, published, handled, retried, dead, lost] in [header].into_iter().chain(rows) {
            writeln!(
                f,
                "{group:10}{published:>12}{handled:>12}{retried:>12}{dead:>15}{lost:>9}"
            )?;
        }
        writeln!(
            f,
            "\n{} in {:.1} s, {} per second, all groups together; lost: {}",
            if self.interrupted {
                "interrupted and drained"
            } else {
                "done"
            },
            self.seconds,
            HumanCount(self.rate),
            HumanCount(self.total.lost)
        )?;
        match (self.order_checked, self.out_of_order) {
            (true, 0) => writeln!(f, "each customer's order was kept in every group")?,
            (true, count) => {
                writeln!(
                    f,
                    "BROKEN ORDER: {} deliveries overtook an earlier one",
                    HumanCount(count)
                )?;
            }
            (false, _) => {}
        }
        if self.total.lost > 0 {
            writeln!(
                f,
                "LOST: {} orders were published and neither handled nor dead-lettered",
                HumanCount(self.total.lost)
            )?;
        }
        for (count, what) in [
            (self.unsent, "orders the broker did not take for certain"),
            (self.repeated, "deliveries of orders that were done before"),
        ] {
            if count > 0 {
                writeln!(f, "{} {what}", HumanCount(count))?;
            }
        }
        for note in &self.notes {
            writeln!(f, "{} has {note}", self.provider)?;
        }
        Ok(())
    }
}
