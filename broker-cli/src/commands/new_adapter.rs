//! `broker new-adapter`.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::exit::Stop;
use crate::session::Session;

/// Make the crate of a new adapter: it claims nothing yet, and passes the conformance suite.
#[derive(Args)]
pub(crate) struct NewAdapter {
    /// The crate's name, such as broker-nats; the provider is called the same without the `broker-`.
    #[arg(value_parser = name)]
    name: String,
    /// The folder to make it in; the default is this one.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    within: PathBuf,
    /// Depend on the framework's sources in this folder, in place of what is published.
    #[arg(long, value_name = "FOLDER")]
    sources: Option<PathBuf>,
}

/// The files of the crate, as they lie in this one. Its manifest has another name here: a folder with a manifest is not
/// packaged.
const FILES: [(&str, &str); 8] = [
    ("Cargo.toml", include_str!("../../template/manifest.toml")),
    ("README.md", include_str!("../../template/README.md")),
    ("src/broker.rs", include_str!("../../template/src/broker.rs")),
    ("src/client.rs", include_str!("../../template/src/client.rs")),
    ("src/config.rs", include_str!("../../template/src/config.rs")),
    ("src/error.rs", include_str!("../../template/src/error.rs")),
    ("src/lib.rs", include_str!("../../template/src/lib.rs")),
    (
        "tests/conformance.rs",
        include_str!("../../template/tests/conformance.rs"),
    ),
];

impl NewAdapter {
    pub(crate) fn run(self, session: &mut Session<'_, '_>) -> Result<(), Stop> {
        let folder = self.within.join(&self.name);
        if folder.exists() {
            return Err(Stop::usage(format_args!(
                "{} is there already; choose another name, or another folder by --within",
                folder.display()
            )));
        }
        let framework = |package: &str| match &self.sources {
            Some(sources) => {
                let path = sources.join(package);
                let path = path
                    .canonicalize()
                    .map_err(|error| Stop::usage(format_args!("--sources: {}: {error}", path.display())))?;
                let version = env!("CARGO_PKG_VERSION");
                Ok::<_, Stop>(format!(
                    "{{ version = \"{version}\", path = {:?} }}",
                    path.display().to_string()
                ))
            }
            None => Ok(format!("\"{}\"", env!("CARGO_PKG_VERSION"))),
        };
        let dependencies = [
            ("broker-core", framework("broker-core")?),
            ("broker-testkit", framework("broker-testkit")?),
        ];
        for (file, text) in FILES {
            let mut text = named(text, &self.name);
            for (package, dependency) in &dependencies {
                text = text.replace(
                    &format!("{package} = \"framework\""),
                    &format!("{package} = {dependency}"),
                );
            }
            write(&folder.join(file), &text)?;
        }
        Ok(session.line(format_args!(
            "{} is made; `cargo test` in it certifies that it claims nothing, and its README says how to go on",
            folder.display()
        ))?)
    }
}

/// The template's text with the names of this crate in it.
fn named(text: &str, name: &str) -> String {
    let scheme = name.strip_prefix("broker-").unwrap_or(name);
    let capital = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    let type_name: String = scheme.split('-').map(capital).collect();
    // The longer words first, as the shorter one is in them.
    text.replace("template-crate", name)
        .replace("template_crate", &name.replace('-', "_"))
        .replace("template-scheme", scheme)
        .replace("Template", &type_name)
        .replace("template", &scheme.replace('-', "_"))
}

/// A name that is a crate's, and whose parts make a provider, a URL scheme and a type.
fn name(text: &str) -> Result<String, String> {
    let parts = text.strip_prefix("broker-").unwrap_or(text).split('-');
    let good = |part: &str| {
        part.starts_with(|letter: char| letter.is_ascii_lowercase())
            && part
                .chars()
                .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
    };
    if parts.into_iter().all(good) {
        Ok(text.to_owned())
    } else {
        Err(
            "words of small letters and digits with dashes between them are expected, such as `broker-nats`"
                .to_owned(),
        )
    }
}

fn write(file: &Path, text: &str) -> Result<(), Stop> {
    let said = |error| Stop::failure(format_args!("{}: {error}", file.display()));
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(said)?;
    }
    std::fs::write(file, text).map_err(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_crate_provider_scheme_and_type() {
        let text = "template-crate template_crate template-scheme template TemplateBroker";
        assert_eq!(
            named(text, "broker-red-panda"),
            "broker-red-panda broker_red_panda red-panda red_panda RedPandaBroker"
        );
        assert_eq!(named(text, "nats"), "nats nats nats nats NatsBroker");
    }

    #[test]
    fn a_name_that_no_crate_can_have_is_refused() {
        for good in ["broker-nats", "nats", "red-panda2"] {
            assert_eq!(name(good).unwrap(), good);
        }
        for bad in ["", "broker-", "Nats", "2nats", "a--b", "../a", "a_b", "ä"] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_of_the_template_is_left() {
        for (file, text) in FILES {
            let text = named(text, "broker-nats").to_lowercase();
            assert!(!text.contains("template"), "{file}");
        }
    }
}
