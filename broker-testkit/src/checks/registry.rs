//! Finding the provider by its names.

use broker_core::ErrorKind;
use broker_core::registry::Registry;

use crate::check::check;
use crate::{CheckResult, Gate, Trial, ensure, ensure_eq, refused};

check!(
    lookup,
    "registry.lookup",
    Quick,
    Gate::ANY,
    "The provider is found by its name and by each of its schemes."
);

async fn lookup(t: &Trial) -> CheckResult {
    let (provider, registry) = (t.harness().provider(), t.harness().registry()?);
    for name in provider.names() {
        let found = registry.get(name, "here")?;
        ensure_eq!(found.name(), provider.name(), "the provider found as `{name}`");
    }
    let settings = t.harness().settings()?;
    let named = settings.text("provider").unwrap_or_default();
    ensure!(
        provider.names().any(|name| name == named),
        "the harness' settings name the provider `{named}`"
    );
    ensure!(!provider.package().is_empty(), "the provider names no package");
    Ok(())
}

check!(
    unknown,
    "registry.unknown",
    Quick,
    Gate::ANY,
    "An unknown provider is an error that names the place, lists the known ones and guesses the nearest."
);

async fn unknown(t: &Trial) -> CheckResult {
    let (provider, registry) = (t.harness().provider(), t.harness().registry()?);
    let wrong = format!("{}x", provider.name());
    let error = refused(
        registry.get(&wrong, "the place"),
        ErrorKind::Config,
        "an unknown provider",
    )?;
    let line = error.to_string();
    for part in ["the place", wrong.as_str(), provider.name()] {
        ensure!(line.contains(part), "`{part}` is missing in: {line}");
    }
    ensure!(!line.contains('\n'), "more than one line: {line}");
    Ok(())
}

check!(
    duplicate,
    "registry.duplicate",
    Quick,
    Gate::ANY,
    "Two providers of one name are an error that names both packages."
);

async fn duplicate(t: &Trial) -> CheckResult {
    let provider = t.harness().provider();
    let mut registry = Registry::new();
    registry.add(provider)?;
    let error = refused(
        registry.add(provider),
        ErrorKind::Config,
        "the same provider again",
    )?;
    let line = error.to_string();
    ensure!(line.contains(provider.name()), "the name is missing in: {line}");
    ensure!(
        line.contains(provider.package()),
        "the package is missing in: {line}"
    );
    Ok(())
}
