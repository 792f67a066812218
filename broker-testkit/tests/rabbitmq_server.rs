//! The private RabbitMQ servers do what tests rely on.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod own_process;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use broker_testkit::servers::{RabbitMqConfig, RabbitMqServer};

/// Declares a durable queue past every client.
const DECLARE: &str = "rabbit_amqqueue:declare({resource, <<\"/\">>, queue, <<\"orders\">>}, true, false, \
                       [{<<\"x-queue-type\">>, longstr, <<\"quorum\">>}], none, <<\"test\">>), ok.";
const COUNT: &str = "length(rabbit_amqqueue:list()).";

#[test]
fn a_queue_outlives_kill_and_stop_and_an_alarm_comes_and_goes() {
    let server = RabbitMqConfig::new().start().unwrap();
    let url = server.url();
    assert_eq!(url, format!("amqp://guest:guest@127.0.0.1:{}/%2F", server.port()));
    server.evaluate(DECLARE).unwrap();
    server.kill().unwrap();
    assert!(server.evaluate(COUNT).is_err());
    assert!(server.pause().is_err());
    server.restart().unwrap();
    assert_eq!(server.evaluate(COUNT).unwrap(), "1");

    let setting = "application:get_env(rabbit, dead_letter_worker_publisher_confirm_timeout).";
    assert_eq!(server.evaluate(setting).unwrap(), "{ok, 3000}");

    server.memory_alarm(true).unwrap();
    assert!(
        server
            .evaluate("rabbit_alarm:get_alarms().")
            .unwrap()
            .contains("memory")
    );
    server.memory_alarm(false).unwrap();
    assert_eq!(server.evaluate("rabbit_alarm:get_alarms().").unwrap(), "[]");
    assert!(
        server
            .evaluate("no:such().")
            .unwrap_err()
            .message()
            .contains("undef")
    );

    server.pause().unwrap();
    let resumer = server.clone();
    let resumed = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        resumer.resume().unwrap();
    });
    assert_eq!(server.evaluate(COUNT).unwrap(), "1");
    resumed.join().unwrap();

    server.stop().unwrap();
    server.restart().unwrap();
    assert_eq!(server.evaluate(COUNT).unwrap(), "1");
    assert_eq!(server.url(), url);
}

#[test]
fn users_virtual_hosts_tls_and_the_proxy_stand_before_it() {
    let server = RabbitMqConfig::new()
        .user("alice", "secret")
        .user("reader", "pw")
        .vhost("shop")
        .rights("reader", "shop", ["", "", ".*"])
        .tls()
        .proxied()
        .start()
        .unwrap();
    let proxy = server.proxy().unwrap();
    assert_eq!(
        server.url(),
        format!("amqps://alice:secret@localhost:{}/shop", proxy.port())
    );
    assert!(server.admin_url().starts_with("amqp://alice:secret@127.0.0.1:"));
    let login = |name: &str, password: &str| {
        let expression = format!(
            "element(1, rabbit_access_control:check_user_login(<<\"{name}\">>, [{{password, <<\"{password}\">>}}]))."
        );
        server.evaluate(&expression).unwrap()
    };
    assert_eq!(login("alice", "secret"), "ok");
    assert_eq!(login("alice", "wrong"), "refused");
    assert_eq!(login("guest", "guest"), "refused");
    let rights = server
        .evaluate("rabbit_auth_backend_internal:list_user_vhost_permissions(<<\"reader\">>, <<\"shop\">>).")
        .unwrap();
    assert!(rights.contains("{configure, #Bin<>}"), "{rights}");

    // By the way that clients take: who has a certificate of the run is let in, who has none is not.
    let tls = server.certificates().unwrap();
    let handshake = |words: &[&Path]| {
        let output = Command::new("openssl")
            .args(["s_client", "-brief", "-verify_return_error", "-connect"])
            .arg(format!("localhost:{}", proxy.port()))
            .arg("-CAfile")
            .arg(&tls.ca)
            .args(words)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let known = handshake(&[
        Path::new("-cert"),
        &tls.client,
        Path::new("-key"),
        &tls.client_key,
    ]);
    assert!(known.contains("Verification: OK"), "{known}");
    assert!(proxy.accepted() > 0);
}

#[test]
fn a_missing_program_says_what_to_install() {
    let said = own_process::said_without_program("BROKER_TEST_RABBITMQ", "/nowhere");
    assert!(
        said.contains(
            "not found: the program `/nowhere/rabbitmq-server` is not there; install it (`apt-get install rabbitmq-server`)"
        ),
        "{said}"
    );
}

#[test]
fn asks_for_the_version() {
    own_process::holds_version(RabbitMqServer::installed(), 3, 10);
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let refused = RabbitMqConfig::new().line("no_such_setting = 1").start();
    let error = refused.unwrap_err();
    assert!(error.message().contains("no_such_setting"), "{error}");
}

#[test]
fn a_server_goes_with_its_process_however_that_ends() {
    own_process::leaves_nothing(
        "a_server_goes_with_its_process_however_that_ends",
        || {
            let server = RabbitMqConfig::new().start().unwrap();
            let folder = server.folder().to_owned();
            (server, folder, String::new())
        },
        |folder, _| !running_in(folder).is_empty(),
    );
}

/// The processes of which the environment tells that they belong to the server of this folder.
fn running_in(folder: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|process| {
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(folder)
        })
        .map(|process| std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default())
        .collect()
}
