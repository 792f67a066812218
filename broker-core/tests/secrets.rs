//! Law 17: a secret is never in Debug, Display, an error or health, wherever it came from.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use broker_core::broker::{Broker, Brokers};
use broker_core::config::{BrokerUrl, Config, Settings};
use broker_core::registry::Registry;
use broker_core::{Error, ErrorKind, Secret};
use support::{PROVIDER, ScriptConfig, Step, broker};

const SECRET: &str = "hunter2-Tr0ub4dor";

fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.add(&PROVIDER).unwrap();
    registry
}

#[track_caller]
fn hides(what: impl std::fmt::Debug) {
    for shown in [format!("{what:?}"), format!("{what:#?}")] {
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

/// Configurations that hold the secret, from each source.
fn sources() -> Vec<Config> {
    let file = |line: &str| {
        let text = format!("[brokers.default]\nprovider = 'script'\n{line}");
        Config::parse(&text, "f.toml", &|_| Some(SECRET.to_owned())).unwrap()
    };
    let variable = |key: &str, value: &str| {
        let variables = [(format!("BROKER__DEFAULT__{key}"), value.to_owned())].into_iter();
        file("").with_environment(variables).unwrap()
    };
    vec![
        file(&format!("password = '{SECRET}'")),
        file("password = '${PASSWORD}'"),
        file(&format!("URI = 'script://u:{SECRET}@h/0'")),
        file("URI = 'script://u:${PASSWORD}@h/0?password=${PASSWORD}'"),
        variable("PASSWORD", SECRET),
        variable("URI", &format!("script://u:{SECRET}@h")),
        Config::default().with(
            "default",
            Settings::from_url(&format!("script://u:{SECRET}@h?password={SECRET}")).unwrap(),
        ),
    ]
}

#[tokio::test]
async fn settings_brokers_and_their_health_hide_it() {
    for config in sources() {
        hides(&config);
        let settings = config.get("default").unwrap().clone();
        hides(&settings);
        let mut own = settings.clone();
        own.take_common().unwrap();
        let typed: ScriptConfig = own.parse().unwrap();
        let url = typed
            .uri
            .as_ref()
            .and_then(BrokerUrl::password)
            .map(Secret::expose);
        assert!(
            typed.password.expose() == SECRET || url == Some(SECRET),
            "it is there"
        );
        hides(&typed);
        hides(&typed.uri);
        if let Some(uri) = &typed.uri {
            assert!(!uri.to_string().contains(SECRET));
        }
        let brokers = Brokers::open_from(&config, &registry()).unwrap();
        hides(&brokers);
        let health = brokers.health().await;
        hides(&health);
        assert!(!serde_json::to_string(&health).unwrap().contains(SECRET));
        brokers.close().await.unwrap();
    }
}

/// Each setting beside it, and the text around it, may be wrong.
#[test]
fn errors_hide_it() {
    for config in sources() {
        for (key, value) in [
            ("max_retrys", "3"),
            ("max_retries", "x"),
            ("mode", "x"),
            ("uri", "x"),
            ("provider", "x"),
        ] {
            let mut settings = config.get("default").unwrap().clone();
            settings.set(key, value, None);
            let opened = Broker::from_settings("default", settings, &registry());
            hides(opened.unwrap_err());
        }
    }
    let wrong_place = |key: &str| {
        let text = format!("[brokers.default]\nprovider = 'script'\n{key} = '${{PASSWORD}}'");
        let config = Config::parse(&text, "f.toml", &|_| Some(SECRET.to_owned())).unwrap();
        Brokers::open_from(&config, &registry()).unwrap_err()
    };
    for key in ["max_retries", "jitter", "ratio", "retry_delay", "patience", "uri"] {
        hides(wrong_place(key));
    }
    for text in [
        format!("[brokers.default]\npassword = {SECRET}"),
        format!("[brokers.default]\npassword = '{SECRET}"),
        format!("[brokers.default]\npassword = '{SECRET}'\npassword = '{SECRET}'"),
        format!("[brokers.default]\nuri = 'script://u:{SECRET}@h'x"),
    ] {
        hides(Config::parse(&text, "f.toml", &|_| None).unwrap_err());
    }
    for url in [
        format!("script://u:{SECRET}@h:x"),
        format!("script://u:{SECRET}#@h"),
        format!("script://u:1/{SECRET}@h"),
        format!("script://u:1?{SECRET}@h"),
        format!("script:u:{SECRET}@h"),
        format!("u:{SECRET}@h://x"),
        format!("script://u:{SECRET}%@h"),
        format!("script://u:{SECRET}%ff@h"),
    ] {
        hides(Settings::from_url(&url).unwrap_err());
        let mut settings = Settings::new("f.toml: brokers.default");
        settings.set("provider", "script", None);
        settings.set("uri", url, None);
        hides(Broker::from_settings("default", settings, &registry()).unwrap_err());
    }
}

#[tokio::test(start_paused = true)]
async fn so_does_the_health_of_a_server_that_is_away() {
    let (broker, script) = broker();
    script.then(
        "connect",
        [Step::Fail(
            Error::new(ErrorKind::Connection, "refused").with("host", "h:1"),
        )],
    );
    let health = broker.health_stats().await;
    assert_eq!(health.status, broker_core::HealthStatus::Unhealthy);
    let error = health.details.iter().find(|(name, _)| name == "error").unwrap();
    assert_eq!(error.1, "ping (script): connection: refused (host=h:1)");
}
