//! `groups`, `dlq`, `ping` and `health`.

use crate::support::{broker, run};
use broker::broker::NackOptions;
use broker::{Broker, Message};
use broker_cli::Exit;
use serde_json::{Value, json};

/// Publishes `payloads`, and lets the group `billing` give up on each.
async fn give_up(broker: &Broker, payloads: &[&'static str]) {
    for payload in payloads {
        broker
            .publish("orders", Message::text(*payload).key("k"))
            .await
            .unwrap();
    }
    for delivery in broker.read("orders", "billing", payloads.len()).await.unwrap() {
        let refusal = NackOptions::new().reason("mailbox\nfull").dead_letter();
        delivery.nack_with(refusal).await.unwrap();
    }
}

/// Takes a number out of an object, so that the rest can be compared.
fn number(object: &mut Value, name: &str) -> f64 {
    object[name]
        .take()
        .as_f64()
        .unwrap_or_else(|| panic!("{name} is no number: {object}"))
}

#[tokio::test]
async fn groups_tell_members_pending_and_lag() {
    let url = "inline://groups";
    let broker = broker(&format!("{url}?consumer=worker-1")).await;
    for _ in 0..5 {
        broker.publish("orders", Message::text("x")).await.unwrap();
    }
    let held = broker.read("orders", "billing", 2).await.unwrap();
    let answer = run(&["groups", "orders", "--url", url, "--format", "json"])
        .await
        .good();
    let mut object = answer.object();
    assert!(number(&mut object, "oldest_pending_ms") >= 0.0);
    assert!(number(&mut object["members"][0], "idle_ms") >= 0.0);
    assert_eq!(
        object,
        json!({
            "stream": "orders", "group": "billing", "pending": 2, "lag": 3, "oldest_pending_ms": null,
            "members": [{ "consumer": "worker-1", "pending": 2, "idle_ms": null }]
        })
    );
    let text = run(&["groups", "orders", "--url", url]).await.good().output;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "GROUP    CONSUMER  PENDING  LAG  OLDEST  IDLE");
    assert!(
        lines[1].starts_with("billing  1 member  2        3    0."),
        "{text}"
    );
    assert!(lines[2].starts_with("         worker-1  2"), "{text}");
    drop(held);
}

#[tokio::test]
async fn dead_letters_are_listed_with_their_story() {
    let url = "inline://dlq-list";
    let broker = broker(&format!("{url}?consumer=worker-1")).await;
    give_up(&broker, &["one", "two"]).await;
    let list = ["dlq", "list", "orders", "--group", "billing", "--url", url];
    let answer = run(&[&list[..], &["--format", "json"]].concat()).await.good();
    let mut objects = answer.objects();
    assert_eq!(objects.len(), 2);
    let object = &mut objects[0];
    for name in ["first_failed", "last_failed"] {
        assert!(object[name].take().as_str().unwrap().ends_with('Z'));
    }
    let id = object["id"].take().as_str().unwrap().to_owned();
    assert_eq!(
        *object,
        json!({
            "stream": "orders", "group": "billing", "id": null, "original_id": "0:1", "partition": 0,
            "reason": "mailbox\nfull", "causes": [], "attempts": 1, "first_failed": null, "last_failed": null,
            "consumer": "worker-1", "key": "k", "kind": null, "content_type": null, "message_id": null, "headers": {},
            "payload": "two"
        })
    );
    let text = run(&list).await.good().output;
    assert!(text.lines().next().unwrap().starts_with("ID"), "{text}");
    assert!(text.contains("mailbox full"), "{text}");
    assert_eq!(text.lines().count(), 3);
    assert_eq!(
        run(&[&list[..], &["-n", "1"]].concat())
            .await
            .good()
            .output
            .lines()
            .count(),
        2
    );

    let inspect = ["dlq", "inspect", "orders", "-g", "billing", "--url", url, "--id"];
    let shown = run(&[&inspect[..], &[id.as_str()]].concat()).await.good().output;
    assert!(
        shown.contains("reason        mailbox\\nfull\n") && shown.contains("payload       two\n"),
        "{shown}"
    );
    let missing = run(&[&inspect[..], &["9:99"]].concat()).await;
    assert_eq!(missing.exit, Exit::Failure);
    assert_eq!(
        missing.errors,
        "error: inspect dead letter: not found: no dead letter has the id `9:99`\n"
    );
}

#[tokio::test]
async fn dead_letters_are_replayed_and_purged_one_or_all() {
    let url = "inline://dlq-replay";
    let broker = broker(url).await;
    give_up(&broker, &["one", "two", "three"]).await;
    let dlq = |command: &'static str, which: Vec<String>| async move {
        let mut arguments = vec![
            "dlq", command, "orders", "-g", "billing", "--url", url, "--format", "json",
        ];
        arguments.extend(which.iter().map(String::as_str));
        run(&arguments).await
    };
    let all = || vec!["--all".to_owned()];
    let oldest = dlq("list", vec![]).await.good().objects()[2]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let answer = dlq("replay", vec!["--id".to_owned(), oldest]).await.good();
    assert_eq!(
        answer.object(),
        json!({ "stream": "orders", "group": "billing", "replayed": 1 })
    );
    assert_eq!(
        broker
            .read("orders", "billing", 9)
            .await
            .unwrap()
            .next()
            .unwrap()
            .payload(),
        "one"
    );

    let answer = dlq("purge", all()).await.good();
    assert_eq!(
        answer.object(),
        json!({ "stream": "orders", "group": "billing", "purged": 2 })
    );
    assert_eq!(dlq("list", vec![]).await.good().output, "");
    assert_eq!(dlq("replay", all()).await.good().object()["replayed"], 0);
    let unknown = dlq("replay", vec!["--id".to_owned(), "no-such".to_owned()]).await;
    assert_eq!(
        (unknown.exit, unknown.errors.lines().count()),
        (Exit::Failure, 1),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn what_a_broker_can_not_do_is_one_line() {
    let url = "inline://?capabilities=SIMPLE_QUEUING";
    let answer = run(&["dlq", "list", "orders", "-g", "g", "--url", url]).await;
    assert_eq!(answer.exit, Exit::Failure);
    assert_eq!(
        answer.errors,
        "error: dead letters (inline): unsupported: DEAD_LETTER_QUEUE is not among its capabilities; choose a provider that has it \
         (reason=the setting `capabilities` leaves it out)\n"
    );
}

#[tokio::test]
async fn a_ping_tells_how_long_it_took() {
    let mut object = run(&["ping", "--url", "inline://", "--format", "json"])
        .await
        .good()
        .object();
    assert!(number(&mut object, "ping_ms") >= 0.0);
    assert_eq!(
        object,
        json!({ "broker": "default", "provider": "inline", "ping_ms": null })
    );
    let text = run(&["ping", "--url", "inline://"]).await.good().output;
    assert!(
        text.starts_with("default (inline) answered in ") && text.ends_with(" ms\n"),
        "{text}"
    );
}

#[tokio::test]
async fn health_tells_status_counts_and_what_is_lost() {
    let url = "inline://?capabilities=SIMPLE_QUEUING";
    let mut object = run(&["health", "--url", url, "--format", "json"])
        .await
        .good()
        .object();
    for name in ["ping_ms", "last_ping_ms", "uptime_ms"] {
        assert!(number(&mut object, name) >= 0.0);
    }
    let lost = object["lost_capabilities"].take();
    assert!(
        lost.as_array()
            .unwrap()
            .iter()
            .all(|lost| lost["reason"].is_string()),
        "{lost}"
    );
    assert!(lost.to_string().contains("REPLAY"), "{lost}");
    assert!(object["details"].take().is_object());
    let counts = object["counts"].take();
    assert_eq!(counts["published"], 0);
    assert_eq!(
        object,
        json!({
            "broker": "default", "provider": "inline", "status": "healthy", "connected": true, "ping_ms": null,
            "last_ping_ms": null, "uptime_ms": null, "capabilities": ["PUBLISH", "SUBSCRIBE", "CONSUMER_GROUPS"],
            "lost_capabilities": null, "counts": null, "warnings": [], "error": null, "details": null
        })
    );
    let text = run(&["health", "--url", "inline://"]).await.good().output;
    assert!(
        text.starts_with("status        healthy\nconnected     yes\n"),
        "{text}"
    );
}
