//! The groups that a broker reads in order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use broker_core::base::{HealthReport, Membership};
use broker_core::{GroupName, Result, StreamName};

use super::group::Group;
use crate::client::{Client, lock};

/// How many names are kept.
const KEPT: usize = 1024;

/// The groups that a broker reads, each with one consumer.
#[derive(Default)]
pub(crate) struct Groups(Mutex<HashMap<(StreamName, GroupName), Arc<Group>>>);

impl Groups {
    /// The group of a member, which is there when this returns.
    pub(super) async fn of(&self, client: &Arc<Client>, member: &Membership) -> Result<Arc<Group>> {
        client.check_open()?;
        let queue = client.group(&member.stream, &member.group).await?;
        let mut groups = lock(&self.0);
        if groups.len() >= KEPT {
            groups.retain(|_, group| Arc::strong_count(group) > 1 || group.state().session.is_some());
        }
        let name = (member.stream.clone(), member.group.clone());
        let group = groups
            .entry(name)
            .or_insert_with(|| Arc::new(Group::new(client, member, queue)));
        Ok(Arc::clone(group))
    }

    fn all(&self) -> Vec<Arc<Group>> {
        lock(&self.0).values().cloned().collect()
    }

    /// Gives all queues to whoever is next.
    pub(crate) async fn finish(&self, client: &Client) {
        let all = self.all();
        let finishing = all.iter().map(|group| group.finish(client));
        futures_util::future::join_all(finishing).await;
    }

    /// Adds to a health report.
    pub(crate) fn describe(&self, report: &mut HealthReport) {
        for group in self.all() {
            let name = format!("{}/{}", group.stream, group.group);
            let (held, is_full) = group.held();
            if is_full {
                report.warnings.push(format!(
                    "{name}: it waits for its oldest message, which too many others have overtaken"
                ));
            }
            report.details.push((name, format!("{held} unsettled")));
        }
    }
}
