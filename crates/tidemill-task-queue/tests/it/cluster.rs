//! A PostgreSQL cluster of our own in a temporary directory, reached by a Unix socket, ended by its process id.

use std::io::Read;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};

pub(crate) struct Cluster {
    dir: tempfile::TempDir,
    programs: PathBuf,
    server: Option<Child>,
}

impl Cluster {
    /// `None` where PostgreSQL is not installed; with `CI=true` that is an error if `.ci/run` installs it.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(!is_promised(), "PostgreSQL is missing: install Debian's `postgresql`");
            skipped();
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        if let Some(user) = unprivileged() {
            chown(dir.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        }
        let mut cluster = Self { dir, programs, server: None };
        // Names must come in the order of their bytes even where the database's own order is another.
        let english = ["--locale-provider=icu", "--icu-locale=en"];
        let done = cluster.initdb(&english) || cluster.initdb(&[]);
        assert!(done, "initdb fails");
        cluster.restart();
        Some(cluster)
    }

    pub(crate) fn address(&self) -> String {
        format!("host={} user=tidemill dbname=postgres", self.dir.path().display())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join(".s.PGSQL.5432")
    }

    /// As a power cut: no checkpoint, no farewell.
    pub(crate) fn kill(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        self.signal(&server, Signal::SIGQUIT);
        server.wait().unwrap();
    }

    pub(crate) fn restart(&mut self) {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(self.dir.path());
        command.args([
            "-c",
            "listen_addresses=",
            "-c",
            "shared_buffers=16MB",
            "-c",
            "log_min_messages=fatal",
        ]);
        self.server = Some(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
        let begun = Instant::now();
        while !self.command("pg_isready").arg("-q").arg("-h").arg(self.dir.path()).status().unwrap().success()
        {
            let server = self.server.as_mut().unwrap();
            if server.try_wait().unwrap().is_some() || begun.elapsed() > Duration::from_secs(60) {
                let mut says = String::new();
                drop(server.kill());
                server.stderr.take().unwrap().read_to_string(&mut says).unwrap();
                panic!("PostgreSQL does not start: {says}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn initdb(&self, locale: &[&str]) -> bool {
        let mut command = self.command("initdb");
        command.arg("-D").arg(self.data()).args(["-U", "tidemill", "-A", "trust", "-E", "UTF8", "--no-sync"]);
        command.args(["--locale=C.UTF-8"]).args(locale);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The server refuses to run as root, so root lends it another user.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        if let Some(user) = unprivileged() {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    fn signal(&self, server: &Child, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(server.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            self.signal(&server, Signal::SIGINT);
            drop(server.wait());
        }
    }
}

fn unprivileged() -> Option<User> {
    if !geteuid().is_root() {
        return None;
    }
    ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).unwrap())
}

fn is_promised() -> bool {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.ci/run");
    let installs = std::fs::read_to_string(script).is_ok_and(|text| text.contains("postgresql"));
    installs && std::env::var_os("CI").is_some_and(|ci| ci == "true")
}

fn skipped() {
    eprintln!("SKIPPED: PostgreSQL is missing; install Debian's `postgresql` to run its tests");
}

/// The newest version that Debian's packages installed.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let found = versions.filter_map(|entry| {
        let path = entry.ok()?.path();
        let version: u32 = path.file_name()?.to_str()?.parse().ok()?;
        let complete =
            |bin: &Path| ["initdb", "postgres", "pg_isready"].iter().all(|name| bin.join(name).exists());
        Some((version, path.join("bin"))).filter(|(_, bin)| complete(bin))
    });
    found.max().map(|(_, bin)| bin)
}
