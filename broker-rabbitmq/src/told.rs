//! Acks on their way, and the question behind them that tells when the server has them.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use broker_core::{Error, ErrorKind, Result, Retry};
use lapin::Channel;
use lapin::options::{BasicAckOptions, ChannelFlowOptions};

/// Something that is on its way; it need not be waited for.
pub(crate) type OnItsWay<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Acks on their way, which answer when the server has gone past them.
pub(crate) type Told = OnItsWay<Result<()>>;

/// Hands what `sending` sends first to the connection before this returns: frames go in the order of these calls.
pub(crate) fn at_once<T>(sending: impl Future<Output = T> + Send + 'static) -> OnItsWay<T>
where
    T: Send + 'static,
{
    let mut sending = Box::pin(sending);
    match sending.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Box::pin(std::future::ready(answer)),
        Poll::Pending => sending,
    }
}

/// Sends acks, each with whether it covers all before it. It answers nothing, but does what follows after them.
pub(crate) fn tell(channel: &Channel, acks: Vec<(bool, u64)>) -> Told {
    let channel = channel.clone();
    at_once(async move {
        let ack = |(multiple, tag)| channel.basic_ack(tag, BasicAckOptions { multiple });
        let acks = futures_util::future::join_all(acks.into_iter().map(ack));
        let past = channel.channel_flow(ChannelFlowOptions { active: true });
        let (acks, past) = futures_util::future::join(acks, past).await;
        let told: lapin::Result<Vec<()>> = acks.into_iter().collect();
        // Whether they came through shows: what did not comes again.
        told.and(past.map(drop)).map_err(|_| gone())
    })
}

/// That a session is over.
pub(crate) fn gone() -> Error {
    Error::new(ErrorKind::Connection, "the channel of this reader is gone").retry(Retry::Safe)
}
