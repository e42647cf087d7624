//! Two collectors with the same keys: with a lease in a file they are never refused, whichever of them is killed.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::program::{Sandbox, Setup, assert_balanced, collector, once, said, summary, symbols, wait};

/// Every server's strictest: what was refused counts as well.
const STRICT: &str = "quota = [{ model = \"penalising-log\", requests = 20, per = \"2s\" }]\n\
                      latency = { kind = \"uniform\", min = \"5ms\", max = \"40ms\" }\n";

struct Rig {
    dir: tempfile::TempDir,
    sandbox: Sandbox,
    symbols: Vec<String>,
    lease: String,
}

impl Rig {
    fn new(count: usize, leased: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::start(dir.path(), &format!("symbols = {count}\n{STRICT}"));
        let path = dir.path().join("leases.db");
        let lease = match leased {
            true => format!("[lease]\nstore = \"sqlite\"\npath = {path:?}\nterm = \"2s\"\n"),
            false => String::new(),
        };
        Self { dir, sandbox, symbols: symbols(count), lease }
    }

    /// A folder of its own, the same keys.
    fn start(&self, name: &str) -> Running {
        let dir = self.dir.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        let setup = Setup {
            base_url: &self.sandbox.url(),
            adapter: "alpha-vantage",
            keys: &["k1", "k2"],
            limit: Some((20, "2s", "sliding-log")),
            symbols: &self.symbols,
            more: &format!("[http]\ntotal_timeout = \"2s\"\n{}", self.lease),
            of_provider: "",
        };
        let args = once(&dir, &setup.write(&dir));
        let child = collector(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Running { child }
    }

    fn requests(&self) -> u64 {
        self.sandbox.stats()["requests"].as_u64().expect("a count")
    }

    fn refused(&self) -> u64 {
        self.sandbox.stats()["refused"].as_u64().expect("a count")
    }

    fn collected(&self, name: &str) {
        let summary = summary(&self.dir.path().join(name).join("summary.json"));
        assert_balanced(&summary);
        assert_eq!(summary["answered"].as_u64(), Some(self.symbols.len() as u64), "{summary:#}");
        assert_eq!(summary["refused"].as_u64(), Some(0), "{summary:#}");
    }
}

struct Running {
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

const PATIENCE: Duration = Duration::from_secs(300);

fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn of_two_collectors_one_spends_the_quota_and_the_other_goes_on_with_what_is_left() {
    let rig = Rig::new(60, true);
    let mut one = rig.start("one");
    until("the first request", || rig.requests() > 0);
    let mut two = rig.start("two");
    assert!(wait(&mut one.child, PATIENCE).success());
    assert!(wait(&mut two.child, PATIENCE).success());
    rig.collected("one");
    rig.collected("two");
    assert_eq!((rig.requests(), rig.refused()), (120, 0));
}

#[test]
fn when_one_is_killed_the_other_takes_over_and_is_not_refused() {
    let rig = Rig::new(60, true);
    let mut one = rig.start("one");
    until("the first request", || rig.requests() > 0);
    let mut two = rig.start("two");
    // In the middle of a window that is full.
    until("a window's worth of requests", || rig.requests() >= 40);
    one.child.kill().unwrap();
    one.child.wait().unwrap();
    assert!(!exists(&rig, "one"), "it was killed before its end");
    let killed_at = rig.requests();
    assert!(wait(&mut two.child, PATIENCE).success());
    rig.collected("two");
    assert_eq!(rig.refused(), 0);
    assert_eq!(rig.requests(), killed_at + 60);
}

fn exists(rig: &Rig, name: &str) -> bool {
    Path::new(rig.dir.path()).join(name).join("summary.json").exists()
}

/// The control.
#[test]
fn without_a_lease_two_collectors_are_refused() {
    let rig = Rig::new(60, false);
    let _both = (rig.start("one"), rig.start("two"));
    until("the tenth refusal", || rig.refused() > 10);
}

/// The certificate of the harness's PostgreSQL is trusted; the control is one that vouches for somebody else.
#[test]
fn leases_in_a_postgres_behind_tls() {
    let found = (std::env::var("TIDEMILL_TEST_POSTGRES"), std::env::var("TIDEMILL_TEST_POSTGRES_CERT"));
    let (Ok(address), Ok(certificate)) = found else {
        let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!ci, "CI is set and there is no PostgreSQL");
        println!("SKIPPED: TIDEMILL_TEST_POSTGRES is not set; `cargo xtask test` starts the server");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(dir.path(), "symbols = 5\n");
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    std::fs::write(dir.path().join("stranger.pem"), stranger).unwrap();
    std::fs::copy(certificate, dir.path().join("server.pem")).unwrap();
    for (roots, code) in [("server.pem", 0), ("stranger.pem", 2)] {
        let setup = Setup {
            base_url: &sandbox.url(),
            adapter: "alpha-vantage",
            keys: &["k1"],
            limit: None,
            symbols: &symbols(5),
            // Relative to the configuration, as all its paths are.
            more: &format!("[lease]\nstore = \"postgres\"\ntls_roots = {roots:?}\n"),
            of_provider: "",
        };
        let args = once(dir.path(), &setup.write(dir.path()));
        let run = collector(args).env("TIDEMILL_LEASE_URL", &address).output().unwrap();
        assert_eq!(run.status.code(), Some(code), "{roots}: {}", said(&run));
        let password = address.split("password=").nth(1).unwrap().split(' ').next().unwrap();
        assert!(!said(&run).contains(password), "the password is shown");
        assert_eq!(code == 2, said(&run).contains("TIDEMILL_LEASE_URL"), "{}", said(&run));
    }
}
