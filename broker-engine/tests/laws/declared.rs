//! Subscribers are declared by attribute or by hand; what is wrong with them is told before anything runs.

use broker::prelude::*;

use crate::support::{Seen, inline, until, weak};

#[subscriber(stream = "attributed", group = "doubler", message = "number", concurrency = 4, timeout = "30s",
             attempts = 3, require = [RELIABLE_MESSAGING])]
async fn double(Json(number): Json<u64>, State(seen): State<Seen<u64>>) -> Result<(), std::io::Error> {
    seen.push(number * 2);
    Ok(())
}

#[derive(Clone, Default)]
struct Adder {
    seen: Seen<u64>,
}

#[subscriber]
impl Adder {
    #[subscriber(stream = "attributed", group = "adder", message = "number")]
    async fn add(&self, Json(number): Json<u64>) {
        self.seen.push(number + self.offset());
    }

    fn offset(&self) -> u64 {
        100
    }
}

#[tokio::test(start_paused = true)]
async fn functions_and_methods_with_the_attribute_are_found() {
    let brokers = inline();
    let (seen, adder) = (Seen::<u64>::default(), Adder::default());
    let engine = Engine::builder(brokers.clone())
        .state(seen.clone())
        .state(adder.clone())
        .discovered()
        .start()
        .await
        .unwrap();
    let message = Message::json(&21).unwrap().kind("number");
    brokers.publish("attributed", message).await.unwrap();
    until("both handled it", || seen.len() + adder.seen.len() == 2).await;
    engine.stop().await.unwrap();
    assert_eq!((seen.all(), adder.seen.all()), (vec![42], vec![121]));
}

async fn nothing() {}

async fn refusal(engine: broker::engine::EngineBuilder) -> String {
    engine.start().await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_second_handler_for_a_kind_is_an_error_that_names_both() {
    let error = refusal(
        Engine::builder(inline())
            .state(Seen::<u64>::default())
            .state(Adder::default())
            .discovered()
            .subscribe(Subscriber::new("attributed", "doubler").on("number", nothing)),
    )
    .await;
    assert!(error.contains("kind `number` have two handlers"), "{error}");
    assert!(
        error.contains("declared::double (") && error.contains("declared::nothing"),
        "{error}"
    );
}

#[tokio::test]
async fn a_state_that_is_missing_is_named() {
    let error = refusal(Engine::builder(inline()).subscribe(Subscriber::new("a", "b").handle(double))).await;
    assert!(
        error.contains("Seen<u64>") && error.contains(".state("),
        "{error}"
    );
}

#[tokio::test]
async fn required_flags_that_are_missing_are_named() {
    let brokers = weak(Capabilities::SIMPLE_QUEUING);
    let subscriber = Subscriber::new("a", "b")
        .handle(nothing)
        .require(Capabilities::RELIABLE_MESSAGING);
    let error = refusal(Engine::builder(brokers).subscribe(subscriber)).await;
    assert!(
        error.contains("MESSAGE_ACKNOWLEDGEMENT, MESSAGE_REJECTION, DELIVERY_GUARANTEES"),
        "{error}"
    );
}
