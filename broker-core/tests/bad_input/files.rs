//! Files: the whole, its providers, and each setting.

use broker_core::config::Config;
use broker_core::registry::{Provider, Registry};

use crate::support::ScriptConfig;
use crate::{at, line, opened, registry};

fn file(text: &str) -> String {
    line(opened(text, &[]))
}

/// The line for a default broker with this setting.
fn setting(line: &str) -> String {
    file(&format!("[brokers.default]\nprovider = 'script'\n{line}"))
}

#[test]
fn the_whole_file() {
    for (text, line) in [
        (
            "[brokers.default]\nprovider = script",
            "config: f.toml:2: not TOML: string values must be quoted, expected literal string",
        ),
        (
            "\n\n[brokers.default]\nprovider = 'script'\nprovider = 'script'",
            "config: f.toml:5: not TOML: duplicate key",
        ),
        (
            "[borkers.default]\nprovider = 'script'",
            "config: f.toml: borkers: unknown key; did you mean `brokers`?",
        ),
        (
            "[server]\nport = 1",
            "config: f.toml: server: unknown key; only `[brokers.NAME]` tables are known here",
        ),
        (
            "brokers = 1",
            "config: f.toml: brokers: a table is expected; write `[brokers.NAME]`",
        ),
        (
            "brokers.default = 'inline'",
            "config: f.toml: brokers.default: a table is expected; write `[brokers.NAME]`",
        ),
        (
            "",
            "config: brokers.default: missing (configured: none); add a `[brokers.default]` table with its `provider`",
        ),
        (
            "[brokers.audit]\nprovider = 'script'",
            "config: brokers.default: missing (configured: audit); add a `[brokers.default]` table with its `provider`",
        ),
        (
            "[brokers.default]",
            "config: f.toml: brokers.default.provider: missing; set it to the name of a provider, such as \"inline\"",
        ),
    ] {
        assert_eq!(file(text), line);
    }
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.toml");
    let error = Config::from_file(&missing).unwrap_err().to_string();
    let place = missing.display();
    assert_eq!(
        error,
        format!(
            "config: {place}: the file can't be read; name one that can: No such file or directory (os error 2)"
        )
    );
    let binary = folder.path().join("binary.toml");
    std::fs::write(&binary, b"\xff").unwrap();
    let error = Config::from_file(&binary).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("config: {}: the file can't be read", binary.display())),
        "{error}"
    );
}

#[test]
fn providers() {
    let provider = |name: &str| file(&format!("[brokers.default]\nprovider = '{name}'"));
    let place = "config: f.toml: brokers.default.provider: ";
    for (name, line) in [
        (
            "scirpt",
            "unknown provider `scirpt` (linked: script); did you mean `script`?",
        ),
        (
            "redis",
            "unknown provider `redis` (linked: script); add to Cargo.toml: broker = { version = \"0.1.0\", features = [\"redis-streams\"] }",
        ),
        (
            "kafak",
            "unknown provider `kafak` (linked: script); for `kafka` add to Cargo.toml: broker = { version = \"0.1.0\", features = [\"kafka\"] }",
        ),
        (
            "rabbitmq",
            "unknown provider `rabbitmq` (linked: script); add to Cargo.toml: broker = { version = \"0.1.0\", features = [\"rabbitmq\"] }",
        ),
        (
            "zzz",
            "unknown provider `zzz` (linked: script); link the crate that registers it: `use my_adapter as _;`",
        ),
    ] {
        assert_eq!(provider(name), format!("{place}{line}"));
    }
    let error = Registry::new().get("script", "code").unwrap_err();
    assert_eq!(
        error.to_string(),
        "config: code: unknown provider `script` (linked: none); link the crate that registers it: `use my_adapter as _;`"
    );

    static OTHER: Provider = Provider::new::<ScriptConfig>("other", "broker-other").schemes(&["scripted"]);
    let error = registry().add(&OTHER).unwrap_err();
    assert_eq!(
        error.to_string(),
        "config: two providers are called `scripted`: those of the packages broker-script and broker-other; link one of them"
    );
}

#[test]
fn settings_of_a_file() {
    for (line, message) in [
        (
            "max_retrys = 3",
            "script: max_retrys: unknown key; did you mean `max_retries`?",
        ),
        (
            "Pool_Size = 3",
            "script: Pool_Size: unknown key; did you mean `pool_size`?",
        ),
        (
            "URI = 'a://b'\nuri = 'a://b'",
            "uri: set twice, as `uri` and as `URI`; keep one",
        ),
        (
            "URI = 'a://b?mode=queue'\nmode = 'queue'",
            "mode: set in the URI's query and beside it; keep one",
        ),
        (
            "max_retries = true",
            "max_retries: a whole number from 0 to 4294967295 is expected, not true or false",
        ),
        (
            "max_retries = -1",
            "max_retries: a whole number from 0 to 4294967295 is expected, not -1",
        ),
        (
            "max_retries = 1.5",
            "max_retries: a whole number from 0 to 4294967295 is expected, not a number",
        ),
        (
            "max_retries = 'many'",
            "max_retries: a whole number from 0 to 4294967295 is expected, not such a text",
        ),
        ("pool_size = 0", "script: pool_size: a number from 1 is expected"),
        (
            "uri = 'scripted://h?pool_size=0'",
            "script: uri?pool_size: a number from 1 is expected",
        ),
        (
            "pool_size = 65536",
            "script: pool_size: a whole number from 0 to 65535 is expected, not 65536",
        ),
        (
            "max_payload = [1]",
            "max_payload: a whole number from 0 is expected, not a list",
        ),
        (
            "ratio = 'half'",
            "script: ratio: a number is expected, not such a text",
        ),
        ("jitter = 1", "jitter: true or false is expected, not a number"),
        (
            "verify = 'yes'",
            "script: verify: true or false is expected, not such a text",
        ),
        (
            "password = 123456",
            "script: password: a text is expected, not a number",
        ),
        ("servers = 1", "script: servers: a list is expected, not a number"),
        (
            "servers = ['a', 1]",
            "script: servers[1]: a text is expected, not a number",
        ),
        (
            "retry_delay = '30'",
            "retry_delay: a duration with its unit is expected, such as `250ms`, `30s` or `5m`",
        ),
        (
            "patience = 30",
            "script: patience: a duration with its unit, such as `250ms`, `30s` or `5m`, is expected, not a number",
        ),
        (
            "message_timeout = '0s'",
            "message_timeout: a duration above zero is expected",
        ),
        (
            "operation_timeout = '2years'",
            "operation_timeout: a duration of at most 365 days is expected",
        ),
        (
            "backoff_multiplier = 0.5",
            "backoff_multiplier: a number from 1.0 is expected",
        ),
        (
            "backoff_multiplier = nan",
            "backoff_multiplier: a number from 1.0 is expected",
        ),
        (
            "mode = 'cannel'",
            "script: mode: unknown value `cannel`; did you mean `channel`?",
        ),
        (
            "mode = 'x'",
            "script: mode: unknown value `x`; one of queue, channel is expected",
        ),
        (
            "mode = 1",
            "script: mode: one of queue, channel is expected, not a number",
        ),
        (
            "consumer = 'a b'",
            "consumer: consumer name `a b` has the character ' '; letters, digits and `. _ - :` are allowed",
        ),
        (
            "require = ['RELAY']",
            "require: unknown capability `RELAY`; did you mean `REPLAY`?",
        ),
        (
            "require = 'X'",
            "require: unknown capability `X`; a tier such as RELIABLE_MESSAGING or a flag such as REPLAY is expected",
        ),
        (
            "require = 7",
            "require: a capability or a list of capabilities is expected, not a number",
        ),
        (
            "require = ['REPLAY', 'RETENTION']",
            "require: provider `script` lacks REPLAY, RETENTION; require less or choose another provider",
        ),
        (
            "uri = 'localhost'",
            "script: uri: not a URL; `scheme://host` is expected, such as `redis://localhost:6379`",
        ),
        (
            "uri = '${HOST}'",
            "uri: variable HOST is not set; set it, or write `${HOST|default}`",
        ),
        (
            "uri = '${HOST'",
            "uri: `${` has no closing `}`; close it, or write `$${` for the text itself",
        ),
        (
            "uri = '${}'",
            "uri: `${}` names no variable; write `${NAME}` or `${NAME|default}`",
        ),
        (
            "uri = \"${A\\nB}\"",
            r"uri: variable A\nB is not set; set it, or write `${A\nB|default}`",
        ),
        (
            "\"m\\node\" = 1",
            r"script: m\node: unknown key; did you mean `mode`?",
        ),
    ] {
        assert_eq!(setting(line), at("f.toml: brokers.default.", message));
    }
    assert_eq!(
        setting("xyz = 3"),
        "script: config: f.toml: brokers.default.xyz: unknown key; known here: uri, password, pool_size, ratio, verify, mode, \
         patience, servers, claims, provider, require, max_retries, retry_delay, backoff_multiplier, max_delay, jitter, \
         message_timeout, enable_dlq, max_payload, consumer, connect_timeout, operation_timeout, operation_retries, \
         operation_retry_delay, retry_unknown, ping_timeout, circuit_breaker_failures, circuit_breaker_reset"
    );
}
