//! Request and reply: a message that expects an answer, on a stream of the asker's own.

mod client;
mod reply;
mod reply_queue;
mod response;
mod status;
mod waiting;

pub use client::{RequestClient, RequestClientBuilder, RequestId};
pub use reply::Reply;
pub(crate) use reply::{addressed, failed};
pub use reply_queue::ReplyQueue;
pub use response::Response;
pub use status::Status;

/// Where the answer is expected.
pub(crate) const REPLY_TO: &str = "reply-to";
/// Which request an answer belongs to.
pub(crate) const REQUEST_ID: &str = "request-id";
/// How it ended.
pub(crate) const STATUS: &str = "reply-status";
/// What went wrong, in one line.
pub(crate) const ERROR: &str = "reply-error";
/// The version of these headers, of a request and of its answer.
pub(crate) const VERSION: &str = "rpc-version";
/// The version that is written here.
pub(crate) const CURRENT_VERSION: &str = "1";
