//! The private Kafka brokers do what tests rely on.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod own_process;

use std::net::TcpStream;
use std::time::Duration;

use broker_testkit::servers::{KafkaCluster, KafkaConfig, KafkaServer};

const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

#[test]
fn nothing_written_is_lost_by_a_kill() {
    let server = KafkaConfig::new().start().unwrap();
    server.create_topic("orders", 1).unwrap();
    let keyed = ["--topic", "orders", "--reader-property", "parse.key=true"];
    server.tool(PRODUCER, &keyed, "a\tone\nb\ttwo\n").unwrap();
    server.kill().unwrap();
    server.restart().unwrap();
    assert_eq!(first_two(&server), "a\tone\nb\ttwo\n");

    server.pause().unwrap();
    let resumer = server.clone();
    let resumed = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        resumer.resume().unwrap();
    });
    assert_eq!(first_two(&server), "a\tone\nb\ttwo\n");
    resumed.join().unwrap();

    server.stop().unwrap();
    server.restart().unwrap();
    assert_eq!(first_two(&server), "a\tone\nb\ttwo\n");
}

#[test]
fn passwords_tls_and_the_proxy_stand_before_it() {
    let config = KafkaConfig::new().user("alice", "secret").tls().proxied();
    let server = config.start().unwrap();
    let proxy = server.proxy().unwrap();
    assert_eq!(server.bootstrap_servers(), format!("127.0.0.1:{}", proxy.port()));
    server.create_topic("orders", 1).unwrap();
    for (mechanism, module) in [
        ("PLAIN", "plain.PlainLoginModule"),
        ("SCRAM-SHA-256", "scram.ScramLoginModule"),
        ("SCRAM-SHA-512", "scram.ScramLoginModule"),
    ] {
        let file = client_properties(&server, mechanism, module, "secret");
        let before = proxy.accepted();
        let words = ["--topic", "orders", "--command-config", &file];
        server.client_tool(PRODUCER, &words, mechanism).unwrap();
        // The first connection asks where the broker is: told the proxy's address, the client comes back to it.
        assert!(proxy.accepted() >= before + 2, "{mechanism}");
    }
    let words = ["--topic", "orders", "--from-beginning", "--max-messages", "3"];
    assert_eq!(
        server.tool(CONSUMER, &words, "").unwrap(),
        "PLAIN\nSCRAM-SHA-256\nSCRAM-SHA-512\n"
    );
    let file = client_properties(&server, "PLAIN", "plain.PlainLoginModule", "wrong");
    let words = ["--list", "--command-config", &file];
    let refused = server.client_tool("org.apache.kafka.tools.TopicCommand", &words, "");
    assert!(refused.is_err(), "{refused:?}");
}

#[test]
fn a_cluster_outlives_one_of_its_brokers() {
    let cluster = KafkaCluster::start(&KafkaConfig::new()).unwrap();
    let [first, second, third] = cluster.nodes() else {
        panic!("three brokers")
    };
    first.create_topic("orders", 1).unwrap();
    third.kill().unwrap();
    second
        .tool(PRODUCER, &["--topic", "orders"], "one\ntwo\n")
        .unwrap();
    assert_eq!(first_two(first), "null\tone\nnull\ttwo\n");
    third.restart().unwrap();
    cluster.wait().unwrap();
}

#[test]
fn a_missing_kafka_says_what_to_do() {
    let said = own_process::said_without_program("BROKER_TEST_KAFKA", "/nowhere");
    assert!(
        said.contains("not found: Kafka is not there; run scripts/test once, it installs it"),
        "{said}"
    );
}

#[test]
fn asks_for_the_version() {
    own_process::holds_version(KafkaServer::installed(), 4, 3);
}

#[test]
fn a_broker_goes_with_its_process_however_that_ends() {
    own_process::leaves_nothing(
        "a_broker_goes_with_its_process_however_that_ends",
        || {
            let server = KafkaConfig::new().start().unwrap();
            let (folder, admin) = (server.folder().to_owned(), server.admin_servers());
            (server, folder, admin)
        },
        |_, admin| TcpStream::connect(admin).is_ok(),
    );
}

fn first_two(server: &KafkaServer) -> String {
    let words = [
        "--topic",
        "orders",
        "--from-beginning",
        "--max-messages",
        "2",
        "--formatter-property",
        "print.key=true",
    ];
    server.tool(CONSUMER, &words, "").unwrap()
}

fn client_properties(server: &KafkaServer, mechanism: &str, module: &str, password: &str) -> String {
    let tls = server.certificates().unwrap();
    let keys: String = [&tls.client_key, &tls.client]
        .map(|file| std::fs::read_to_string(file).unwrap())
        .concat();
    let store = server.folder().join("client.pem");
    std::fs::write(&store, keys).unwrap();
    let text = format!(
        "security.protocol={protocol}\nsasl.mechanism={mechanism}\n\
         sasl.jaas.config=org.apache.kafka.common.security.{module} required username=\"alice\" password=\"{password}\";\n\
         ssl.truststore.type=PEM\nssl.truststore.location={ca}\nssl.keystore.type=PEM\nssl.keystore.location={store}\n",
        protocol = server.security_protocol(),
        ca = tls.ca.display(),
        store = store.display(),
    );
    let file = server.folder().join("client.properties");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}
