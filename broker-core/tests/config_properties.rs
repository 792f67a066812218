//! Configuration holds for any input: no panic, one meaning whatever the source, and no secret shown.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use broker_core::broker::{Broker, Brokers};
use broker_core::config::{BrokerConfig, Config, Settings};
use broker_core::registry::Registry;
use broker_core::{ConsumerName, GroupName, Headers, MessageId, Receipt, ReceiptRun, StreamName};
use proptest::prelude::*;
use support::{PROVIDER, ScriptConfig};

fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.add(&PROVIDER).unwrap();
    registry
}

/// What a broker's settings mean.
fn typed(mut settings: Settings) -> String {
    let common = settings.take_common().unwrap();
    let own: ScriptConfig = settings.parse().unwrap();
    format!("{common:?} {own:?} {}", own.password.expose())
}

fn of_config(config: &Config) -> String {
    typed(config.get("default").unwrap().clone())
}

/// A setting's key with a value for it, as text and as TOML.
fn setting() -> impl Strategy<Value = (&'static str, String, String)> {
    let text = |text: String| {
        let quoted = toml_text(&text);
        (text, quoted)
    };
    let plain = |text: String| (text.clone(), text);
    prop_oneof![
        any::<u32>().prop_map(move |n| ("max_retries", plain(n.to_string()))),
        any::<u16>().prop_map(move |n| ("pool_size", plain(n.to_string()))),
        any::<bool>().prop_map(move |b| ("verify", plain(b.to_string()))),
        any::<bool>().prop_map(move |b| ("enable_dlq", plain(b.to_string()))),
        (1.0..9.0_f64).prop_map(move |n| ("backoff_multiplier", plain(format!("{n:?}")))),
        (1..9_000_u32).prop_map(move |n| ("patience", text(format!("{n}ms")))),
        (1..9_000_u32).prop_map(move |n| ("message_timeout", text(format!("{n}s 5ms")))),
        "\\PC{0,12}".prop_map(move |word| ("password", text(word))),
        prop::collection::vec("[a-z0-9:./]{1,9}", 1..4).prop_map(|words| {
            let items: Vec<_> = words.iter().map(|word| toml_text(word)).collect();
            ("servers", (words.join(","), format!("[{}]", items.join(", "))))
        }),
        prop::sample::select(vec!["queue", "channel"]).prop_map(move |mode| ("mode", text(mode.to_owned()))),
        prop::sample::select(vec!["PUBLISH", "RELIABLE_MESSAGING,REPLAY"])
            .prop_map(move |flags| ("require", text(flags.to_owned()))),
        "[a-zA-Z0-9_.-]{3,20}".prop_map(move |name| ("consumer", text(name))),
    ]
    .prop_map(|(key, (text, toml))| (key, text, toml))
}

fn toml_text(text: &str) -> String {
    // A string of JSON is one of TOML, but for characters that are not drawn here.
    serde_json::to_string(text).unwrap()
}

fn settings() -> impl Strategy<Value = Vec<(&'static str, String, String)>> {
    prop::collection::vec(setting(), 0..6).prop_map(|mut settings| {
        settings.sort();
        settings.dedup_by_key(|setting| setting.0);
        settings
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in r"[\s\S]*") {
        if let Err(error) = Config::parse(&text, "f.toml", &|_| None) {
            prop_assert_eq!(error.to_string().lines().count(), 1);
        }
    }

    #[test]
    fn nor_does_a_file_that_is_nearly_one(
        key in r#"[a-z_]{1,12}|"\PC{0,3}""#,
        value in r#"[0-9a-z.'"\[\]{}$|-]{0,16}"#,
    ) {
        let text = format!("[brokers.default]\nprovider = 'script'\n{key} = {value}");
        let opened = Config::parse(&text, "f.toml", &|_| Some(value.clone()))
            .and_then(|config| Brokers::open_from(&config, &registry()));
        if let Err(error) = opened {
            prop_assert_eq!(error.to_string().lines().count(), 1);
        }
    }

    #[test]
    fn nor_does_a_variable_or_a_url(key in r"[A-Z_]{0,9}__[A-Za-z_]{0,9}", value in r"[\s\S]{0,20}") {
        let variables = [(format!("BROKER__{key}"), value.clone())].into_iter();
        let lines = [
            Config::default().with_environment(variables).err(),
            Settings::from_url(&value).err(),
            Settings::from_url(&format!("script://{value}"))
                .and_then(|settings| Broker::from_settings("default", settings, &registry()))
                .err(),
        ];
        for error in lines.into_iter().flatten() {
            prop_assert_eq!(error.to_string().lines().count(), 1);
        }
    }

    #[test]
    fn file_url_and_environment_mean_the_same(settings in settings(), upper: bool) {
        let mut file = "[brokers.default]\nprovider = 'script'\nuri = 'script://h:1/2'\n".to_owned();
        let mut variables = vec![
            ("BROKER__DEFAULT__PROVIDER".to_owned(), "script".to_owned()),
            ("BROKER__DEFAULT__URI".to_owned(), "script://h:1/2".to_owned()),
        ];
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (key, text, toml) in &settings {
            let key = if upper { key.to_ascii_uppercase() } else { (*key).to_owned() };
            file.push_str(&format!("{key} = {toml}\n"));
            variables.push((format!("BROKER__DEFAULT__{key}"), text.clone()));
            query.append_pair(&key, text);
        }
        let url = format!("script://h:1/2?{}", query.finish());
        let address = [
            ("BROKER__DEFAULT__PROVIDER".to_owned(), "script".to_owned()),
            ("BROKER__DEFAULT__URI".to_owned(), url.clone()),
        ];
        let in_file = format!("brokers.default.provider = 'script'\nbrokers.default.uri = {}", toml_text(&url));

        // A literal `${` of a value is no variable there, and an escape in a file.
        let meant = typed(Settings::from_url(&url).unwrap());
        let variables = Config::default().with_environment(variables.into_iter()).unwrap();
        prop_assert_eq!(of_config(&variables), meant.clone());
        let address = Config::default().with_environment(address.into_iter()).unwrap();
        prop_assert_eq!(of_config(&address), meant.clone());
        for text in [file, in_file] {
            let config = Config::parse(&text.replace("${", "$${"), "f.toml", &|_| None).unwrap();
            prop_assert_eq!(of_config(&config), meant.clone());
        }
    }

    #[test]
    fn variables_win_over_the_file_and_another_uri_brings_its_own_options(
        old in settings(),
        new in settings(),
    ) {
        let url = |settings: &[(&str, String, String)]| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            for (key, text, _) in settings {
                query.append_pair(key, text);
            }
            format!("script://h?{}", query.finish())
        };
        let file = format!("brokers.default.provider = 'script'\nbrokers.default.uri = {}", toml_text(&url(&old)));
        let variables = [("BROKER__DEFAULT__URI".to_owned(), url(&new))];
        let config = Config::parse(&file, "f.toml", &|_| None)
            .and_then(|config| config.with_environment(variables.into_iter()))
            .unwrap();
        prop_assert_eq!(of_config(&config), typed(Settings::from_url(&url(&new)).unwrap()));
    }

    #[test]
    fn ids_names_receipts_and_headers_are_what_they_were_made_of(
        text in "[A-Za-z0-9:_-][A-Za-z0-9._:-]{0,60}",
        numbers: (u32, u32, u64, u64),
        pairs in prop::collection::vec(("\\PC{1,9}", prop::collection::vec(any::<u8>(), 0..9)), 0..9),
    ) {
        prop_assert_eq!(StreamName::new(&text).unwrap().to_string(), text.clone());
        prop_assert_eq!(GroupName::new(&text).unwrap().to_string(), text.clone());
        let name = ConsumerName::new(&text).unwrap();
        let json = serde_json::to_string(&name).unwrap();
        prop_assert_eq!(serde_json::from_str::<ConsumerName>(&json).unwrap(), name);

        let (partition, attempt, sequence, major) = numbers;
        let receipt = Receipt { partition, attempt, sequence, major, fence: sequence ^ major };
        let run = ReceiptRun { first: receipt, len: 3 };
        let receipts: Vec<_> = run.iter().collect();
        let mut joined = ReceiptRun::from(receipts[0]);
        prop_assert!(joined.extend(receipts[1]) && joined.extend(receipts[2]));
        prop_assert_eq!(joined, run);
        let id = receipt.offset_id();
        let json = serde_json::to_string(&id).unwrap();
        prop_assert_eq!(serde_json::from_str::<MessageId>(&json).unwrap(), id);

        let headers: Headers = pairs.clone().into_iter().collect();
        for (name, value) in headers.iter() {
            let last = pairs.iter().rev().find(|(known, _)| known == name);
            prop_assert_eq!(last.map(|(_, value)| value.as_slice()), Some(value.as_ref()));
        }
    }
}

/// Whatever the settings from code, waits neither overflow nor panic.
#[test]
fn settings_beyond_all_reason_do_not_panic() {
    use std::time::Duration;
    let config = BrokerConfig {
        retry_delay: Duration::MAX,
        max_delay: Duration::MAX,
        backoff_multiplier: f64::MAX,
        ..BrokerConfig::default()
    };
    for attempt in [0, 1, 2, u32::MAX] {
        let _ = config.delay_after(attempt);
    }
    assert!(Broker::open_with("default", config, ScriptConfig::default()).is_err());
}
