//! The groups that a broker reads of logs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use broker_core::base::HealthReport;
use broker_core::{GroupName, Result, StartPosition, StreamName};

use super::group::Group;
use crate::client::{Client, lock};
use crate::names;

/// How many groups are kept.
const KEPT: usize = 1024;

/// The groups that a broker reads, each with one reader.
#[derive(Default)]
pub(crate) struct Groups(Mutex<HashMap<(StreamName, GroupName), Arc<Group>>>);

impl Groups {
    /// The group of that name, which is there when this returns.
    pub(super) async fn of(
        &self,
        client: &Arc<Client>,
        stream: &StreamName,
        group: &GroupName,
        start: &StartPosition,
    ) -> Result<Arc<Group>> {
        client.check_open()?;
        let known = self.known(client, stream, group, start)?;
        known.make(client).await?;
        Ok(known)
    }

    /// The group of that name, whether it is there or not.
    pub(super) fn known(
        &self,
        client: &Arc<Client>,
        stream: &StreamName,
        group: &GroupName,
        start: &StartPosition,
    ) -> Result<Arc<Group>> {
        let queue = names::queue(&client.config, stream, group)?;
        let mut groups = lock(&self.0);
        if groups.len() >= KEPT {
            groups.retain(|_, group| Arc::strong_count(group) > 1 || group.state().claim.is_some());
        }
        let name = (stream.clone(), group.clone());
        let group = groups
            .entry(name)
            .or_insert_with(|| Arc::new(Group::new(client, (stream, group), start, queue)));
        Ok(Arc::clone(group))
    }

    /// The group of that name, if anybody used it here.
    pub(super) fn find(&self, stream: &StreamName, group: &GroupName) -> Option<Arc<Group>> {
        lock(&self.0).get(&(stream.clone(), group.clone())).cloned()
    }

    fn all(&self) -> Vec<Arc<Group>> {
        lock(&self.0).values().cloned().collect()
    }

    /// Gives all groups to whoever is next.
    pub(crate) async fn finish(&self, client: &Client) {
        let all = self.all();
        let finishing = all.iter().map(|group| group.finish(client));
        futures_util::future::join_all(finishing).await;
    }

    /// Adds to a health report.
    pub(crate) fn describe(&self, report: &mut HealthReport) {
        for group in self.all() {
            let name = group.name();
            let state = group.state();
            let Some(session) = &state.session else {
                if state.claim.is_some() {
                    let line = "waits for the process that reads".to_owned();
                    report.details.push((name, line));
                }
                continue;
            };
            if session.is_full() {
                report.warnings.push(format!(
                    "{name}: it waits for message 0:{}, which too many others have overtaken",
                    session.window.low()
                ));
            }
            let unread = session.kept.unread(&session.window);
            let unsettled = session.window.pending() + session.window.parked();
            let line = format!("{unread} read ahead, {unsettled} unsettled");
            report.details.push((name, line));
        }
    }
}
