//! Real processes on one SQLite file: a stopped owner is followed and does not act, a killed one is followed.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tidemill_lease::{Config, Epoch, ErrorKind, Handover, Held, Leases, Name, Owner, Sqlite, SqliteConfig};

const FILE: &str = "LEASES_OF_THE_STOPPED_CHILD";
const TERM: Duration = Duration::from_millis(900);

fn leases(path: &Path, owner: &str) -> Leases {
    let store = Sqlite::open(path, SqliteConfig::default()).unwrap();
    let config = Config { reserve: 1, ..Config::with_term(TERM) };
    Leases::builder(config, Arc::new(store), Owner::try_new(owner).unwrap()).build().unwrap()
}

fn name() -> Name {
    Name::try_new("key").unwrap()
}

/// A process of its own that writes an epoch into a file at each act, while its guard lets it.
struct Actor {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Actor {
    fn start(test: &str, path: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(FILE, path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line of its own, without what the test harness puts before it.
    fn says(&mut self) -> String {
        let mut ours = self.lines.by_ref().map(Result::unwrap).filter_map(|line| {
            let (_, said) = line.split_once("@ ")?;
            Some(said.to_owned())
        });
        ours.next().unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::main(flavor = "current_thread")]
async fn act(path: &Path) {
    let leases = leases(path, "child");
    let say = |text: String| std::io::stdout().write_all(format!("@ {text}\n").as_bytes()).unwrap();
    let mut acts = File::options().append(true).create(true).open(path.with_extension("acts")).unwrap();
    let held = leases.acquire(&name()).await.unwrap();
    say(format!("acts {}", held.epoch()));
    loop {
        // Right before the act, and nothing else between.
        if !held.may_act(leases.now()) {
            break say("stops".into());
        }
        acts.write_all(&[held.epoch().0 as u8]).unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        if held.remaining(leases.now()) < TERM / 2 && held.may_act(leases.now()) {
            leases.renew(&held, Some(b"child")).await.unwrap();
        }
    }
    let error = leases.renew(&held, Some(b"too late")).await.unwrap_err();
    say(format!("{:?}", error.kind()));
    say(format!("{}", leases.confirm(&name(), held.epoch()).await.unwrap()));
}

fn acts(path: &Path) -> u64 {
    std::fs::metadata(path.with_extension("acts")).unwrap().len()
}

#[tokio::main(flavor = "current_thread")]
async fn payload(leases: &Leases) -> Vec<u8> {
    leases.read(&name()).await.unwrap().unwrap().payload
}

#[tokio::main(flavor = "current_thread")]
async fn take_over(leases: &Leases) -> Held {
    let begun = Instant::now();
    loop {
        match leases.acquire(&name()).await {
            Ok(held) => return held,
            Err(error) => {
                assert!(error.kind() == ErrorKind::Held && begun.elapsed() < 20 * TERM, "{error}");
                tokio::time::sleep(error.retry_after().unwrap()).await;
            }
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn renew(leases: &Leases, held: &Held) {
    leases.renew(held, None).await.unwrap();
}

#[test]
fn a_stopped_owner_does_not_act_when_it_goes_on() {
    if let Some(path) = std::env::var_os(FILE) {
        return act(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("leases.db");
    let mut child = Actor::start("stopped::a_stopped_owner_does_not_act_when_it_goes_on", &path);
    assert_eq!(child.says(), "acts 1");
    let parent = leases(&path, "parent");
    child.signal(Signal::SIGSTOP);
    let held = take_over(&parent);
    assert_eq!((held.epoch(), held.inherited()), (Epoch(2), &b""[..]));
    assert!(matches!(held.handover(), Handover::Expired { .. }));
    assert_eq!(held.unconfirmed()[0].epoch, Epoch(1));
    let before = acts(&path);
    child.signal(Signal::SIGCONT);
    assert_eq!(child.says(), "stops");
    // One act may have been checked before the stop and done after it: that is its reserve of one.
    assert!((before..=before + 1).contains(&acts(&path)), "{before} acts, then {}", acts(&path));
    assert_eq!(child.says(), "Stale");
    assert_eq!(child.says(), "true", "it confirmed that it stopped");
    renew(&parent, &held);
}

#[test]
fn a_killed_owner_is_followed_at_the_end_of_its_term() {
    if let Some(path) = std::env::var_os(FILE) {
        return act(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("leases.db");
    for round in 0..3u64 {
        let mut child = Actor::start("stopped::a_killed_owner_is_followed_at_the_end_of_its_term", &path);
        let acts = format!("acts {}", 2 * round + 1);
        assert_eq!(child.says(), acts);
        // It renews while it acts.
        let (reader, begun) = (leases(&path, "reader"), Instant::now());
        while payload(&reader) != b"child" {
            assert!(begun.elapsed() < 20 * TERM);
            std::thread::sleep(TERM / 20);
        }
        child.signal(Signal::SIGKILL);
        let parent = leases(&path, "parent");
        let begun = Instant::now();
        let held = take_over(&parent);
        assert!(begun.elapsed() < 3 * TERM, "{:?}", begun.elapsed());
        assert_eq!((held.epoch().0, held.inherited()), (2 * round + 2, &b"child"[..]));
        release(&parent, &held);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn release(leases: &Leases, held: &Held) {
    leases.release(held, Some(b"")).await.unwrap();
}
