//! The consumer processes of a torture run, seen from the parent.

use std::fs::File;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use broker_core::{Error, ErrorKind, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

use super::clock::Moment;
use super::folder::Folder;
use super::{Member, Rig, Torture};

/// How long a consumer may take to leave in good order.
const LEAVING: Duration = Duration::from_secs(30);

/// The consumer processes; each has a number, which is also its journal's.
pub(super) struct Team {
    torture: Arc<Torture>,
    rig: Arc<Rig>,
    run: String,
    folder: Arc<Folder>,
    /// The processes at work, by place.
    places: Vec<Place>,
    /// When each process of the run ended.
    ends: Vec<Option<Moment>>,
    /// What processes said that ended by themselves.
    failures: Vec<String>,
}

struct Place {
    child: Child,
    process: usize,
    consumer: String,
}

impl Team {
    pub(super) fn start(
        torture: Arc<Torture>,
        rig: Arc<Rig>,
        run: &str,
        folder: &Arc<Folder>,
    ) -> Result<Self> {
        let mut team = Self {
            torture,
            rig,
            run: run.to_owned(),
            folder: Arc::clone(folder),
            places: Vec::new(),
            ends: Vec::new(),
            failures: Vec::new(),
        };
        for place in 0..team.torture.consumers.max(1) {
            let begun = team.begin(format!("c{place}"))?;
            team.places.push(begun);
        }
        Ok(team)
    }

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The process at a place.
    pub(super) fn process(&self, place: usize) -> Option<usize> {
        self.places.get(place).map(|place| place.process)
    }

    /// Kills the process at a place without a warning.
    pub(super) async fn kill(&mut self, place: usize) -> Result<()> {
        let Some(one) = self.places.get_mut(place) else {
            return Ok(());
        };
        if let Some(status) = one.child.try_wait().map_err(failed)? {
            self.failures
                .push(said(&self.folder, one.process, &status.to_string()));
        }
        one.child.kill().await.map_err(failed)?;
        self.ended(place);
        Ok(())
    }

    /// Stops the time of the process at a place, or lets it go on.
    pub(super) fn signal(&self, place: usize, signal: Signal) -> Result<()> {
        let pid = self.places.get(place).and_then(|place| place.child.id());
        let pid = pid
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        match pid {
            Some(pid) => kill_process(pid, signal).map_err(|error| failed(error.into())),
            None => Ok(()),
        }
    }

    /// Lets the process at a place leave in good order.
    pub(super) async fn leave(&mut self, place: usize) -> Result<()> {
        let Some(one) = self.places.get_mut(place) else {
            return Ok(());
        };
        drop(one.child.stdin.take());
        match tokio::time::timeout(LEAVING, one.child.wait()).await {
            Ok(status) => {
                let status = status.map_err(failed)?;
                if !status.success() {
                    self.failures
                        .push(said(&self.folder, one.process, &status.to_string()));
                }
            }
            Err(_) => {
                let late = format!("did not leave within {LEAVING:?}");
                self.failures.push(said(&self.folder, one.process, &late));
                one.child.kill().await.map_err(failed)?;
            }
        }
        self.ended(place);
        Ok(())
    }

    /// Fills a place whose process ended: under the same name in the group, or a new one.
    pub(super) fn replace(&mut self, place: usize, same_name: bool) -> Result<()> {
        let name = match self.places.get(place) {
            Some(place) if same_name => place.consumer.clone(),
            _ => format!("c{place}-{}", self.ends.len()),
        };
        let begun = self.begin(name)?;
        if let Some(place) = self.places.get_mut(place) {
            *place = begun;
        }
        Ok(())
    }

    /// Adds a place with a process.
    pub(super) fn join(&mut self) -> Result<()> {
        let begun = self.begin(format!("c-{}", self.ends.len()))?;
        self.places.push(begun);
        Ok(())
    }

    /// Lets the process at a place leave in good order, and gives the place up.
    pub(super) async fn shrink(&mut self, place: usize) -> Result<()> {
        self.leave(place).await?;
        if place < self.places.len() {
            self.places.swap_remove(place);
        }
        Ok(())
    }

    /// Lets all leave; answers when each process ended, and what those said that failed.
    pub(super) async fn dismiss(mut self) -> Result<(Vec<Option<Moment>>, Vec<String>)> {
        for place in 0..self.len() {
            self.leave(place).await?;
        }
        Ok((self.ends, self.failures))
    }

    fn ended(&mut self, place: usize) {
        let process = self.process(place);
        if let Some(end) = process.and_then(|process| self.ends.get_mut(process)) {
            *end = Some(Moment::now());
        }
    }

    fn begin(&mut self, consumer: String) -> Result<Place> {
        let process = self.ends.len();
        let member = Member {
            run: self.run.clone(),
            stream: self.torture.stream.clone(),
            group: self.torture.group.clone(),
            consumer: consumer.clone(),
            journal: self.folder.journal(process),
            seed: self.torture.seed.wrapping_add(process as u64 + 1),
        };
        // Its journal is there before it is, so that there is one of each number.
        File::create(&member.journal).map_err(failed)?;
        let errors = File::create(self.folder.errors(process)).map_err(failed)?;
        let mut command = tokio::process::Command::from((self.rig.member)(&member));
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        self.ends.push(None);
        Ok(Place {
            child,
            process,
            consumer,
        })
    }
}

/// How a process ended that should not have, with its last words.
fn said(folder: &Folder, process: usize, how: &str) -> String {
    let text = std::fs::read_to_string(folder.errors(process)).unwrap_or_default();
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    format!(
        "consumer process {process}: {how}; {}",
        last.unwrap_or("it said nothing")
    )
}

fn failed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unexpected, "a consumer process can't be controlled").source(error)
}
