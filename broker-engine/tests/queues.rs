//! Queues are declared as data and used by name.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use broker::engine::{QueueError, Queues};
use broker::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const DECLARED: &str =
    r#"{"queues":[{"name":"mailer"},{"name":"bills","stream":"billing.bills","group":"desk"}]}"#;

async fn inline() -> Broker {
    Broker::connect("inline://").await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_declared_queue_is_used_by_name() {
    let broker = inline().await;
    let queues = Queues::from_json(&broker, DECLARED).unwrap();
    assert_eq!(queues.names().collect::<Vec<_>>(), ["bills", "mailer"]);
    let mailer = queues.get("mailer").unwrap();
    assert_eq!(mailer.queue_length().await.unwrap(), 0);
    for number in 0..3 {
        mailer.send(&number).await.unwrap();
    }
    assert_eq!(mailer.queue_length().await.unwrap(), 3, "nobody has handled any");
    queues
        .get("bills")
        .unwrap()
        .send_message(Message::text("x").key("k"))
        .await
        .unwrap();
    let mut batch = broker.read("mailer", "handlers", 2).await.unwrap();
    assert_eq!(mailer.queue_length().await.unwrap(), 3, "those in hand count");
    batch.ack().await.unwrap();
    assert_eq!(mailer.queue_length().await.unwrap(), 1);
    assert_eq!(broker.read("billing.bills", "desk", 5).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_command_handler_empties_it() {
    let brokers = Brokers::builder()
        .default(broker::inline::InlineConfig::default())
        .build()
        .unwrap();
    let count = Arc::new(AtomicU32::new(0));
    async fn mail(Json(_): Json<u32>, State(count): State<Arc<AtomicU32>>) {
        count.fetch_add(1, Ordering::SeqCst);
    }
    let queues = Queues::from_json(brokers.default_broker(), DECLARED).unwrap();
    let engine = Engine::builder(brokers.clone())
        .state(Arc::clone(&count))
        .subscribe(Subscriber::new("mailer", "handlers").handle(mail))
        .start()
        .await
        .unwrap();
    queues.get("mailer").unwrap().send(&1).await.unwrap();
    while queues.get("mailer").unwrap().queue_length().await.unwrap() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    engine.stop().await.unwrap();
}

#[tokio::test]
async fn three_mistakes_are_three_errors() {
    let broker = inline().await;
    let queues = Queues::from_json(&broker, DECLARED).unwrap();
    let error = queues.get("mailr").unwrap_err();
    assert!(matches!(error, QueueError::Undeclared { .. }));
    assert_eq!(
        error.to_string(),
        "no queue `mailr` is declared (declared: bills, mailer); add {\"name\":\"mailr\"}"
    );
    let error = queues.get("no such name").unwrap_err();
    assert!(matches!(error, QueueError::BadName { .. }), "{error}");
    // JSON has no keys but text.
    let unwritable = HashMap::from([(vec![1], 2)]);
    let error = queues.get("mailer").unwrap().send(&unwritable).await.unwrap_err();
    assert!(matches!(error, QueueError::NotSerializable { .. }), "{error}");
    assert_eq!(queues.get("mailer").unwrap().queue_length().await.unwrap(), 0);
}

#[tokio::test]
async fn a_declaration_is_validated_and_its_mistakes_have_a_place() {
    let broker = inline().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("queues.json");
    for (text, said) in [
        (
            r#"{"queues":[{"name":"a"},{"name":"a"}]}"#,
            "queues[1].name: the queue `a` is declared twice",
        ),
        (
            r#"{"queues":[{"name":"a b"}]}"#,
            "queues[0].name: `a b` is no name",
        ),
        (
            r#"{"queues":[{"name":"a","group":"?"}]}"#,
            "queues[0].group: `?` is no name",
        ),
        (r#"{"queues":[{"title":"a"}]}"#, "unknown field `title`"),
        (r#"{"streams":[]}"#, "unknown field `streams`"),
        ("[", "EOF"),
    ] {
        std::fs::write(&file, text).unwrap();
        let line = Queues::from_file(&broker, &file).unwrap_err().to_string();
        assert!(line.contains("queues.json") && line.contains(said), "{line}");
    }
    let line = Queues::from_file(&broker, folder.path().join("none.json"))
        .unwrap_err()
        .to_string();
    assert!(line.contains("none.json: can't be read"), "{line}");
}

/// Answers every request with `answer`; its address.
async fn web(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}/queues.json")
}

fn page(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_declaration_is_fetched_from_a_web_address() {
    let broker = inline().await;
    let address = web(page("200 OK", DECLARED)).await;
    let queues = Queues::fetch(&broker, &address).await.unwrap();
    assert_eq!(queues.names().count(), 2);
    for (answer, said) in [
        (page("404 Not Found", ""), "can't be fetched"),
        (page("200 OK", "{}"), "missing field `queues`"),
        (page("200 OK", &" ".repeat(2 << 20)), "can't be fetched"),
    ] {
        let address = web(answer).await;
        let error = Queues::fetch(&broker, &address).await.unwrap_err();
        assert!(matches!(error, QueueError::Declaration { .. }));
        let line = error.to_string();
        assert!(line.contains(&address) && line.contains(said), "{line}");
    }
}
