//! Commands of the book print what the book says.
//!
//! Each page has an empty Redis server; its commands run in the order they stand in. Digits and the width of columns are not
//! compared, and a line `…` stands for any lines. A block `console,no_run` is not run.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use broker::cli::Terminal;
use broker::engine::App;
use broker::prelude::*;
use broker_testkit::servers::RedisConfig;
use support::pages;

#[tokio::test]
async fn commands_print_what_the_book_says() {
    let server = RedisConfig::new().start().unwrap();
    let url = format!("redis://127.0.0.1:{}/0", server.port());
    let folder = tempfile::tempdir().unwrap();
    write_configurations(folder.path(), &url);
    // The only test of its process: nobody else minds where it is.
    std::env::set_current_dir(folder.path()).unwrap();
    let (mut ran, mut faults) = (0, Vec::new());
    for page in pages() {
        server.command(&["FLUSHALL"]).unwrap();
        set_the_scene(&page.name, &url).await;
        let mut ids = Vec::new();
        for block in page.blocks(&["console"]) {
            if block.info != "console" {
                continue;
            }
            for (command, expected) in commands(&block.text) {
                let Some(printed) = run(&with_ids(&command, &ids)).await else {
                    continue;
                };
                ran += 1;
                ids.extend(
                    words(&expected)
                        .zip(words(&printed))
                        .filter(|(shown, _)| is_id(shown)),
                );
                if !agree(&expected, &printed) {
                    faults.push(format!("{}\n$ {command}\n{printed}", page.place(&block)));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n\n"));
    assert!(ran > 20, "{ran} commands ran");
}

/// The files that commands name.
fn write_configurations(folder: &Path, url: &str) {
    let redis = format!("[brokers.default]\nprovider = 'redis'\nuri = '{url}'\nconsumer = 'desk'\n");
    for (name, text) in [
        ("broker.toml", redis.clone()),
        ("wrong.toml", redis.clone() + "max_retrys = 3\n"),
        ("broker.lists.toml", redis.replace("'redis'", "'redis_pubsub'")),
        (
            "broker.queues.toml",
            redis.replace("'redis'", "'redis_pubsub'") + "mode = 'queue'\n",
        ),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
}

/// What happened before the page's first command.
async fn set_the_scene(page: &str, url: &str) {
    if page != "program.md" {
        return;
    }
    // A service followed up on one order, and gave another up.
    let broker = Broker::connect(&format!("{url}?consumer=worker-1"))
        .await
        .unwrap();
    for id in ["order-7", "order-8"] {
        let order = Message::json(&serde_json::json!({ "id": id })).unwrap();
        let order = order.id(id).kind("order.placed").key("customer-3");
        broker.publish("orders", order).await.unwrap();
    }
    let mut batch = broker.read("orders", "billing", 2).await.unwrap();
    let (good, bad) = (batch.next().unwrap(), batch.next().unwrap());
    let invoice = Message::text("an invoice").kind("invoice.sent").id("invoice-7");
    let invoice = invoice
        .header("correlation-id", "order-7")
        .header("causation-id", "order-7");
    broker.publish("invoices", invoice).await.unwrap();
    good.ack().await.unwrap();
    let refuse = NackOptions::new().reason("the card is not valid").dead_letter();
    bad.nack_with(refuse).await.unwrap();
    broker.close().await.unwrap();
}

/// The commands of a block, each with what it prints.
fn commands(text: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), String::new())),
            (None, Some((_, output))) => {
                output.push_str(line);
                output.push('\n');
            }
            (None, None) => panic!("a block begins with a command: {text}"),
        }
    }
    commands
}

/// The command with the ids that the book shows put right: by what stood in their place when they were printed.
fn with_ids(command: &str, ids: &[(String, String)]) -> String {
    let mut command = command.to_owned();
    for (shown, printed) in ids {
        command = command.replace(shown, printed);
    }
    command
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(str::to_owned)
}

/// Whether this is the id of an entry of a Redis stream.
fn is_id(word: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    word.split_once('-')
        .is_some_and(|(time, order)| number(time) && number(order))
}

/// What a command of `broker`, or of a service, prints; nothing where it is another program's.
async fn run(command: &str) -> Option<String> {
    let command = command.split(" # ").next()?.trim();
    let (source, command) = command
        .split_once(" | ")
        .map_or((None, command), |(source, rest)| (Some(source), rest));
    let mut words = split(command).into_iter();
    let app = match words.next()?.as_str() {
        "broker" => App::empty(),
        "service" => service(),
        _ => return None,
    };
    let input = source.map_or_else(Vec::new, |source| {
        Command::new("sh").args(["-c", source]).output().unwrap().stdout
    });
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let mut terminal = Terminal {
        input: &mut &input[..],
        output: &mut output,
        errors: &mut errors,
    };
    let arguments = std::iter::once(OsString::from("broker")).chain(words.map(Into::into));
    broker::cli::run_app(app, arguments, &mut terminal).await;
    output.extend(errors);
    Some(String::from_utf8(output).unwrap())
}

/// The words of a command, of which those in single quotes are one.
fn split(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in command.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// The service that the book looks at from the terminal.
fn service() -> App {
    async fn bill(Json(_): Json<serde_json::Value>) {}
    async fn send() {}
    let bill = Subscriber::new("orders", "billing")
        .on("order.placed", bill)
        .concurrency(8);
    App::empty()
        .subscribe(bill.require(Capabilities::RELIABLE_MESSAGING))
        .subscribe(Subscriber::new("letters", "post").handle(send))
}

/// Whether what was printed is what the book says, but for digits, widths and what `…` stands for.
fn agree(expected: &str, printed: &str) -> bool {
    let printed: Vec<_> = printed.lines().map(plain).collect();
    let mut rest = &printed[..];
    let mut pieces = expected.split("…\n").peekable();
    let mut first = true;
    while let Some(piece) = pieces.next() {
        let piece: Vec<_> = piece.lines().map(plain).collect();
        let last = pieces.peek().is_none();
        let at = if first {
            Some(0).filter(|_| rest.starts_with(&piece))
        } else if last {
            rest.len()
                .checked_sub(piece.len())
                .filter(|at| rest[*at..] == piece[..])
        } else {
            (0..=rest.len()).find(|at| rest[*at..].starts_with(&piece))
        };
        let Some(at) = at else { return false };
        if first && last && rest.len() != piece.len() {
            return false;
        }
        rest = &rest[at + piece.len()..];
        first = false;
    }
    true
}

/// A line with every number as one zero, every unit of a short time as one, and every run of blanks as one blank.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    for part in line.split_whitespace() {
        if !plain.is_empty() {
            plain.push(' ');
        }
        let part = if matches!(part, "µs" | "ns" | "s") {
            "ms"
        } else {
            part
        };
        for character in part.chars() {
            let character = if character.is_ascii_digit() {
                '0'
            } else {
                character
            };
            if !(character == '0' && plain.ends_with('0')) {
                plain.push(character);
            }
        }
    }
    plain
}

#[test]
fn the_comparison_finds_what_differs() {
    assert!(agree("a  12\nb\n", "a 3\nb\n") && agree("a\n…\nd\n", "a\nb\nc\nd\n"));
    assert!(agree("…\nd\n", "a\nd\n") && agree("a\n…\n", "a\nb\n") && agree("", ""));
    assert!(
        !agree("a\n", "a\nb\n") && !agree("a\nb\n", "a\n") && !agree("", "a\n") && !agree("…\nc\n", "a\nd\n")
    );
}
