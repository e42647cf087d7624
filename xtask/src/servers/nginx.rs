//! nginx as a provider: leaky buckets of several depths, refusals of several shapes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::Result;

use super::counts::{self, Count};
use super::ports::Ports;
use super::{Server, bars, install, launch};
use crate::process;

const TEMPLATE: &str = include_str!("../../servers/nginx.conf.in");

/// Asked for by openssl in place of its own defaults, which would make the certificate an authority.
const CERTIFICATE: &str = "[req]\n\
    distinguished_name = name\nx509_extensions = leaf\nprompt = no\n\
    [name]\nCN = localhost\n\
    [leaf]\nbasicConstraints = critical,CA:FALSE\nkeyUsage = critical,digitalSignature\n\
    extendedKeyUsage = serverAuth\nsubjectAltName = DNS:localhost,IP:127.0.0.1\n";

/// Serves this many symbols, 100 bars each.
pub(super) struct Nginx {
    pub(super) symbols: usize,
}

impl Server for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn packages(&self) -> &'static [&'static str] {
        &["nginx", "openssl"]
    }

    fn find(&self) -> Result<PathBuf, String> {
        install::program("openssl")?;
        install::program("nginx")
    }

    fn ports(&self) -> &'static [&'static str] {
        &["strict", "burst", "note", "credits", "conn", "h2c", "tls", "open"]
    }

    fn start(&self, dir: &Path, ports: &Ports, _needed: &Ports) -> Result<Child> {
        bars::write(&dir.join("html"), self.symbols)?;
        certificate(dir)?;
        // A worker that changed its user could not read a folder of ours.
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        std::fs::write(dir.join("nginx.conf"), ports.fill(TEMPLATE, &[("user", user)])?)?;
        let program = self.find().map_err(anyhow::Error::msg)?;
        let prefix = format!("{}/", dir.display());
        launch::spawn(&program, &["-p", &prefix, "-e", "error.log", "-c", "nginx.conf"], dir)
    }

    fn extras(&self, dir: &Path) -> Vec<(String, String)> {
        let path = |name: &str| dir.join(name).display().to_string();
        vec![
            ("TIDEMILL_TEST_PROVIDER_NGINX_LOG".to_owned(), path("access.log")),
            ("TIDEMILL_TEST_PROVIDER_NGINX_CERT".to_owned(), path("cert.pem")),
            ("TIDEMILL_TEST_PROVIDER_SYMBOLS".to_owned(), path("html/symbols.txt")),
        ]
    }

    fn counts(&self, dir: &Path, ports: &Ports) -> Result<Vec<Count>> {
        Ok(counts::of_log(&std::fs::read_to_string(dir.join("access.log"))?, ports))
    }
}

/// A certificate for this machine's loopback and its key.
pub(super) fn certificate(dir: &Path) -> Result<()> {
    std::fs::write(dir.join("cert.cnf"), CERTIFICATE)?;
    let mut command = Command::new("openssl");
    command.current_dir(dir).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ]);
    command.args(["-nodes", "-days", "2", "-config", "cert.cnf", "-keyout", "key.pem", "-out", "cert.pem"]);
    process::read(&mut command).map(drop)
}
