//! `broker groups`.

use broker_core::{Broker, GroupInfo, MemberInfo};
use clap::Args;
use serde_json::{Value, json};

use crate::exit::Stop;
use crate::json::milliseconds;
use crate::session::{Session, closed};
use crate::table::Table;

/// List a stream's groups, with members, pending messages and lag.
#[derive(Args)]
pub(crate) struct Groups {
    /// The stream.
    stream: String,
}

impl Groups {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Stop> {
        let broker = session.connect().await?;
        let done = self.list(session, &broker).await;
        closed(&broker, done).await
    }

    async fn list(self, session: &mut Session<'_, '_>, broker: &Broker) -> Result<(), Stop> {
        let groups = broker.groups(&self.stream).await?;
        if session.is_json() {
            for group in &groups {
                session.object(&object(&self.stream, group))?;
            }
        } else {
            session.table(&table(&groups))?;
        }
        Ok(())
    }
}

fn object(stream: &str, group: &GroupInfo) -> Value {
    let members: Vec<_> = group.members.iter().map(member).collect();
    json!({
        "stream": stream,
        "group": group.group,
        "pending": group.pending,
        "lag": group.lag,
        "oldest_pending_ms": group.oldest_pending.map(milliseconds),
        "members": members,
    })
}

fn member(member: &MemberInfo) -> Value {
    json!({
        "consumer": member.consumer, "pending": member.pending, "idle_ms": milliseconds(member.idle),
    })
}

/// A row for each group, and below it one for each of its members.
fn table(groups: &[GroupInfo]) -> Table {
    let mut table = Table::new(["GROUP", "CONSUMER", "PENDING", "LAG", "OLDEST", "IDLE"]);
    let seconds = |duration: std::time::Duration| format!("{:.1}s", duration.as_secs_f64());
    for group in groups {
        table.row([
            group.group.to_string(),
            match group.members.len() {
                1 => "1 member".to_owned(),
                count => format!("{count} members"),
            },
            group.pending.to_string(),
            group.lag.to_string(),
            group.oldest_pending.map_or_else(|| "-".to_owned(), seconds),
            String::new(),
        ]);
        for member in &group.members {
            table.row([
                String::new(),
                member.consumer.to_string(),
                member.pending.to_string(),
                String::new(),
                String::new(),
                seconds(member.idle),
            ]);
        }
    }
    table
}
