//! An independent reader of a list or queue: it sees what is there and moves nobody's position.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use broker_core::{BrokerEvent, Receipt, Result, StreamName};
use redis::Value;
use tokio::sync::Mutex;

use crate::client::SharedClient;
use crate::error;
use crate::keys::Keys;
use crate::reader::{Look, Taken};
use crate::scripts::{self, Scripts};

/// An independent reader of a list or queue.
pub(crate) struct Tail {
    client: SharedClient,
    scripts: Arc<Scripts>,
    keys: Keys,
    stream: StreamName,
    /// The next position. Held while looking: two looks at once would see the same.
    next: Mutex<u64>,
}

impl Tail {
    /// Begins at the end of the stream as it is now.
    pub(crate) async fn start(
        client: SharedClient,
        scripts: Arc<Scripts>,
        keys: Keys,
        stream: StreamName,
    ) -> Result<Self> {
        let tail = Self {
            client,
            scripts,
            keys,
            stream,
            next: Mutex::new(0),
        };
        let (end, _, _) = tail.ask("end", 1).await?;
        *tail.next.lock().await = end;
        Ok(tail)
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Shows what came since the last look.
    pub(crate) async fn take(&self, max: usize) -> Result<Look> {
        let mut next = self.next.lock().await;
        let (first, missed, bodies) = self.ask(&next.to_string(), max).await?;
        *next = first + bodies.len() as u64;
        if missed {
            self.client.tell(BrokerEvent::Gap {
                stream: self.stream.clone(),
                since: SystemTime::now(),
                lasted: Duration::ZERO,
            });
        }
        let receipt = |sequence| Receipt {
            sequence,
            attempt: 1,
            ..Receipt::default()
        };
        let taken = (first..).zip(bodies).map(|(sequence, body)| Taken {
            receipt: receipt(sequence),
            body,
        });
        Ok(Look {
            taken: taken.collect(),
            due: None,
        })
    }

    /// The first position, whether some were missed before it, and the messages from there on.
    async fn ask(&self, from: &str, max: usize) -> Result<(u64, bool, Vec<Vec<u8>>)> {
        let mut call = self.scripts.peek.prepare();
        call.key(&self.keys.list).key(&self.keys.log).key(&self.keys.meta);
        call.arg(from).arg(max);
        let Value::Array(parts) = self.client.run(&call).await? else {
            return Err(error::odd_reply("the script that looks at a list"));
        };
        let mut parts = parts.into_iter();
        let first = scripts::number(parts.next())?;
        let missed = scripts::number(parts.next())? > 0;
        let bodies = parts.map(scripts::bytes).collect::<Result<_>>()?;
        Ok((first, missed, bodies))
    }
}
