//! Settings: what is missing, overridden, misspelt or secret.

use broker_core::config::{Config, Settings};
use broker_core::{Broker, Brokers, Capabilities, ErrorKind, Message};

use crate::check::check;
use crate::{CheckResult, Gate, Options, Trial, ensure, ensure_eq, refused};

check!(
    default_required,
    "config.default_required",
    Quick,
    Gate::ANY,
    "Without a broker called `default` opening fails, naming what to add."
);

async fn default_required(t: &Trial) -> CheckResult {
    let registry = t.harness().registry()?;
    let config = Config::default().with("other", t.harness().settings()?);
    let error = refused(
        Brokers::open_from(&config, &registry),
        ErrorKind::Config,
        "no default",
    )?;
    ensure!(
        error.to_string().contains("brokers.default"),
        "`brokers.default` is missing in: {error}"
    );
    let brokers = Brokers::open_from(&config.with("default", t.harness().settings()?), &registry)?;
    ensure_eq!(
        brokers.names().collect::<Vec<_>>(),
        ["default", "other"],
        "the configured names"
    );
    brokers.connect().await?;
    brokers.close().await?;
    Ok(())
}

check!(
    env,
    "config.env",
    Quick,
    Gate::ANY,
    "A variable lies over the file; a wrong one is an error that names the variable."
);

async fn env(t: &Trial) -> CheckResult {
    let registry = t.harness().registry()?;
    let open = |key: &str, value: &str| {
        let variables = std::iter::once((format!("BROKER__DEFAULT__{key}"), value.to_owned()));
        let config = Config::default()
            .with("default", t.harness().settings()?)
            .with_environment(variables)?;
        Brokers::open_from(&config, &registry)
    };
    let error = refused(
        open("MESSAGE_TIMEOUT", "banana"),
        ErrorKind::Config,
        "a bad variable",
    )?;
    let line = error.to_string();
    ensure!(
        line.contains("BROKER__DEFAULT__MESSAGE_TIMEOUT"),
        "the variable is missing in: {line}"
    );
    if t.has(Capabilities::PUBLISH) {
        let small = open("MAX_PAYLOAD", "3")?;
        let answer = small.publish(t.stream("a"), Message::text("four")).await;
        refused(answer, ErrorKind::TooLarge, "a payload over the variable's limit")?;
        small.close().await?;
    }
    Ok(())
}

check!(
    unknown_key,
    "config.unknown_key",
    Quick,
    Gate::ANY,
    "A misspelt key is an error that names it, its place and the nearest right one."
);

async fn unknown_key(t: &Trial) -> CheckResult {
    let misspelt = Options::new().set("mesage_timeout", "1s");
    let error = refused(t.harness().open(&misspelt), ErrorKind::Config, "a misspelt key")?;
    let line = error.to_string();
    ensure!(line.contains("mesage_timeout"), "the key is missing in: {line}");
    ensure!(
        line.contains("message_timeout"),
        "the right key is missing in: {line}"
    );
    let foreign = Options::new().set("no_such_setting_at_all", "1");
    let error = refused(
        t.harness().open(&foreign),
        ErrorKind::Config,
        "a key that nobody knows",
    )?;
    ensure!(
        error.to_string().contains("no_such_setting_at_all"),
        "the key is missing in: {error}"
    );
    let wrong = Options::new().set("max_retries", "many");
    let error = refused(
        t.harness().open(&wrong),
        ErrorKind::Config,
        "a value of a wrong type",
    )?;
    ensure!(
        error.to_string().contains("max_retries"),
        "the key is missing in: {error}"
    );
    Ok(())
}

check!(
    require,
    "config.require",
    Quick,
    Gate::ANY,
    "A required capability that is absent fails the opening, naming it; one that is there does not."
);

async fn require(t: &Trial) -> CheckResult {
    let declared = t.broker().await?.capabilities();
    let names = |flags: Capabilities| flags.flags().filter_map(|flag| flag.name()).collect::<Vec<_>>();
    let present = Options::new().set("require", names(declared));
    t.broker_with(present).await?.ping().await?;
    for flag in (Capabilities::all() - declared).flags() {
        let absent = Options::new().set("require", names(flag));
        let error = refused(
            t.harness().open(&absent),
            ErrorKind::Config,
            "a required flag that is absent",
        )?;
        let line = error.to_string();
        ensure!(
            flag.name().is_some_and(|name| line.contains(name)),
            "the flag is missing in: {line}"
        );
    }
    Ok(())
}

check!(
    secret_redacted,
    "config.secret_redacted",
    Quick,
    Gate::ANY,
    "No value of the settings shows in Debug, and no secret in broker, error or health."
);

async fn secret_redacted(t: &Trial) -> CheckResult {
    const SECRET: &str = "hunter2secret";
    let mut settings = t.harness().settings()?;
    settings.set("password", SECRET, None);
    let shown = format!("{settings:?}");
    ensure!(!shown.contains(SECRET), "Debug of the settings shows a value");
    if let Err(error) = Broker::from_settings("default", settings, &t.harness().registry()?) {
        ensure!(
            !format!("{error} {error:?}").contains(SECRET),
            "the error shows the password"
        );
    }
    let broken = Settings::from_url(&format!("scheme://user:{SECRET}@host:notaport")).err();
    if let Some(error) = broken {
        ensure!(
            !format!("{error} {error:?}").contains(SECRET),
            "the error of a bad URL shows the password"
        );
    }
    let Some(mut unreachable) = t.harness().unreachable() else {
        return Ok(());
    };
    unreachable.set("connect_timeout", "1s", None);
    unreachable.set("operation_retries", 0, None);
    let broker = Broker::from_settings("default", unreachable, &t.harness().registry()?)?;
    let health = broker.health_stats().await;
    let error = broker.ensure_connection().await.err();
    let shown = format!("{broker:?} {health:?} {error:?}");
    ensure!(
        !shown.contains(SECRET),
        "broker, health or error show the password"
    );
    broker.close().await?;
    Ok(())
}
