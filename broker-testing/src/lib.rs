//! Tests for applications of the broker framework.
//!
//! A [`TestApp`] runs the application's own subscribers in this process, on brokers that need no server and record what
//! is published. On a paused clock its pauses between attempts take no time:
//!
//! ```
//! use broker_engine::{App, Json, RetryPolicy, Subscriber};
//! use broker_core::Message;
//! use broker_testing::TestApp;
//!
//! async fn welcome(Json(address): Json<String>) -> Result<(), std::io::Error> {
//!     Err(std::io::Error::other(format!("{address} bounced")))
//! }
//!
//! fn service() -> App {
//!     App::empty()
//!         .retry(RetryPolicy::attempts(5))
//!         .subscribe(Subscriber::new("user-events", "welcome").handle(welcome))
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let app = TestApp::of(service()).start().await;
//! app.publish("user-events", Message::json("nobody@invalid").unwrap()).await;
//! app.settled().await; // five attempts at once
//! assert_eq!(app.handled("welcome").attempts(), 5);
//! app.dead_letters("user-events", "welcome").assert_one().reason_contains("bounced");
//! # app.stop().await;
//! # }
//! ```
//!
//! A [`RecordingBroker`] is for code that publishes and handles nothing. What goes wrong in a test panics there, with a
//! line that says what was expected and what was found.

mod app;
mod dead_letters;
mod handled;
mod recording;
mod unmet;

pub use app::{TestApp, TestAppBuilder};
pub use dead_letters::{DeadLetters, OneDeadLetter};
pub use handled::{Handled, Handling, HandlingEnd};
pub use recording::{Recorded, RecordedMessages, RecordingBroker};
