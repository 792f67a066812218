//! Where RabbitMQ is on this machine, and how its programs are called.

use std::path::{Path, PathBuf};
use std::process::Command;

use broker_core::{Error, ErrorKind, Result};

use super::ServerVersion;

/// Names a folder with the script `rabbitmq-server` of another version, and with the `erl`, `epmd` and `erl_call` that
/// go with it.
const FOLDER: &str = "BROKER_TEST_RABBITMQ";

/// Debian's scripts as they came; those in `/usr/sbin` drop to the system's user and its folders.
const SYSTEM: &str = "/usr/lib/rabbitmq/bin";

pub(super) const INSTALL: &str =
    "install it (`apt-get install rabbitmq-server`), or name the folder of another by BROKER_TEST_RABBITMQ";

/// A command that runs one of the programs of RabbitMQ or of its Erlang.
pub(super) fn program(name: &str) -> Command {
    let folder = folder();
    let own = folder.join(name);
    let mut command = match own.exists() {
        true => Command::new(own),
        false => Command::new(name),
    };
    // The server's script calls `erl` by its name.
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(folder).chain(std::env::split_paths(&paths));
    if let Ok(paths) = std::env::join_paths(paths) {
        command.env("PATH", paths);
    }
    command
}

/// The version by the folder in which the script is found, as asking RabbitMQ itself takes a second.
pub(super) fn version() -> Result<ServerVersion> {
    let script = folder().join("rabbitmq-server");
    let script = script.canonicalize().map_err(|error| {
        Error::new(
            ErrorKind::NotFound,
            format!("the program `{}` is not there; {INSTALL}", script.display()),
        )
        .source(error)
    })?;
    of_path(&script).ok_or_else(|| {
        Error::new(
            ErrorKind::Unexpected,
            format!(
                "which RabbitMQ it is can't be told by its folder: {}",
                script.display()
            ),
        )
    })
}

fn folder() -> PathBuf {
    std::env::var_os(FOLDER).map_or_else(|| SYSTEM.into(), Into::into)
}

/// `…/rabbitmq_server-3.10.8/sbin/rabbitmq-server` is 3.10.8.
fn of_path(script: &Path) -> Option<ServerVersion> {
    let mut names = script.iter().filter_map(|name| name.to_str());
    let version = names.find_map(|name| name.strip_prefix("rabbitmq_server-"))?;
    ServerVersion::parse(&format!("rabbitmq v={version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_tells_the_version() {
        let version = |path: &str| of_path(Path::new(path)).map(|version| version.to_string());
        assert_eq!(
            version("/usr/lib/rabbitmq/lib/rabbitmq_server-3.10.8/sbin/rabbitmq-server").as_deref(),
            Some("rabbitmq 3.10.8")
        );
        assert_eq!(version("/opt/bin/rabbitmq-server"), None);
    }
}
