//! A TCP proxy that disturbs what passes through it.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use broker_core::{Error, ErrorKind, Result, async_trait};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::NetProxy;

/// Chunks that may be on their way in one direction of one connection.
const IN_FLIGHT: usize = 1024;

/// A TCP proxy between clients and one server, on a port and a thread of its own.
///
/// It runs until it is dropped, whatever runtimes come and go, and forgets nothing over a restart of the server.
///
/// ```
/// use broker_testkit::{NetProxy as _, TcpProxy};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> broker_core::Result<()> {
/// let proxy = TcpProxy::start(([127, 0, 0, 1], 6379).into())?;
/// let url = format!("redis://127.0.0.1:{}", proxy.port()); // for the broker under test
/// proxy.delay(Duration::from_millis(200)).await?; // each way
/// proxy.cut().await?;
/// # let _ = url;
/// # Ok(())
/// # }
/// ```
pub struct TcpProxy {
    port: u16,
    state: watch::Sender<State>,
    open: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct State {
    /// Rises with each cut; a connection of an older age is closed.
    age: u64,
    refuse: bool,
    swallow: bool,
    delay: Duration,
    /// Rises with each order to cut a reply, so that each connection counts its bytes anew.
    order: u64,
    /// Bytes of replies that still pass.
    cut_after: Option<usize>,
    /// The call to Kafka that cuts its connection.
    cut_at: Option<Call>,
    ended: bool,
}

/// A call to Kafka that cuts its connection.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Call {
    api_key: i16,
    /// Whether the server still hears of it, and only its answer is lost.
    heard: bool,
}

impl Call {
    /// Whether one of the requests that begin in `chunk` is this one.
    fn is_in(self, mut chunk: &[u8]) -> bool {
        while let Some((length, rest)) = chunk.split_first_chunk::<4>() {
            let key = rest.first_chunk::<2>().map(|key| i16::from_be_bytes(*key));
            if key == Some(self.api_key) {
                return true;
            }
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            chunk = rest.get(length..).unwrap_or_default();
        }
        false
    }
}

impl TcpProxy {
    /// Starts a proxy for the server at `upstream`, on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// What the operating system answers.
    pub fn start(upstream: SocketAddr) -> Result<Self> {
        let failed =
            |error: io::Error| Error::new(ErrorKind::Unexpected, "the proxy can't be started").source(error);
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let (state, receiver) = watch::channel(State::default());
        let (open, accepted) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let server = Server {
            upstream,
            port,
            state: state.clone(),
            open: Arc::clone(&open),
            accepted: Arc::clone(&accepted),
        };
        let thread = std::thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || runtime.block_on(server.run(listener, receiver)))
            .map_err(failed)?;
        Ok(Self {
            port,
            state,
            open,
            accepted,
            thread: Some(thread),
        })
    }

    /// The port of 127.0.0.1 that clients connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections are open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// How many connections there have been.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Acquire)
    }

    /// Cuts the connection that next makes this call to Kafka, by the protocol's `api_key`, and refuses new ones until
    /// [`heal`](NetProxy::heal). With `heard`, the server has heard of it by then, and its answer is lost.
    pub fn cut_at_call(&self, api_key: i16, heard: bool) {
        self.change(|state| state.cut_at = Some(Call { api_key, heard }));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.state.send_modify(change);
    }
}

#[async_trait]
impl NetProxy for TcpProxy {
    async fn cut(&self) -> Result<()> {
        self.change(|state| state.age += 1);
        Ok(())
    }

    async fn refuse(&self) -> Result<()> {
        self.change(|state| state.refuse = true);
        Ok(())
    }

    async fn half_open(&self) -> Result<()> {
        self.change(|state| state.swallow = true);
        Ok(())
    }

    async fn delay(&self, by: Duration) -> Result<()> {
        self.change(|state| state.delay = by);
        Ok(())
    }

    async fn cut_after(&self, bytes: usize) -> Result<()> {
        self.change(|state| {
            state.order += 1;
            state.cut_after = Some(bytes);
        });
        Ok(())
    }

    async fn heal(&self) -> Result<()> {
        self.change(|state| {
            *state = State {
                age: state.age,
                order: state.order,
                ended: state.ended,
                ..State::default()
            };
        });
        Ok(())
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.change(|state| state.ended = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for TcpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpProxy")
            .field("port", &self.port)
            .field("state", &*self.state.borrow())
            .finish_non_exhaustive()
    }
}

struct Server {
    upstream: SocketAddr,
    port: u16,
    state: watch::Sender<State>,
    open: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
}

impl Server {
    async fn run(self, listener: std::net::TcpListener, mut state: watch::Receiver<State>) {
        let mut listener = TcpListener::from_std(listener).ok();
        let mut connections = JoinSet::new();
        loop {
            let now = *state.borrow_and_update();
            if now.ended {
                return;
            }
            if now.refuse {
                listener = None;
            } else if listener.is_none() {
                listener = listen(self.port).ok();
            }
            let Some(open) = &listener else {
                // Refusing, or the port is still busy: either ends with a change or in a moment.
                let moment = Duration::from_millis(if now.refuse { 60_000 } else { 10 });
                let _ = tokio::time::timeout(moment, state.changed()).await;
                continue;
            };
            tokio::select! {
                _ = state.changed() => {}
                Some(_) = connections.join_next() => {}
                accepted = open.accept() => {
                    // Who was cut off a moment ago may be back before the order to refuse is looked at.
                    let refuses = self.state.borrow().refuse;
                    if let Some((client, _)) = accepted.ok().filter(|_| !refuses) {
                        self.accepted.fetch_add(1, Ordering::AcqRel);
                        connections.spawn(connection(client, self.upstream, self.state.clone(), Open::new(&self.open)));
                    }
                }
            }
        }
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // Connections accepted earlier still hold the port.
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    socket.listen(1024)
}

/// Counts a connection for as long as it lives.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn connection(client: TcpStream, upstream: SocketAddr, state: watch::Sender<State>, _open: Open) {
    let mut changes = state.subscribe();
    let age = changes.borrow_and_update().age;
    let cut = async {
        // The sender is held above, so that waiting ends only with a cut.
        let _ = changes.wait_for(|state| state.age != age || state.ended).await;
    };
    let pass = async {
        let Ok(server) = TcpStream::connect(upstream).await else {
            return;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        // Set once an answer is to be lost.
        let mute = AtomicBool::new(false);
        tokio::select! {
            () = direction(from_client, to_server, &state, (false, &mute)) => {}
            () = direction(from_server, to_client, &state, (true, &mute)) => {}
        }
    };
    tokio::select! {
        () = cut => {}
        () = pass => {}
    }
}

/// Passes bytes on until an end closes, or an order to cut a reply strikes.
async fn direction(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    state: &watch::Sender<State>,
    replies: (bool, &AtomicBool),
) {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    tokio::join!(take(from, sender, state), hand_on(receiver, to, state, replies));
}

/// Takes bytes in, each with the time at which it may go on.
async fn take(mut from: OwnedReadHalf, sender: mpsc::Sender<(Instant, Bytes)>, state: &watch::Sender<State>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut broken = false;
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            () = sender.closed() => return,
        };
        let chunk = match read {
            Ok(0) | Err(_) => return,
            Ok(count) => Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default()),
        };
        let now = *state.borrow();
        // What was swallowed would be missing from the middle: such a connection never speaks again.
        broken |= now.swallow;
        if !broken && sender.send((Instant::now() + now.delay, chunk)).await.is_err() {
            return;
        }
    }
}

async fn hand_on(
    mut receiver: mpsc::Receiver<(Instant, Bytes)>,
    mut to: OwnedWriteHalf,
    state: &watch::Sender<State>,
    (replies, mute): (bool, &AtomicBool),
) {
    let (mut order, mut passed) = (state.borrow().order, 0);
    while let Some((due, chunk)) = receiver.recv().await {
        // The timer's step of a millisecond would delay what is not to be delayed.
        if due > Instant::now() {
            tokio::time::sleep_until(due).await;
        }
        let now = *state.borrow();
        if replies && mute.load(Ordering::Acquire) {
            return;
        }
        if let Some(call) = now.cut_at.filter(|call| !replies && call.is_in(&chunk)) {
            state.send_modify(|state| (state.cut_at, state.refuse) = (None, true));
            if !call.heard {
                return;
            }
            mute.store(true, Ordering::Release);
        }
        if now.order != order {
            (order, passed) = (now.order, 0);
        }
        let allowed = now
            .cut_after
            .filter(|_| replies)
            .map(|limit| limit.saturating_sub(passed));
        if let Some(allowed) = allowed.filter(|allowed| *allowed <= chunk.len()) {
            let _ = to.write_all(chunk.get(..allowed).unwrap_or_default()).await;
            // One order cuts one connection.
            state.send_if_modified(|state| state.order == order && state.cut_after.take().is_some());
            return;
        }
        passed += chunk.len();
        if to.write_all(&chunk).await.is_err() {
            return;
        }
    }
}
