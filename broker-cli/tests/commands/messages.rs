//! `publish`, `read` and `tail`.

use crate::support::{broker, run, with_input};
use std::io::{self, Write};

use broker::{Message, StartPosition};
use broker_cli::{Exit, Terminal};
use serde_json::{Value, json};

#[tokio::test]
async fn publish_answers_the_id() {
    let url = "inline://publish-id";
    let _kept = broker(url).await;
    let answer = run(&["publish", "orders", "-d", "one", "--url", url, "--format", "json"])
        .await
        .good();
    assert_eq!(answer.object(), json!({ "stream": "orders", "id": "0:0" }));
    assert_eq!(
        run(&["publish", "orders", "-d", "two", "--url", url])
            .await
            .good()
            .output,
        "0:1\n"
    );
}

#[tokio::test]
async fn every_part_of_a_message_arrives() {
    let url = "inline://parts";
    let broker = broker(url).await;
    let arguments = [
        "publish",
        "orders",
        "--url",
        url,
        "--data",
        "{}",
        "--key",
        "customer-3",
        "--header",
        "a=1",
        "--header",
        "b==",
        "--kind",
        "order.placed",
        "--id",
        "o-7",
        "--content-type",
        "application/json",
    ];
    run(&arguments).await.good();
    let delivery = broker.read("orders", "g", 1).await.unwrap().next().unwrap();
    let expected = Message::text("{}")
        .key("customer-3")
        .header("a", "1")
        .header("b", "=")
        .kind("order.placed")
        .id("o-7")
        .content_type("application/json");
    assert_eq!(delivery.message(), &expected);
}

#[tokio::test]
async fn without_data_standard_input_is_the_payload() {
    let url = "inline://stdin";
    let broker = broker(url).await;
    with_input(&["publish", "orders", "--url", url], b"{\"id\":7}\n")
        .await
        .good();
    with_input(&["publish", "orders", "--url", url], b"").await.good();
    let payloads: Vec<_> = broker
        .read("orders", "g", 9)
        .await
        .unwrap()
        .map(|d| d.payload().clone())
        .collect();
    assert_eq!(payloads, ["{\"id\":7}\n", ""]);
}

#[tokio::test]
async fn each_line_is_a_message_also_an_empty_one_and_the_last() {
    let url = "inline://lines";
    let broker = broker(url).await;
    let arguments = ["publish", "orders", "--lines", "--url", url, "--format", "json"];
    let answer = with_input(&arguments, b"a\n\nb\r\n\xff").await.good();
    assert_eq!(
        answer.objects(),
        [
            json!({ "stream": "orders", "line": 1, "id": "0:0" }),
            json!({ "stream": "orders", "line": 2, "id": "0:1" }),
            json!({ "stream": "orders", "line": 3, "id": "0:2" }),
            json!({ "stream": "orders", "line": 4, "id": "0:3" }),
        ]
    );
    let payloads: Vec<_> = broker
        .read("orders", "g", 9)
        .await
        .unwrap()
        .map(|d| d.payload().to_vec())
        .collect();
    assert_eq!(payloads, [&b"a"[..], b"", b"b\r", b"\xff"]);
    assert_eq!(with_input(&arguments, b"").await.good().output, "");
}

#[tokio::test]
async fn a_line_that_is_refused_is_named_and_the_others_are_published() {
    let url = "inline://refused-line";
    let broker = broker(url).await;
    let limited = format!("{url}?max_payload=3");
    let answer = with_input(
        &["publish", "orders", "--lines", "--url", &limited],
        b"one\ntoo long\ntwo\n",
    )
    .await;
    assert_eq!(answer.exit, Exit::Failure);
    assert_eq!(
        answer.errors,
        "error: line 2: publish (inline): too large: the payload has 8 bytes; at most 3 are allowed (max_payload) (size=8, max=3)\n"
    );
    assert_eq!(answer.output.lines().count(), 2);
    assert_eq!(broker.read("orders", "g", 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_message_has_one_shape() {
    let url = "inline://shape";
    let broker = broker(url).await;
    let message = Message::text("one")
        .key("k")
        .header("trace", "x")
        .kind("order.placed");
    broker.publish("orders", message).await.unwrap();
    broker.publish("orders", Message::new(vec![0xff])).await.unwrap();
    let answer = run(&["read", "orders", "--group", "g", "--url", url, "--format", "json"])
        .await
        .good();
    let mut objects = answer.objects();
    for object in &mut objects {
        let stored = object["stored_at"].take();
        assert!(
            stored.is_null() || stored.as_str().unwrap().ends_with('Z'),
            "{stored}"
        );
    }
    assert_eq!(
        objects,
        [
            json!({
                "stream": "orders", "id": "0:0", "attempt": 1, "stored_at": null, "key": "k", "kind": "order.placed",
                "content_type": null, "message_id": null, "headers": { "trace": "x" }, "payload": "one"
            }),
            json!({
                "stream": "orders", "id": "0:1", "attempt": 1, "stored_at": null, "key": null, "kind": null,
                "content_type": null, "message_id": null, "headers": {}, "payload_base64": "/w=="
            }),
        ]
    );
}

#[tokio::test]
async fn what_was_read_is_acknowledged() {
    let url = "inline://acked";
    let broker = broker(url).await;
    broker
        .publish("orders", Message::text("one").key("k\u{1b}"))
        .await
        .unwrap();
    let read = ["read", "orders", "-g", "billing", "--url", url];
    assert_eq!(
        run(&read).await.good().output,
        "0:0           k\\u{1b}       one\n"
    );
    assert_eq!(run(&read).await.good().output, "");
    let group = &broker.groups("orders").await.unwrap()[0];
    assert_eq!((group.pending, group.lag), (0, 0));
}

#[tokio::test]
async fn what_is_handed_back_comes_again_as_the_same_attempt() {
    let url = "inline://handed-back";
    let broker = broker(url).await;
    broker.publish("orders", Message::text("one")).await.unwrap();
    for _ in 0..3 {
        let answer = run(&[
            "read", "orders", "-g", "g", "--no-ack", "--url", url, "--format", "json",
        ])
        .await
        .good();
        assert_eq!(
            (&answer.object()["attempt"], &answer.object()["payload"]),
            (&json!(1), &json!("one"))
        );
    }
}

/// A reader that is gone after one line.
struct Gone {
    lines: usize,
}

impl Write for Gone {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.lines > 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_nobody_saw_is_there_at_once() {
    let url = "inline://unseen";
    let broker = broker(url).await;
    for text in ["one", "two", "three"] {
        broker.publish("orders", Message::text(text)).await.unwrap();
    }
    let mut errors = Vec::new();
    let mut terminal = Terminal {
        input: &mut &b""[..],
        output: &mut Gone { lines: 0 },
        errors: &mut errors,
    };
    let arguments = ["broker", "read", "orders", "-g", "g", "--url", url].map(Into::into);
    assert_eq!(broker_cli::run(arguments, &mut terminal).await, Exit::Success);
    assert_eq!(errors, b"");
    let left: Vec<_> = broker.read("orders", "g", 9).await.unwrap().collect();
    let left: Vec<_> = left
        .iter()
        .map(|delivery| (delivery.attempt(), delivery.payload().clone()))
        .collect();
    assert_eq!(left, [(1, "two".into()), (1, "three".into())]);
}

#[tokio::test]
async fn a_read_takes_no_more_than_it_is_told_and_waits_as_long() {
    let url = "inline://bounded";
    let broker = broker(url).await;
    for _ in 0..5 {
        broker.publish("orders", Message::text("x")).await.unwrap();
    }
    let read = |max: &'static str| async move {
        let arguments = [
            "read", "orders", "-g", "g", "-n", max, "--wait", "20ms", "--url", url,
        ];
        run(&arguments).await.good().output.lines().count()
    };
    assert_eq!(
        (read("2").await, read("0").await, read("9").await, read("9").await),
        (2, 0, 3, 0)
    );
}

#[tokio::test]
async fn where_nothing_can_be_acknowledged_reading_works_and_asking_for_it_fails_first() {
    let url = "inline://weak?capabilities=SIMPLE_QUEUING";
    let broker = broker(url).await;
    broker.publish("orders", Message::text("one")).await.unwrap();
    for (flag, missing) in [
        ("--ack", "MESSAGE_ACKNOWLEDGEMENT"),
        ("--no-ack", "MESSAGE_REJECTION"),
    ] {
        let answer = run(&["read", "orders", "-g", "g", flag, "--url", url]).await;
        assert_eq!(answer.exit, Exit::Failure);
        assert_eq!(
            answer.errors,
            format!(
                "error: read (inline): unsupported: {missing} is not among its capabilities; choose a provider that has it (reason=the setting `capabilities` leaves it out)\n"
            )
        );
    }
    assert_eq!(
        run(&["read", "orders", "-g", "g", "--url", url])
            .await
            .good()
            .output
            .lines()
            .count(),
        1
    );
}

#[tokio::test]
async fn a_tail_sees_all_and_takes_nothing_from_a_group() {
    let url = "inline://tail";
    let broker = broker(url).await;
    for text in ["one", "two", "three"] {
        broker.publish("orders", Message::text(text)).await.unwrap();
    }
    let tail = |from: &'static str, max: &'static str| async move {
        let arguments = [
            "tail", "orders", "--from", from, "-n", max, "--url", url, "--format", "json",
        ];
        let answer = run(&arguments).await.good();
        answer
            .objects()
            .iter()
            .map(|object| object["payload"].clone())
            .collect::<Vec<Value>>()
    };
    assert_eq!(tail("earliest", "3").await, ["one", "two", "three"]);
    assert_eq!(tail("id:0:1", "2").await, ["two", "three"]);
    assert_eq!(tail("time:2020-01-01T00:00:00Z", "1").await, ["one"]);
    assert_eq!(tail("latest", "0").await, Vec::<Value>::new());
    assert_eq!(broker.read("orders", "g", 9).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_tail_follows_every_stream_of_a_pattern_from_now_on() {
    let url = "inline://pattern";
    let broker = broker(url).await;
    broker.publish("user.old", Message::text("before")).await.unwrap();
    let arguments = ["tail", "user.*", "-n", "1", "--url", url, "--format", "json"];
    let publish = async {
        // Until the tail has begun there is nobody to see it, so it goes on until somebody has.
        loop {
            broker.publish("user.new", Message::text("now")).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let answer = tokio::select! {
        answer = run(&arguments) => answer.good(),
        never = publish => never,
    };
    assert_eq!(
        (&answer.object()["stream"], &answer.object()["payload"]),
        (&json!("user.new"), &json!("now"))
    );
    let again = broker
        .listen("user.old")
        .start_at(StartPosition::Earliest)
        .start()
        .await
        .unwrap()
        .next()
        .await;
    assert_eq!(again.unwrap().unwrap().payload(), "before");
}
