//! The proxy disturbs as it is told, and nothing else.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::io;
use std::time::Duration;

use broker_testkit::{NetProxy, TcpProxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_secs(5);
const WATCHED: Duration = Duration::from_millis(200);

/// A proxy before a server that says everything back.
async fn echo() -> TcpProxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    TcpProxy::start(upstream).unwrap()
}

async fn connect(proxy: &TcpProxy) -> io::Result<TcpStream> {
    TcpStream::connect(("127.0.0.1", proxy.port())).await
}

async fn talk(stream: &mut TcpStream, text: &str) -> io::Result<String> {
    stream.write_all(text.as_bytes()).await?;
    let mut heard = vec![0; text.len()];
    match timeout(SOON, stream.read_exact(&mut heard)).await {
        Ok(read) => read.map(|_| String::from_utf8(heard).unwrap()),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[tokio::test]
async fn what_is_not_disturbed_passes() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await.unwrap();
    let long = "x".repeat(1_000_000);
    let (mut from, mut to) = stream.split();
    let mut heard = vec![0; long.len()];
    let (wrote, read) = tokio::join!(to.write_all(long.as_bytes()), from.read_exact(&mut heard));
    wrote.unwrap();
    assert_eq!(read.unwrap(), long.len());
    assert_eq!((proxy.open(), proxy.accepted()), (1, 1));
}

#[tokio::test]
async fn a_cut_ends_open_connections_and_lets_new_ones_in() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await.unwrap();
    assert_eq!(talk(&mut stream, "a").await.unwrap(), "a");
    proxy.cut().await.unwrap();
    assert!(talk(&mut stream, "b").await.is_err());
    assert_eq!(talk(&mut connect(&proxy).await.unwrap(), "c").await.unwrap(), "c");
}

#[tokio::test]
async fn nobody_is_let_in_once_connections_are_refused() {
    let proxy = echo().await;
    for _ in 0..100 {
        proxy.refuse().await.unwrap();
        // The system may still take the connection: nobody speaks on it.
        if let Ok(mut stream) = connect(&proxy).await {
            assert!(talk(&mut stream, "a").await.is_err());
        }
        proxy.heal().await.unwrap();
        while connect(&proxy).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn refusing_ends_with_healing() {
    let proxy = echo().await;
    let mut kept = connect(&proxy).await.unwrap();
    assert_eq!(talk(&mut kept, "a").await.unwrap(), "a");
    proxy.refuse().await.unwrap();
    let until = Instant::now() + SOON;
    while connect(&proxy).await.is_ok() {
        assert!(Instant::now() < until, "connections are still taken");
    }
    assert_eq!(talk(&mut kept, "b").await.unwrap(), "b");
    proxy.heal().await.unwrap();
    while connect(&proxy).await.is_err() {
        assert!(Instant::now() < until, "connections are still refused");
    }
    assert_eq!(talk(&mut connect(&proxy).await.unwrap(), "c").await.unwrap(), "c");
}

#[tokio::test]
async fn a_swallowed_connection_stays_silent_for_good() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await.unwrap();
    assert_eq!(talk(&mut stream, "a").await.unwrap(), "a");
    proxy.half_open().await.unwrap();
    stream.write_all(b"b").await.unwrap();
    assert!(timeout(WATCHED, stream.read_u8()).await.is_err());
    proxy.heal().await.unwrap();
    stream.write_all(b"c").await.unwrap();
    assert!(timeout(WATCHED, stream.read_u8()).await.is_err());
    assert_eq!(talk(&mut connect(&proxy).await.unwrap(), "d").await.unwrap(), "d");
}

#[tokio::test]
async fn each_direction_is_delayed() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await.unwrap();
    proxy.delay(Duration::from_millis(100)).await.unwrap();
    let sent = Instant::now();
    assert_eq!(talk(&mut stream, "a").await.unwrap(), "a");
    assert!(sent.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn one_reply_is_cut_in_the_middle() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await.unwrap();
    assert_eq!(talk(&mut stream, "before").await.unwrap(), "before");
    proxy.cut_after(3).await.unwrap();
    stream.write_all(b"abcdef").await.unwrap();
    let mut heard = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, b"abc");
    assert_eq!(
        talk(&mut connect(&proxy).await.unwrap(), "after").await.unwrap(),
        "after"
    );
}
