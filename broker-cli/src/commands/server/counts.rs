//! What workers did, added up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one or several workers did: a receipt that can be read and added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) settled: u64,
    pub(super) given_back: u64,
    pub(super) abandoned: u64,
    pub(super) unsent: u64,
    pub(super) drained: bool,
    pub(super) subscribers: Vec<SubscriberCounts>,
}

/// What was done for one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SubscriberCounts {
    stream: String,
    group: String,
    #[serde(flatten)]
    tally: BTreeMap<String, u64>,
}

impl Counts {
    /// What nobody did anything of.
    pub(super) fn nothing() -> Self {
        Self {
            drained: true,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.settled += other.settled;
        self.given_back += other.given_back;
        self.abandoned += other.abandoned;
        self.unsent += other.unsent;
        self.drained &= other.drained;
        for one in &other.subscribers {
            let same = self
                .subscribers
                .iter_mut()
                .find(|known| (&known.stream, &known.group) == (&one.stream, &one.group));
            match same {
                Some(known) => {
                    for (name, count) in &one.tally {
                        *known.tally.entry(name.clone()).or_default() += count;
                    }
                }
                None => self.subscribers.push(one.clone()),
            }
        }
    }

    /// One line for people.
    pub(super) fn line(&self) -> String {
        let mut line = format!("settled {}", self.settled);
        let sum = |name: &str| -> u64 {
            self.subscribers
                .iter()
                .filter_map(|one| one.tally.get(name))
                .sum()
        };
        for (word, count) in [
            ("retried", sum("retried")),
            ("dead", sum("dead")),
            ("panics", sum("panics")),
            ("timeouts", sum("timeouts")),
            ("given back", self.given_back),
            ("abandoned", self.abandoned),
            ("unsent", self.unsent),
        ] {
            if count > 0 {
                line.push_str(&format!(", {word} {count}"));
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_add_up_by_group() {
        let one: Counts = serde_json::from_value(serde_json::json!({
            "settled": 3, "given_back": 1, "abandoned": 0, "unsent": 0, "drained": true,
            "subscribers": [{ "stream": "orders", "group": "billing", "handled": 2, "retried": 1 }],
        }))
        .unwrap();
        let mut sum = Counts::nothing();
        sum.add(&one);
        assert_eq!(sum, one);
        sum.add(&one);
        assert_eq!((sum.settled, sum.subscribers.len()), (6, 1));
        assert_eq!(sum.subscribers[0].tally["retried"], 2);
        assert_eq!(sum.line(), "settled 6, retried 2, given back 2");
    }
}
