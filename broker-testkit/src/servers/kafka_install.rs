//! Where Kafka is on this machine, and how it is called.

use std::path::PathBuf;
use std::process::Command;

use broker_core::{Error, ErrorKind, Result};

use super::ServerVersion;

/// Names a folder with the jars of Kafka and of its tools.
const FOLDER: &str = "BROKER_TEST_KAFKA";

/// Names another program than `java`.
const JAVA: &str = "BROKER_TEST_JAVA";

pub(super) const INSTALL_JAVA: &str =
    "install it (`apt-get install openjdk-17-jre-headless`), or name one by BROKER_TEST_JAVA";

/// A broker's Java: little memory, and no time spent on code that tests run a few times.
pub(super) const SERVER: &[&str] = &[
    "-Xms128m",
    "-Xmx256m",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
];

/// A tool's Java: smaller still, and silent, as what it prints is read.
pub(super) const TOOL: &[&str] = &[
    "-Xms32m",
    "-Xmx128m",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
];

const QUICK: [&str; 5] = [
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:CICompilerCount=1",
    "-Xss512k",
    // Else it leaves a file outside the server's folder when it is killed.
    "-XX:-UsePerfData",
];

/// A command that runs a class of Kafka's.
pub(super) fn java(class: &str, options: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::var(JAVA).unwrap_or_else(|_| "java".to_owned()));
    command.args(QUICK).args(options);
    command.arg("-cp").arg(folder()?.join("*")).arg(class);
    Ok(command)
}

/// The version of the jars that are there.
pub(super) fn version() -> Result<ServerVersion> {
    let jars = folder()?.read_dir().into_iter().flatten().flatten();
    jars.filter_map(|jar| {
        let name = jar.file_name().into_string().ok()?;
        let version = name.strip_prefix("kafka-clients-")?.strip_suffix(".jar")?;
        ServerVersion::parse(&format!("kafka v={version}"))
    })
    .next()
    .ok_or_else(missing)
}

/// The folder of the jars: the one that the environment names, or the one that scripts/test fills.
fn folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return Ok(folder.into());
    }
    let here = std::env::current_dir().unwrap_or_default();
    here.ancestors()
        .map(|folder| folder.join("target/tools/kafka"))
        .find(|folder| folder.is_dir())
        .ok_or_else(missing)
}

fn missing() -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!(
            "Kafka is not there; run scripts/test once, it installs it, or name a folder with its jars by {FOLDER}"
        ),
    )
}
