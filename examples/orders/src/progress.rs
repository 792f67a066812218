//! Shows how it goes: a bar on a terminal, else a plain line each second.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::ledger::{Counts, Ledger};
use crate::{GROUPS, out};

/// Shows progress until the sender of `done` is dropped; to standard error where standard output is for JSON. It runs
/// on a thread of its own, for the runtime's are busy with orders.
pub(crate) fn show(ledger: &Arc<Ledger>, messages: u64, json: bool, done: &Receiver<()>) {
    let terminal = if json {
        std::io::stderr().is_terminal()
    } else {
        std::io::stdout().is_terminal()
    };
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let bar = (terminal && !dumb).then(|| bar(messages, json));
    let period = Duration::from_millis(if bar.is_some() { 100 } else { 1000 });
    let start = Instant::now();
    let mut last = (start, 0);
    while done.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
        let counts = ledger.counts();
        let rate = rate(counts.settled.saturating_sub(last.1), last.0.elapsed());
        last = (Instant::now(), counts.settled);
        match &bar {
            Some(bar) => {
                bar.set_position(counts.settled);
                bar.set_message(describe(&counts, rate));
            }
            None => {
                let seconds = start.elapsed().as_secs_f64();
                out::line(json, &format!("{seconds:5.1} s  {}", describe(&counts, rate)));
            }
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

/// Events per second, rounded.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people: not negative, and far below what a float holds exactly"
)]
pub(crate) fn rate(count: u64, time: Duration) -> u64 {
    (count as f64 / time.as_secs_f64().max(0.001)).round() as u64
}

fn describe(counts: &Counts, rate: u64) -> String {
    format!(
        "published {}, settled {}, {} per second, in flight {}, retried {}, dead {}",
        HumanCount(counts.published),
        HumanCount(counts.settled),
        HumanCount(rate),
        HumanCount(counts.in_flight),
        HumanCount(counts.retried),
        HumanCount(counts.dead),
    )
}

fn bar(messages: u64, json: bool) -> ProgressBar {
    let target = if json {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::stdout()
    };
    let bar = ProgressBar::with_draw_target(Some(messages * GROUPS.len() as u64), target);
    match ProgressStyle::with_template("{wide_bar} {percent:>3} %  {elapsed}\n{msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
