//! PostgreSQL: a cluster of its own, with a password, and TLS by a certificate of our own.

use std::fmt::Write as _;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

use super::counts::Count;
use super::ports::Ports;
use super::{Server, install, launch};
use crate::process;

/// A connection string, password included, written at the start and read by [`Server::extras`].
const ADDRESS: &str = "address";

/// Everybody on the machine may knock, nobody enters without the password.
const GATES: &str = "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n";

/// Waits for the disk as it does by default; what is small is so for machines that run other servers beside it.
const SETTINGS: &str = "listen_addresses = '127.0.0.1'\nshared_buffers = 64MB\nmax_connections = 100\n\
    log_min_messages = fatal\nssl = on\nssl_cert_file = '../cert.pem'\nssl_key_file = '../key.pem'\n";

/// A database `postgres` of the user `tidemill`; a test takes a schema of its own.
pub(super) struct Postgres;

impl Server for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn prefix(&self) -> String {
        "TIDEMILL_TEST_POSTGRES".to_owned()
    }

    fn packages(&self) -> &'static [&'static str] {
        &["postgresql", "openssl"]
    }

    fn find(&self) -> Result<PathBuf, String> {
        install::program("openssl")?;
        programs().ok_or_else(|| "no PostgreSQL under /usr/lib/postgresql".to_owned())
    }

    fn ports(&self) -> &'static [&'static str] {
        &["tcp"]
    }

    fn scheme(&self, _port: &str) -> &'static str {
        "postgresql"
    }

    fn start(&self, dir: &Path, ports: &Ports, _needed: &Ports) -> Result<Child> {
        let (programs, port) = (self.find().map_err(anyhow::Error::msg)?, ports.get("tcp")?);
        let data = dir.join("data");
        let password = password()?;
        std::fs::write(dir.join("password"), &password)?;
        std::fs::write(
            dir.join(ADDRESS),
            format!("host=127.0.0.1 port={port} user=tidemill password={password} dbname=postgres"),
        )?;
        super::nginx::certificate(dir)?;
        let user = lent_user()?;
        for name in ["", "password", "cert.pem", "key.pem"] {
            if let Some(id) = user {
                chown(dir.join(name), Some(id), Some(id))?;
            }
        }
        std::fs::set_permissions(dir.join("key.pem"), std::fs::Permissions::from_mode(0o600))?;
        let run_as = |command: &mut Command| {
            if let Some(id) = user {
                command.uid(id).gid(id);
            }
        };
        let mut initdb = Command::new(programs.join("initdb"));
        initdb.current_dir(dir).stdin(Stdio::null()).args(["-D", "data", "-U", "tidemill", "-E", "UTF8"]);
        initdb.args(["--locale=C.UTF-8", "-A", "scram-sha-256", "--pwfile=password", "--no-sync"]);
        run_as(&mut initdb);
        process::read(&mut initdb)?;
        std::fs::write(data.join("pg_hba.conf"), GATES)?;
        let settings = std::fs::read_to_string(data.join("postgresql.conf"))?;
        std::fs::write(data.join("postgresql.conf"), settings + SETTINGS)?;
        let (folder, data, port) = (dir.display().to_string(), data.display().to_string(), port.to_string());
        let mut server =
            launch::command(&programs.join("postgres"), &["-D", &data, "-k", &folder, "-p", &port], dir)?;
        run_as(&mut server);
        server.spawn().context("cannot start postgres")
    }

    /// It accepts connections before it answers them.
    fn ready(&self, ports: &Ports) -> bool {
        let (Some(programs), Ok(port)) = (programs(), ports.get("tcp")) else { return false };
        let mut asked = Command::new(programs.join("pg_isready"));
        asked.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        asked.status().is_ok_and(|status| status.success())
    }

    fn extras(&self, dir: &Path) -> Vec<(String, String)> {
        let address = std::fs::read_to_string(dir.join(ADDRESS)).unwrap_or_default();
        vec![
            (self.prefix(), address),
            (format!("{}_CERT", self.prefix()), dir.join("cert.pem").display().to_string()),
        ]
    }

    /// It refuses nobody, so it keeps no books.
    fn counts(&self, _dir: &Path, _ports: &Ports) -> Result<Vec<Count>> {
        Ok(Vec::new())
    }
}

/// The newest version that Debian's packages installed, which stands in no `PATH`.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let found = versions.filter_map(|entry| {
        let path = entry.ok()?.path();
        let version: u32 = path.file_name()?.to_str()?.parse().ok()?;
        let bin = path.join("bin");
        let complete = ["initdb", "postgres", "pg_isready"].iter().all(|name| bin.join(name).exists());
        complete.then_some((version, bin))
    });
    found.max().map(|(_, bin)| bin)
}

/// The server refuses to run as root, so root lends it another user, whose group has the same number.
fn lent_user() -> Result<Option<u32>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let id = |name: &str| {
        let line = users.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split(':').nth(1)?.parse::<u32>().ok()
    };
    let id = id("postgres").or_else(|| id("nobody"));
    id.map(Some).context("there is no user postgres to run the server as")
}

fn password() -> Result<String> {
    let mut random = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let mut text = String::new();
    for byte in random {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}
