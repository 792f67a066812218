//! Certificates for one run.

use std::path::{Path, PathBuf};
use std::process::Command;

use broker_core::Result;

use super::process::{failed, run};

const INSTALL: &str = "install it: `apt-get install openssl`";

/// A certificate authority, a server's and a client's certificate, made for one run and gone with its folder.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The server's certificate, for `localhost` and 127.0.0.1.
    pub server: PathBuf,
    /// The server's key.
    pub server_key: PathBuf,
    /// The client's certificate.
    pub client: PathBuf,
    /// The client's key.
    pub client_key: PathBuf,
}

impl Certificates {
    /// Makes them in `folder` with the `openssl` program.
    ///
    /// # Errors
    ///
    /// Where the program is missing, with what to install, or fails.
    pub fn make(folder: &Path) -> Result<Self> {
        let at = |name: &str| folder.join(name);
        let certificates = Self {
            ca: at("ca.crt"),
            server: at("server.crt"),
            server_key: at("server.key"),
            client: at("client.crt"),
            client_key: at("client.key"),
        };
        let ca_key = at("ca.key");
        let mut command = openssl(&[
            "req",
            "-x509",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=broker test CA",
        ]);
        command
            .args([
                "-newkey",
                "rsa:2048",
                "-sha256",
                "-addext",
                "keyUsage=critical,keyCertSign,cRLSign",
            ])
            .arg("-keyout")
            .arg(&ca_key)
            .arg("-out")
            .arg(&certificates.ca);
        run(command, INSTALL)?;
        for (certificate, key, name, usage) in [
            (
                &certificates.server,
                &certificates.server_key,
                "localhost",
                "serverAuth",
            ),
            (
                &certificates.client,
                &certificates.client_key,
                "client",
                "clientAuth",
            ),
        ] {
            let extensions = at("extensions.cnf");
            let text = format!(
                "basicConstraints=CA:FALSE\nextendedKeyUsage={usage}\nsubjectAltName=DNS:{name},IP:127.0.0.1\n"
            );
            std::fs::write(&extensions, text)
                .map_err(|error| failed("openssl", "its settings can't be written", error))?;
            let request = at("request.csr");
            let mut command = openssl(&["req", "-new", "-nodes", "-newkey", "rsa:2048", "-sha256"]);
            command
                .arg("-subj")
                .arg(format!("/CN={name}"))
                .arg("-keyout")
                .arg(key)
                .arg("-out")
                .arg(&request);
            run(command, INSTALL)?;
            let mut command = openssl(&["x509", "-req", "-days", "2", "-sha256", "-CAcreateserial"]);
            command
                .arg("-in")
                .arg(&request)
                .arg("-CA")
                .arg(&certificates.ca)
                .arg("-CAkey")
                .arg(&ca_key)
                .arg("-extfile")
                .arg(&extensions)
                .arg("-out")
                .arg(certificate);
            run(command, INSTALL)?;
        }
        Ok(certificates)
    }
}

fn openssl(words: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(words);
    command
}
