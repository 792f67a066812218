//! What the conformance suite can't know: the folder itself.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use broker_core::{Broker, ErrorKind, Message, StartPosition};
use custom_adapter as _;

async fn open(folder: &Path) -> Broker {
    Broker::connect(&format!("dir://{}", folder.display()))
        .await
        .unwrap()
}

async fn read_all(broker: &Broker, group: &str) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        let batch = broker.read("orders", group, 7).await.unwrap();
        if batch.is_empty() {
            return texts;
        }
        texts.extend(batch.map(|delivery| String::from_utf8(delivery.payload().to_vec()).unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_and_consumers_of_several_brokers_lose_and_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let publishing = (0..4).map(|publisher| {
        let folder = folder.path().to_owned();
        tokio::spawn(async move {
            let broker = open(&folder).await;
            for number in 0..50 {
                broker
                    .publish("orders", Message::text(format!("{publisher}/{number:02}")))
                    .await
                    .unwrap();
            }
        })
    });
    for publisher in publishing.collect::<Vec<_>>() {
        publisher.await.unwrap();
    }
    let reading = (0..4).map(|_| {
        let folder = folder.path().to_owned();
        tokio::spawn(async move { read_all(&open(&folder).await, "billing").await })
    });
    let mut texts = Vec::new();
    for reader in reading.collect::<Vec<_>>() {
        texts.extend(reader.await.unwrap());
    }
    texts.sort_unstable();
    let expected: Vec<_> = (0..4)
        .flat_map(|p| (0..50).map(move |n| format!("{p}/{n:02}")))
        .collect();
    assert_eq!(texts, expected);
    for publisher in 0..4 {
        let prefix = format!("{publisher}/");
        let all = read_all(&open(folder.path()).await, &format!("audit-{publisher}")).await;
        let own: Vec<_> = all.into_iter().filter(|text| text.starts_with(&prefix)).collect();
        assert!(own.is_sorted(), "a publisher's order is kept: {own:?}");
    }
}

#[tokio::test]
async fn a_dropped_read_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path()).await;
    let messages = (0..200)
        .map(|number| Message::text(format!("{number:03}")))
        .collect();
    broker.publish_batch("orders", messages).await.unwrap();
    let mut texts = Vec::new();
    for micros in 0.. {
        let read = broker.read("orders", "billing", 3);
        match tokio::time::timeout(Duration::from_micros(micros % 400), read).await {
            Err(_) => {}
            Ok(batch) if batch.as_ref().unwrap().is_empty() => break,
            Ok(batch) => texts.extend(batch.unwrap().map(|delivery| delivery.payload().clone())),
        }
    }
    assert_eq!(
        texts,
        (0..200).map(|number| format!("{number:03}")).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_group_goes_on_where_the_last_process_left_it() {
    let folder = tempfile::tempdir().unwrap();
    for round in ["a", "b", "c"] {
        let broker = open(folder.path()).await;
        broker.publish("orders", Message::text(round)).await.unwrap();
        assert_eq!(read_all(&broker, "billing").await, [round]);
        broker.close().await.unwrap();
        assert_eq!(
            broker.read("orders", "billing", 1).await.unwrap_err().kind(),
            ErrorKind::Closed
        );
    }
}

#[tokio::test]
async fn a_file_of_somebody_else_is_skipped_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path()).await;
    broker.publish("orders", Message::text("a")).await.unwrap();
    std::fs::write(folder.path().join("orders/messages/1"), "not ours").unwrap();
    broker.publish("orders", Message::text("b")).await.unwrap();
    assert_eq!(read_all(&broker, "billing").await, ["a", "b"]);
    let details = broker.health_stats().await.details;
    assert!(
        format!("{details:?}").contains("1 files were skipped"),
        "{details:?}"
    );
}

#[tokio::test]
async fn a_latest_group_sees_what_comes_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path()).await;
    broker.publish("orders", Message::text("before")).await.unwrap();
    let mut late = broker
        .subscribe("orders", "late")
        .start_at(StartPosition::Latest)
        .start()
        .await
        .unwrap();
    let group_made = async {
        while !folder.path().join("orders/groups/late").exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        early = late.next() => panic!("nothing is there yet: {early:?}"),
        () = group_made => {}
    }
    broker.publish("orders", Message::text("after")).await.unwrap();
    assert_eq!(late.next().await.unwrap().unwrap().payload().as_ref(), b"after");
}

#[tokio::test]
async fn a_wrong_folder_is_one_clear_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display();
    let line = |error: broker_core::Error| error.to_string();
    assert_eq!(
        line(Broker::connect(&format!("dir://{path}")).await.unwrap_err()),
        format!(
            "connect (dir): connection: the folder can't be used: Not a directory (os error 20) (folder={path})"
        )
    );
    for url in ["dir://var/spool", "dir://", "dir:///"] {
        assert_eq!(
            line(Broker::connect(url).await.unwrap_err()),
            "dir: config: url.uri: `dir:///path/to/folder` is expected, with three slashes"
        );
    }
    let line = line(Broker::connect("dir:///tmp/x?max_retrys=1").await.unwrap_err());
    assert!(
        line.ends_with("unknown key; did you mean `max_retries`?"),
        "{line}"
    );
}

/// A killed process leaves nothing half done behind: what it published is there, whole and in order.
#[tokio::test]
async fn a_killed_publisher_leaves_whole_messages() {
    const FOLDER: &str = "DIR_TEST_FOLDER";
    if let Ok(folder) = std::env::var(FOLDER) {
        let broker = open(Path::new(&folder)).await;
        for number in 0_u64.. {
            broker
                .publish("orders", Message::text(format!("{number:06}")))
                .await
                .unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_publisher_leaves_whole_messages"])
        .env(FOLDER, folder.path())
        .spawn()
        .unwrap();
    while !folder.path().join("orders/messages/40").exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let texts = read_all(&open(folder.path()).await, "billing").await;
    assert!(texts.len() >= 40);
    assert_eq!(
        texts,
        (0..texts.len())
            .map(|number| format!("{number:06}"))
            .collect::<Vec<_>>()
    );
}
