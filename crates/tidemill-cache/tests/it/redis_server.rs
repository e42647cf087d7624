//! A Redis server of our own on a free port, ended by its process id.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Server {
    dir: tempfile::TempDir,
    arguments: Vec<String>,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// `None` where Redis is not installed; with `CI=true` that is an error if `.ci/run` installs it.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(|_, port| vec!["--port".to_owned(), port.to_string()])
    }

    /// With arguments of its own, among which is the port to listen on.
    pub(crate) fn start_with(arguments: impl Fn(&Path, u16) -> Vec<String>) -> Option<Self> {
        if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            assert!(!is_promised(), "Redis is missing: install Debian's `redis-server`");
            skipped();
            return None;
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        let arguments = arguments(dir.path(), port);
        let mut server = Self { dir, arguments, port, child: None };
        server.restart();
        Some(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn restart(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.args(&self.arguments).current_dir(self.dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "redis-server does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// As a power cut.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// It keeps its connections and answers none of them.
    pub(crate) fn freeze(&self, freeze: bool) {
        let Some(child) = &self.child else { return };
        let signal = if freeze { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.freeze(false);
        self.kill();
    }
}

fn is_promised() -> bool {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.ci/run");
    let installs = std::fs::read_to_string(script).is_ok_and(|text| text.contains("redis-server"));
    installs && std::env::var_os("CI").is_some_and(|ci| ci == "true")
}

#[expect(clippy::print_stderr, reason = "a test that was left out says so")]
fn skipped() {
    eprintln!("SKIPPED: Redis is missing; install Debian's `redis-server` to run its tests");
}
