//! The attribute that declares a subscriber of the broker framework.
//!
//! Applications have it from the facade: `use broker::prelude::*;`.

mod arguments;
mod expand;

use proc_macro::TokenStream;
use syn::{Item, parse_macro_input};

/// Declares a subscriber where it is written; an engine with `.discovered()` runs it.
///
/// On an async function:
///
/// ```ignore
/// #[subscriber(stream = "user-events", group = "welcome", message = "user.registered", concurrency = 8, timeout = "30s")]
/// async fn send_welcome(Json(user): Json<Registered>, State(mailer): State<Mailer>) -> Result<(), MailError> {
///     mailer.send(&user.email).await
/// }
/// ```
///
/// On methods, with the attribute without arguments on their `impl`; the value is the application's state of that type:
///
/// ```ignore
/// #[subscriber]
/// impl Mailer {
///     #[subscriber(stream = "user-events", group = "welcome", message = "user.registered")]
///     async fn send_welcome(&self, Json(user): Json<Registered>) -> Result<(), MailError> {
///         self.send(&user.email).await
///     }
/// }
/// ```
///
/// | argument | meaning | default |
/// |---|---|---|
/// | `stream` | the stream, or a pattern such as `"user.*"` | must be given |
/// | `group` | the group | the function's name; `"handlers"` for a command or query |
/// | `message` | the kind of messages it handles | every kind that has no handler of its own |
/// | `kind` | `event`, `command` or `query`: whether every group handles it, or exactly one handler does | `event` |
/// | `batch` | the most messages of a batch, for a function that takes a `Vec` first | one by one |
/// | `linger` | how long the first message of a batch may wait for company | not at all |
/// | `broker` | a configured broker | `"default"` |
/// | `concurrency` | how many messages are handled at once | 1 |
/// | `ordered_by` | `"key"` or `"nothing"` | `"key"` |
/// | `sequential` | a failing message parks its key | `false` |
/// | `timeout`, `lease` | such as `"30s"` | none; the broker's `message_timeout` |
/// | `prefetch` | how many messages may be in hand | 256; on Redis up to 2,048 small ones, while handlers take next to no time |
/// | `attempts` | how often a message is tried in all | the engine's policy |
/// | `retry` | an expression that makes a `RetryPolicy` | the engine's policy |
/// | `require` | flags such as `[RELIABLE_MESSAGING]` without which the engine does not start | none |
/// | `ack` | `"on_success"`, `"each"`, `"first"` or `"manual"` | `"on_success"` |
/// | `undecodable` | `"dead_letter"`, `"skip"` or `"retry"` | `"dead_letter"` |
/// | `start` | `"earliest"` or `"latest"`, for a group that is not there yet | `"earliest"` |
/// | `remove_group` | removes the group when the subscriber ends | `false` |
/// | `remove_stream` | removes the stream when the subscriber ends | `false` |
/// | `crate` | the path of the engine | `::broker::engine` |
#[proc_macro_attribute]
pub fn subscriber(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let arguments = proc_macro2::TokenStream::from(arguments);
    let expanded = match parse_macro_input!(item as Item) {
        Item::Fn(function) => expand::function(arguments, &function),
        Item::Impl(block) => expand::methods(arguments, block),
        other => Err(syn::Error::new_spanned(
            other,
            "`subscriber` belongs on an async function, or on an `impl` whose methods have it",
        )),
    };
    expanded.unwrap_or_else(|error| error.to_compile_error()).into()
}
