//! A child process that never outlives the test.

use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use broker_core::{Error, ErrorKind, Result};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Between two looks at a process: short beside what servers take to start.
const POLL: Duration = Duration::from_millis(5);

/// How long a server may take to end in good order.
const ENDING: Duration = Duration::from_secs(20);

/// A child process and its watchdog.
///
/// The watchdog is a shell that waits for the end of its input, which this process holds open: when this process is
/// gone, however it went, the child is killed. Linux' signal at a parent's death will not do, as it comes at the end
/// of the parent's thread.
#[derive(Debug)]
pub(super) struct Process {
    program: String,
    child: Child,
    watchdog: Child,
}

impl Process {
    /// Starts `command`, its output into the file `log`; `folder` is removed should this process be killed.
    ///
    /// `install` says what to do where the program is missing.
    pub(super) fn start(mut command: Command, log: &Path, folder: &Path, install: &str) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let file = File::options().create(true).append(true).open(log);
        let file = file.map_err(|error| failed(&program, "its log can't be written", error))?;
        let child = command
            .stdin(Stdio::null())
            .stderr(
                file.try_clone()
                    .map_err(|error| failed(&program, "its log can't be shared", error))?,
            )
            .stdout(file)
            .spawn()
            .map_err(|error| missing(&program, install, error))?;
        let watchdog = Command::new("sh")
            .arg("-c")
            .arg("read -r _; kill -9 \"$1\"; rm -rf \"$2\"")
            .arg("watchdog")
            .arg(child.id().to_string())
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child;
        match watchdog {
            Ok(watchdog) => Ok(Self {
                program,
                child,
                watchdog,
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(failed("sh", "the watchdog can't be started", error))
            }
        }
    }

    /// Whether it has ended by itself.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal)
            .map_err(|error| failed(&self.program, "it can't be signalled", error.into()))
    }

    /// Ends it in good order, and by force where that takes too long.
    pub(super) fn stop(&mut self) -> Result<()> {
        if self.ended().is_none() {
            // A paused process hears nothing else.
            self.signal(Signal::CONT)?;
            self.signal(Signal::TERM)?;
            let until = Instant::now() + ENDING;
            while self.ended().is_none() && Instant::now() < until {
                std::thread::sleep(POLL);
            }
        }
        self.kill()
    }

    /// Ends it without a warning.
    pub(super) fn kill(&mut self) -> Result<()> {
        // The watchdog goes first: once the child is reaped, its number may be another process'.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        if self.ended().is_none() {
            self.child
                .kill()
                .map_err(|error| failed(&self.program, "it can't be killed", error))?;
        }
        self.child
            .wait()
            .map_err(|error| failed(&self.program, "it can't be waited for", error))?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Runs a program to its end and hands back what it printed.
pub(super) fn run(mut command: Command, install: &str) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| missing(&program, install, error))?;
    printed(&program, &output)
}

/// Runs a program on `input` to its end and hands back what it printed.
pub(super) fn run_with_input(mut command: Command, input: &str, install: &str) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| missing(&program, install, error))?;
    let (stdin, text) = (child.stdin.take(), input.to_owned());
    // Apart, as the program may print more than a pipe holds before it has read all.
    let writer = std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(text.as_bytes())));
    let output = child
        .wait_with_output()
        .map_err(|error| failed(&program, "it can't be waited for", error))?;
    // Where it did not read to the end, its own answer says why.
    let _ = writer.join();
    printed(&program, &output)
}

/// Asks until `condition` holds or the time is up; answers whether it holds.
pub(super) fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(POLL);
    }
}

/// A temporary folder for a server of this product.
pub(super) fn folder(product: &str) -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix(&format!("broker-{product}-"))
        .tempdir()
        .map_err(|error| failed(product, "no temporary folder", error))
}

/// A port of 127.0.0.1 that nobody listens at, with room for a cluster's bus 10,000 above it.
pub(super) fn free_port() -> Result<u16> {
    let local = Ipv4Addr::LOCALHOST;
    // Held until the end, so that the kernel hands out another port each time.
    let mut tried = Vec::new();
    for _ in 0..200 {
        let listener =
            TcpListener::bind((local, 0)).map_err(|error| failed("the kernel", "no free port", error))?;
        let port = listener
            .local_addr()
            .map_err(|error| failed("the kernel", "no free port", error))?
            .port();
        let bus = port.checked_add(10_000).filter(|bus| *bus < 65_000);
        if bus.is_some_and(|bus| TcpListener::bind((local, bus)).is_ok()) {
            return Ok(port);
        }
        tried.push(listener);
    }
    Err(Error::new(
        ErrorKind::Unexpected,
        "no free pair of ports was found on 127.0.0.1; end what holds so many",
    ))
}

/// A port of 127.0.0.1 that nobody listens at, below those that the kernel gives to clients.
///
/// Who keeps a port over a restart must not find it taken by a client's socket, least of all by one that looks for
/// the server itself.
pub(super) fn quiet_port() -> Result<u16> {
    let tried = std::iter::repeat_with(|| fastrand::u16(12_000..32_000)).take(1_000);
    let mut free = tried.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.next().ok_or_else(|| {
        Error::new(
            ErrorKind::Unexpected,
            "no free port was found on 127.0.0.1; end what holds so many",
        )
    })
}

pub(super) fn failed(program: &str, what: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Unexpected, format!("{program}: {what}")).source(error)
}

/// What a program printed, or the last line of its complaint.
fn printed(program: &str, output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or("nothing").to_owned();
    Err(failed(program, "it failed", io::Error::other(last)))
}

fn missing(program: &str, install: &str, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        return Error::new(
            ErrorKind::NotFound,
            format!("the program `{program}` is not there; {install}"),
        );
    }
    failed(program, "it can't be started", error)
}
