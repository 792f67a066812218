//! Acks where keys are parked: each lets its key's next message out.

use std::time::Duration;

use broker_core::{Receipt, Result, Settled};

use crate::reader::Hands;
use crate::time::IdText;
use crate::{error, reply, scripts};

/// How many deliveries one script acknowledges.
const CHUNK: usize = 500;

/// What stands in place of a key where there is none.
const NO_KEY: &str = "-";

impl Hands {
    /// Acknowledges what is certainly ours, and lets the next message of each key out. Which keys those are, this member
    /// remembers: looking into the entries would cost the server as much as all else. `None` where none was pending or
    /// hands have changed.
    pub(crate) async fn ack_in_lanes(
        &self,
        receipts: &[Receipt],
        token: u32,
    ) -> Result<Option<Vec<Settled>>> {
        let keys = &self.group.keys;
        let mut answers = Vec::with_capacity(receipts.len());
        for chunk in receipts.chunks(CHUNK) {
            let mut call = scripts::ACK_LANES.call(&[&keys.entries, &keys.state, &keys.due, &keys.lanes]);
            call.arg(token).arg(self.group.name.as_str());
            self.name_with_keys(chunk, &mut call);
            let answer = self.client.run(&scripts::ACK_LANES, &call).await?;
            let odd = || error::odd_reply("ack");
            let (letters, freed) = reply::text(&answer)
                .and_then(|text| text.split_once(' '))
                .ok_or_else(odd)?;
            if letters.len() != chunk.len() {
                return match letters {
                    "moved" => Ok(None),
                    _ => Err(odd()),
                };
            }
            if freed != "0" {
                self.group.due_in(Duration::ZERO);
            }
            answers.extend(letters.bytes().map(|letter| match letter {
                b'A' => Settled::Acked,
                _ => Settled::AlreadySettled,
            }));
        }
        Ok(answers.contains(&Settled::Acked).then_some(answers))
    }

    /// Appends each receipt's id and key.
    fn name_with_keys(&self, receipts: &[Receipt], call: &mut redis::Cmd) {
        let (mut text, mut named) = (IdText::default(), Vec::new());
        let mut handed_out = self.handed_out();
        for receipt in receipts {
            call.arg(text.write(receipt));
            match handed_out.key(receipt) {
                Some(key) => {
                    named.clear();
                    named.push(b'k');
                    named.extend_from_slice(&key);
                    call.arg(named.as_slice());
                }
                None => {
                    call.arg(NO_KEY);
                }
            }
        }
    }
}
