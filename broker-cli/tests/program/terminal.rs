//! Exit codes, standard streams and signals.

use std::process::{Command, Stdio};
#[cfg(target_os = "linux")]
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{broker, code, errors, output, unknown_provider};

#[test]
fn the_linked_providers_are_listed() {
    let answer = broker(&["providers"]);
    assert_eq!(code(&answer), 0);
    let lines: Vec<_> = output(&answer).lines().collect();
    let words = |line: usize| lines[line].split_whitespace().take(4).collect::<Vec<_>>();
    assert_eq!(words(0), ["PROVIDER", "MODE", "CAPABILITIES"]);
    assert_eq!(words(1), ["inline", "-", "ENTERPRISE_STREAMING", "+"]);

    let answer = broker(&["providers", "--format", "json"]);
    let object: Value = serde_json::from_str(output(&answer).lines().next().unwrap()).unwrap();
    assert_eq!(object["provider"], "inline");
    assert_eq!(object["names"], json!(["inline"]));
    assert_eq!(object["package"], "broker-inline");
    assert_eq!(object["modes"][0]["mode"], "");
    assert_eq!(object["modes"][0]["tier"], "ENTERPRISE_STREAMING");
    assert_eq!(object["modes"][0]["capabilities"][0], "PUBLISH");
}

#[test]
fn what_is_wrong_on_the_command_line_is_one_line_and_code_2() {
    let unknown_provider = unknown_provider("config: url.provider");
    for (arguments, line) in [
        (
            &["publish"][..],
            "the following required arguments were not provided: <STREAM>; see --help",
        ),
        (
            &["publsh", "x"],
            "unrecognized subcommand 'publsh'; a similar subcommand exists: 'publish'; see --help",
        ),
        (
            &["ping", "--foramt", "json"],
            "unexpected argument '--foramt' found; a similar argument exists: '--format'; see --help",
        ),
        (
            &["ping", "--format", "yaml"],
            "invalid value 'yaml' for '--format <FORMAT>' [possible values: text, json]; see --help",
        ),
        (
            &["ping", "--url", "inline://", "--broker", "x"],
            "the argument '--url <URL>' cannot be used with '--broker <NAME>'; see --help",
        ),
        (
            &["publish", "orders", "--header", "x"],
            "invalid value 'x' for '--header <NAME=VALUE>': write NAME=VALUE; see --help",
        ),
        (
            &["read", "orders", "-g", "g", "--wait", "5"],
            "invalid value '5' for '--wait <DURATION>': write a number and a unit, such as `250ms`, `30s` or `5m`; see --help",
        ),
        (
            &["tail", "orders", "--from", "newest"],
            "invalid value 'newest' for '--from <POSITION>': unknown start `newest`; `earliest`, `latest`, `id:ID` or `time:RFC3339` is expected; see --help",
        ),
        (
            &["dlq", "purge", "orders", "-g", "g"],
            "the following required arguments were not provided: <--id <ID>|--all>; see --help",
        ),
        (
            &["ping", "--url", "inline"],
            "config: url: not a URL; `scheme://host` is expected, such as `redis://localhost:6379`",
        ),
        (&["ping", "--url", "inlin://"], &unknown_provider),
        (
            &["ping", "--url", "inline://?partitons=2"],
            "did you mean `partitions`?",
        ),
        (
            &["publish", "a b", "-d", "x", "--url", "inline://"],
            "publish: invalid name: stream name `a b` has the character ' '; letters, digits and `. _ - :` are allowed",
        ),
        (
            &["read", "orders", "-g", "", "--url", "inline://"],
            "read: invalid name: group name is empty; give it at least one character",
        ),
        (
            &["ping", "--config", "no-such.toml"],
            "config: no-such.toml: the file can't be read",
        ),
    ] {
        let answer = broker(arguments);
        let said = errors(&answer);
        assert_eq!(
            (code(&answer), output(&answer), said.lines().count()),
            (2, "", 1),
            "{arguments:?}\n{said}"
        );
        assert!(said.starts_with("error: ") && said.contains(line), "{said}");
    }
}

#[test]
fn a_failure_is_one_line_and_code_1() {
    let answer = broker(&[
        "publish",
        "orders",
        "-d",
        "x",
        "--header",
        "broker-x=1",
        "--url",
        "inline://",
    ]);
    assert_eq!(
        (code(&answer), errors(&answer)),
        (
            1,
            "error: publish (inline): invalid message: header `broker-x` starts with `broker-`, which is reserved; choose another name\n"
        )
    );
}

#[test]
fn help_names_the_exit_codes_and_completions_the_commands() {
    let help = broker(&["--help"]);
    assert_eq!((code(&help), errors(&help)), (0, ""));
    assert!(
        output(&help).contains("0 done, 1 failed, 2 wrong command line or configuration, 3 no connection")
    );
    assert!(!output(&help).contains('\u{1b}'));
    assert_eq!(code(&broker(&["--version"])), 0);
    assert_eq!(code(&broker(&[])), 2);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = broker(&["completions", shell]);
        assert_eq!(code(&script), 0);
        for command in [
            "providers",
            "config",
            "ping",
            "health",
            "publish",
            "read",
            "tail",
            "groups",
            "dlq",
            "conformance",
        ] {
            assert!(output(&script).contains(command), "{shell} lacks {command}");
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let answer = Command::new(env!("CARGO_BIN_EXE_broker"))
        .args(["completions", "bash"])
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!((code(&answer), errors(&answer)), (0, ""));
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_a_tail_in_good_order() {
    let tail = Command::new(env!("CARGO_BIN_EXE_broker"))
        .args(["tail", "orders", "--url", "inline://"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let process = tail.id().to_string();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !listens_to_interrupts(&process) {
        assert!(Instant::now() < deadline, "the tail never listened to Ctrl-C");
        std::thread::yield_now();
    }
    assert!(
        Command::new("kill")
            .args(["-INT", &process])
            .status()
            .unwrap()
            .success()
    );
    let answer = tail.wait_with_output().unwrap();
    assert_eq!((code(&answer), output(&answer), errors(&answer)), (0, "", ""));
}

/// Whether the kernel would call a handler of the process for the signal of Ctrl-C.
#[cfg(target_os = "linux")]
fn listens_to_interrupts(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let caught = status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))
        .unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & 0b10 != 0
}
