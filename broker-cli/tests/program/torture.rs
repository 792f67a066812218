//! `torture`, as far as it needs no server.

use crate::support::{broker, code, errors, output};

#[test]
fn what_can_not_be_tortured_is_refused_in_one_line() {
    for (arguments, line) in [
        (
            &["--url", "inline://"][..],
            "error: the provider `inline` lives in one process, and consumers are processes of their own; name a server\n",
        ),
        (
            &["--private", "carrot"],
            "error: there is no private server for `carrot`; redis, redis_pubsub, kafka or rabbitmq is expected\n",
        ),
        (
            &["--private", "redis", "--minutes", "0"],
            "error: invalid value '0' for '--minutes <M>': write a number of minutes above zero, such as 5 or 0.5; see --help\n",
        ),
        (
            &["--private", "redis", "--set", "partitions"],
            "error: invalid value 'partitions' for '--set <KEY=VALUE>': write KEY=VALUE; see --help\n",
        ),
    ] {
        let answer = broker(&[&["torture"], arguments].concat());
        assert_eq!((code(&answer), errors(&answer)), (2, line));
    }
}

#[test]
fn the_consumer_processes_are_no_command_for_people() {
    let help = broker(&["--help"]);
    assert!(output(&help).contains("torture "), "{}", output(&help));
    assert!(!output(&help).contains("torture-member"), "{}", output(&help));
}
