//! Faults at random moments.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker_core::Result;
use fastrand::Rng;
use rustix::process::Signal;
use tokio::sync::watch;

use super::clock::Moment;
use super::incident::Incident;
use super::team::Team;
use super::{Fault, Rig};

/// How many consumers join or leave in a storm.
const STORM: usize = 20;

/// The faults of a run: what happened so far, and whether it is to go on.
#[derive(Clone)]
pub(super) struct Faults {
    incidents: Arc<Mutex<Vec<Incident>>>,
    over: watch::Receiver<bool>,
}

impl Faults {
    pub(super) fn new(over: watch::Receiver<bool>) -> Self {
        Self {
            incidents: Arc::default(),
            over,
        }
    }

    pub(super) fn incidents(&self) -> Vec<Incident> {
        self.lock().clone()
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Kills, pauses and replaces consumers until the run is over; `lease` is theirs.
    pub(super) async fn of_consumers(
        mut self,
        mut team: Team,
        rig: Arc<Rig>,
        lease: Duration,
        mut rng: Rng,
    ) -> Result<Team> {
        // The first storm is one of the first few faults, so that a short run has one.
        let mut until_storm = rng.u32(1..=4);
        while self.wait(between(&mut rng, 1_000, 4_000)).await {
            until_storm -= 1;
            if until_storm == 0 {
                until_storm = rng.u32(10..=30);
                if rig.rebalances {
                    let began = Moment::now();
                    self.storm(&mut team, &mut rng).await?;
                    self.note(Fault::ConsumersComeAndGo, began, None);
                }
                continue;
            }
            let (place, began) = (rng.usize(0..team.len()), Moment::now());
            let process = team.process(place);
            let fault = *pick(
                &mut rng,
                &[
                    Fault::ConsumerKilled,
                    Fault::ConsumerKilled,
                    Fault::ConsumerPaused,
                    Fault::ConsumerLeft,
                ],
            );
            match fault {
                Fault::ConsumerPaused => {
                    team.signal(place, Signal::STOP)?;
                    // Now and then its lease goes on, more often it ends.
                    self.wait(lease.mul_f64(0.5 + rng.f64() * 1.5)).await;
                    team.signal(place, Signal::CONT)?;
                }
                Fault::ConsumerLeft => {
                    team.leave(place).await?;
                    team.replace(place, rng.bool())?;
                }
                _ => {
                    team.kill(place).await?;
                    self.wait(between(&mut rng, 0, 1_000)).await;
                    team.replace(place, rng.bool())?;
                }
            }
            self.note(fault, began, process);
        }
        Ok(team)
    }

    /// Has consumers join and leave at random, about one a second.
    async fn storm(&mut self, team: &mut Team, rng: &mut Rng) -> Result<()> {
        let places = team.len();
        for _ in 0..STORM {
            if team.len() <= 1 || (team.len() < places * 2 && rng.bool()) {
                team.join()?;
            } else {
                team.shrink(rng.usize(0..team.len())).await?;
            }
            if !self.wait(between(rng, 200, 1_500)).await {
                break;
            }
        }
        while team.len() > places {
            team.shrink(rng.usize(0..team.len())).await?;
        }
        while team.len() < places {
            team.join()?;
        }
        Ok(())
    }

    /// Disturbs server and connections until the run is over.
    pub(super) async fn of_the_rest(mut self, rig: Arc<Rig>, mut rng: Rng) -> Result<()> {
        let mut kinds = Vec::new();
        if rig.server.is_some() {
            kinds.extend([Fault::ServerKilled, Fault::ServerPaused]);
        }
        if rig.proxy.is_some() {
            kinds.extend([
                Fault::ConnectionsCut,
                Fault::ReplyCut,
                Fault::ConnectionsRefused,
                Fault::ConnectionsSilent,
                Fault::ConnectionsSlowed,
            ]);
        }
        while !kinds.is_empty() && self.wait(between(&mut rng, 1_000, 5_000)).await {
            let (fault, began) = (*pick(&mut rng, &kinds), Moment::now());
            self.of_server(&rig, fault, &mut rng).await?;
            self.of_connections(&rig, fault, &mut rng).await?;
            self.note(fault, began, None);
        }
        Ok(())
    }

    async fn of_server(&mut self, rig: &Rig, fault: Fault, rng: &mut Rng) -> Result<()> {
        let Some(server) = &rig.server else { return Ok(()) };
        match fault {
            Fault::ServerKilled => {
                server.kill().await?;
                self.wait(between(rng, 0, 1_000)).await;
                server.start().await
            }
            Fault::ServerPaused => {
                server.pause().await?;
                self.wait(between(rng, 100, 2_500)).await;
                server.resume().await
            }
            _ => Ok(()),
        }
    }

    async fn of_connections(&mut self, rig: &Rig, fault: Fault, rng: &mut Rng) -> Result<()> {
        let Some(proxy) = &rig.proxy else { return Ok(()) };
        match fault {
            Fault::ConnectionsCut => {
                for _ in 0..rng.u32(1..=6) {
                    proxy.cut().await?;
                    self.wait(Duration::from_millis(500)).await;
                }
            }
            Fault::ReplyCut => {
                for _ in 0..rng.u32(1..=6) {
                    proxy.cut_after(rng.usize(1..4_000)).await?;
                    self.wait(Duration::from_millis(200)).await;
                }
            }
            Fault::ConnectionsRefused => {
                proxy.refuse().await?;
                proxy.cut().await?;
                self.wait(between(rng, 100, 1_500)).await;
            }
            Fault::ConnectionsSilent => {
                proxy.half_open().await?;
                self.wait(between(rng, 100, 1_500)).await;
            }
            Fault::ConnectionsSlowed => {
                proxy.delay(between(rng, 1, 150)).await?;
                self.wait(between(rng, 500, 3_000)).await;
            }
            _ => return Ok(()),
        }
        proxy.heal().await
    }

    fn note(&self, fault: Fault, began: Moment, process: Option<usize>) {
        self.lock().push(Incident {
            fault,
            began,
            ended: Moment::now(),
            process,
        });
    }

    /// Waits; answers whether the run goes on.
    async fn wait(&mut self, time: Duration) -> bool {
        let _ = tokio::time::timeout(time, self.over.wait_for(|over| *over)).await;
        !*self.over.borrow()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Incident>> {
        self.incidents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn between(rng: &mut Rng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.u64(from..=to))
}

fn pick<'a>(rng: &mut Rng, kinds: &'a [Fault]) -> &'a Fault {
    rng.choice(kinds).unwrap_or(&Fault::ConsumerKilled)
}
