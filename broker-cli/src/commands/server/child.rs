//! One worker process.

use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

use super::counts::Counts;

/// What a worker tells its parent.
#[derive(Debug)]
pub(super) enum News {
    /// Its groups are joined.
    Ready,
    /// What it did so far.
    Progress(Counts),
    /// Its page for Prometheus.
    Page(String),
    /// What it did in all.
    Receipt(Counts),
    /// It has ended, in words; it is started again.
    Ended(String),
    /// It can't run, with this exit code: starting it again would not help.
    Refused(i32),
}

/// One line of a worker.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Line {
    ready: bool,
    progress: Option<Counts>,
    metrics: Option<String>,
    receipt: Option<Counts>,
}

/// How worker processes are started.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) program: std::path::PathBuf,
    pub(super) arguments: Vec<OsString>,
}

impl Spec {
    /// Runs a worker until it ends. `stops` counts how often it was asked to stop.
    pub(super) async fn run(
        &self,
        number: u16,
        stops: &mut watch::Receiver<u32>,
        news: &mpsc::Sender<(u16, News)>,
    ) -> io::Result<ExitStatus> {
        let mut child = self.spawn(number)?;
        // Kept open: its end tells the worker that the parent is gone.
        let _input = child.stdin.take();
        let output = child
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("no standard output"))?;
        let mut lines = BufReader::new(output).lines();
        loop {
            tokio::select! {
                line = lines.next_line() => match line? {
                    Some(line) => tell(&line, number, news).await,
                    None => break,
                },
                Ok(()) = stops.changed() => pass_on(&mut child),
            }
        }
        loop {
            tokio::select! {
                status = child.wait() => return status,
                Ok(()) = stops.changed() => pass_on(&mut child),
            }
        }
    }

    fn spawn(&self, number: u16) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .arg("--worker")
            .arg(number.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        // A terminal interrupts the whole group at once: it would count twice for a worker.
        #[cfg(unix)]
        command.process_group(0);
        command.spawn()
    }
}

async fn tell(line: &str, number: u16, news: &mpsc::Sender<(u16, News)>) {
    let Ok(line) = serde_json::from_str::<Line>(line) else {
        // A handler that prints: it is passed on.
        use std::io::Write as _;
        let _gone = writeln!(io::stderr(), "worker {number}: {line}");
        return;
    };
    let all = [
        line.ready.then_some(News::Ready),
        line.progress.map(News::Progress),
        line.metrics.map(News::Page),
        line.receipt.map(News::Receipt),
    ];
    for one in all.into_iter().flatten() {
        // Whoever listens ends last.
        let _gone = news.send((number, one)).await;
    }
}

/// Asks a worker to stop; the second time, to stop at once.
#[cfg(unix)]
fn pass_on(child: &mut Child) {
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // One that is gone needs no signal.
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

#[cfg(not(unix))]
fn pass_on(child: &mut Child) {
    let _gone = child.start_kill();
}
