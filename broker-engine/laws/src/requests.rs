//! A request is answered, whatever becomes of it.

use std::time::Duration;

use broker::engine::Status;
use broker::prelude::*;
use serde::{Deserialize, Serialize};

use crate::stage::Stage;

#[derive(Debug, Deserialize, Serialize)]
struct Ask {
    sku: String,
}

#[subscriber(stream = "prices", message = "price.get", kind = query, attempts = 1)]
async fn price(Json(ask): Json<Ask>) -> Result<Reply<u64>, std::io::Error> {
    match ask.sku.as_str() {
        "coffee" => Ok(Reply::ok(350)),
        "broken" => Err(std::io::Error::other("the price list is torn")),
        _ => Ok(Reply::error(400, "no such product")),
    }
}

fn ask(sku: &str) -> Message {
    Message::json(&Ask { sku: sku.to_owned() })
        .unwrap()
        .kind("price.get")
}

pub(crate) async fn requests_are_answered_with_their_status(stage: Stage) {
    let (brokers, prices) = (stage.brokers(), stage.stream("prices"));
    let broker = brokers.default_broker().clone();
    let engine = Engine::builder(brokers.clone())
        .subscribe(
            Subscriber::new(prices, "handlers")
                .on("price.get", price)
                .retry(RetryPolicy::attempts(1)),
        )
        .keep_brokers_open()
        .start()
        .await
        .unwrap();
    let client = RequestClient::new(&broker).await.unwrap();
    let request = |message| client.request(prices, message, Duration::from_secs(20));
    let (good, bad, broken, garbled) = tokio::join!(
        request(ask("coffee")),
        request(ask("tea")),
        request(ask("broken")),
        request(Message::text("{").kind("price.get")),
    );
    assert_eq!(good.unwrap().json::<u64>().unwrap(), 350);
    let bad = bad.unwrap();
    assert_eq!(
        (bad.status(), bad.error()),
        (Status::ERROR, Some("no such product"))
    );
    let error = bad.json::<u64>().unwrap_err().to_string();
    assert!(
        error.contains("400 error") && error.contains("no such product"),
        "{error}"
    );
    let broken = broken.unwrap();
    assert_eq!(
        (broken.status(), broken.error()),
        (Status::SYSTEM_ERROR, Some("the price list is torn"))
    );
    assert_eq!(garbled.unwrap().status(), Status::ERROR);
    engine.stop().await.unwrap();
    client.close().await.unwrap();
    let error = client
        .request(prices, ask("tea"), Duration::from_secs(1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    brokers.close().await.unwrap();
}
