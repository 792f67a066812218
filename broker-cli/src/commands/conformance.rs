//! `broker conformance`.

use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;

use broker_core::config::{BrokerConfig, Settings};
use broker_core::registry::{Provider, Registry};
use broker_core::{Broker, Capabilities, Error, ErrorKind, Message, StreamName};
use broker_testkit::{Harness, Level, Limits, Part, Report, Suite};
use clap::Args;

use crate::exit::{Exit, Stop};
use crate::session::Session;

/// Prove what the broker claims, on the real server; streams and groups of its own are made and removed, no other is touched.
#[derive(Args)]
pub(crate) struct Conformance {
    /// How thorough: quick, full, or chaos.
    #[arg(long, default_value_t = Level::Quick)]
    level: Level,
    /// How each name begins that it gives to a stream, a group or a consumer, such as one that the user's rights cover.
    #[arg(long, value_name = "TEXT", default_value = "tk", value_parser = prefix)]
    prefix: String,
    /// The largest payload in bytes that the server takes, where that is below 8 MiB; what is over it has to be refused.
    #[arg(long, value_name = "BYTES")]
    max_payload: Option<usize>,
    /// Only checks whose id contains this, such as dlq. or read.empty; may be given several times.
    #[arg(long, value_name = "TEXT")]
    filter: Vec<String>,
    /// Write the report to this file too, as JSON or as JUnit by its extension, .json or .xml; may be given several times.
    #[arg(long, value_name = "FILE", value_parser = report_file)]
    report: Vec<PathBuf>,
}

impl Conformance {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Stop> {
        let suite = suite(Configured::of(session, self.prefix, self.max_payload).await?);
        let (level, filters) = (self.level, self.filter);
        // The suite has runtimes of its own, one for each check.
        let report = tokio::task::spawn_blocking(move || suite.run(level, &filters)).await;
        let report = report.map_err(Stop::failure)??;
        if session.is_json() {
            session.object(&report)?;
        } else {
            session.line(&report)?;
        }
        for file in &self.report {
            write(&report, file)?;
        }
        if report.exercised() == 0 {
            return Err(Stop::usage(
                "no check was run; `--filter` takes a part of a check's id",
            ));
        }
        if report.is_good() {
            Ok(())
        } else {
            Err(Stop::quietly(Exit::Failure))
        }
    }
}

/// The server is somebody's, and there to be used, not to be killed or cut off: those checks are left out and listed.
fn suite(harness: Configured) -> Suite {
    Part::ALL.into_iter().fold(Suite::new(harness), |suite, part| {
        suite.absent(part, "run by a configuration alone")
    })
}

/// The chosen broker's provider and settings.
struct Configured {
    provider: &'static Provider,
    settings: Settings,
    prefix: String,
    limits: Limits,
}

impl Configured {
    async fn of(
        session: &Session<'_, '_>,
        prefix: String,
        max_payload: Option<usize>,
    ) -> Result<Self, Error> {
        // Opening says all that is wrong with the settings before anything is run.
        let (broker, mut settings) = (session.open()?, session.settings()?);
        let provider = Registry::linked()?.get(broker.provider(), &settings.place_of("provider"))?;
        presume(&mut settings, provider)?;
        // The suite opens many brokers on one server; embedded ones meet in a shared name.
        let unshared =
            settings.text("uri").is_none_or(|uri| uri == "inline://") && settings.text("shared").is_none();
        if provider.name() == "inline" && unshared {
            settings.set("shared", "conformance", None);
        }
        let limits = Limits {
            max_payload,
            partitions: partitions(&broker, &prefix).await?,
            ..Limits::default()
        };
        broker.close().await?;
        Ok(Self {
            provider,
            settings,
            prefix,
            limits,
        })
    }
}

/// Leaves the settings that lead to the server and make the broker what it claims to be. Retries, leases, dead letters and
/// bounds are what the laws are about: of these the suite presumes the defaults, and changes them where a law is about
/// another. A server that is allowed more time than by default keeps it.
fn presume(settings: &mut Settings, provider: &Provider) -> Result<(), Error> {
    let (configured, usual) = (settings.take_common()?, BrokerConfig::default());
    settings.set("provider", provider.name(), None);
    for (key, configured, usual) in [
        (
            "connect_timeout",
            configured.connect_timeout,
            usual.connect_timeout,
        ),
        (
            "operation_timeout",
            configured.operation_timeout,
            usual.operation_timeout,
        ),
        ("ping_timeout", configured.ping_timeout, usual.ping_timeout),
    ] {
        settings.set(key, format!("{}ms", configured.max(usual).as_millis()), None);
    }
    Ok(())
}

impl Harness for Configured {
    fn provider(&self) -> &'static Provider {
        self.provider
    }

    fn settings(&self) -> Result<Settings, Error> {
        Ok(self.settings.clone())
    }

    fn mode(&self) -> String {
        self.settings.text("mode").unwrap_or_default().to_owned()
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn prefix(&self) -> String {
        self.prefix.clone()
    }
}

/// How many partitions a stream gets here, which only one that was made can tell: laws about several need several.
async fn partitions(broker: &Broker, prefix: &str) -> Result<Option<u32>, Error> {
    broker.ensure_connection().await?;
    if !broker.has_capability(Capabilities::STREAM_PARTITIONING | Capabilities::PUBLISH) {
        return Ok(None);
    }
    let stream = format!("{prefix}-{:08x}-partitions", RandomState::new().hash_one(prefix));
    broker.publish(stream.as_str(), Message::text("x")).await?;
    let count = broker.partition_count(stream.as_str()).await;
    match broker.delete_stream(stream.as_str()).await {
        Err(error) if error.kind() != ErrorKind::Unsupported => return Err(error),
        _ => {}
    }
    Ok(Some(count?))
}

fn write(report: &Report, file: &PathBuf) -> Result<(), Stop> {
    let text = if is_json(file) {
        report.to_json()?
    } else {
        report.to_junit()?
    };
    std::fs::write(file, text)
        .map_err(|error| Stop::failure(format_args!("{} can't be written: {error}", file.display())))
}

/// A name's beginning, which leaves room for the rest.
fn prefix(text: &str) -> Result<String, String> {
    if text.len() > 64 {
        return Err("at most 64 letters are expected".to_owned());
    }
    match StreamName::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn report_file(text: &str) -> Result<PathBuf, String> {
    let file = PathBuf::from(text);
    let known = is_json(&file) || file.extension().is_some_and(|extension| extension == "xml");
    if known {
        Ok(file)
    } else {
        Err("name a file that ends in .json or .xml".to_owned())
    }
}

fn is_json(file: &std::path::Path) -> bool {
    file.extension().is_some_and(|extension| extension == "json")
}
