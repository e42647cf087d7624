//! The templates against the real servers: they start, limit, count, and are gone afterwards.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::launch::{Launched, Life, launch};
use super::*;

/// A small provider, or nothing where the programs are missing (an error under CI).
fn provider(records: &Path) -> Option<Vec<Launched>> {
    let mut ports = Ports::default();
    let mut launched = Vec::new();
    for server in providers(3) {
        if let Err(why) = server.find() {
            assert!(!process::in_ci(), "{} is missing: {why}", server.name());
            eprintln!("skipped: {} is missing: {why}", server.name());
            return None;
        }
        let one = launch(server.as_ref(), records, &ports, Life::WithUs).unwrap();
        ports.merge(&one.record.ports);
        launched.push(one);
    }
    Some(launched)
}

/// Status line, headers and body.
fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // In one piece: several small writes would wait for delayed acknowledgements.
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Asks until the first refusal: how many were admitted, and the refusal.
fn until_refused(port: u16, path: &str, refusal: &str) -> (u64, String) {
    for admitted in 0..200 {
        let answer = get(port, path);
        if answer.contains(refusal) {
            return (admitted, answer);
        }
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    panic!("{path} is never refused");
}

const QUERY: &str = "/query?function=TIME_SERIES_DAILY&symbol=SYM0001&apikey=k1";

#[test]
fn providers_limit_count_and_end() {
    let scratch = tempfile::tempdir().unwrap();
    let Some(mut launched) = provider(&scratch.path().join("records")) else { return };
    let ports: Vec<Ports> = launched.iter().map(|one| one.record.ports.clone()).collect();
    let (nginx, haproxy) = (&ports[0], &ports[1]);
    let port = |name: &str| nginx.get(name).or_else(|_| haproxy.get(name)).unwrap();

    // The control: without a limit nothing is refused.
    for _ in 0..150 {
        assert!(get(port("open"), QUERY).contains("Time Series (Daily)"));
    }

    // nginx drips a token each 0.8 s while we ask, so a slow machine is admitted a few more.
    let (admitted, answer) = until_refused(port("burst"), QUERY, "too many requests");
    assert!((75..100).contains(&admitted), "{admitted}");
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("Retry-After: 1"), "{answer}");
    let (_, answer) = until_refused(port("note"), QUERY, "\"Information\":\"The rate limit");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let credits = "/time_series?interval=1day&symbol=SYM0001&apikey=k1";
    let (_, answer) = until_refused(port("credits"), credits, "\"code\":429");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(get(port("strict"), QUERY).contains("SYM0001"));
    assert!(
        get(port("note"), &QUERY.replace("SYM0001", "NONE").replace("k1", "k2")).contains("Error Message")
    );

    let (admitted, answer) = until_refused(port("sliding"), QUERY, "the minute is used up");
    assert!((75..90).contains(&admitted), "{admitted}");
    assert!(answer.to_lowercase().contains("retry-after: 1"), "{answer}");
    let (_, answer) = until_refused(port("fast"), QUERY, "throttled");
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    let weight = get(port("weights"), &QUERY.replace("k1", "k2"));
    assert!(weight.to_lowercase().contains("x-mbx-used-weight-1m: 2"), "{weight}");
    let (admitted, _) = until_refused(port("weights"), QUERY, "Too much request weight");
    assert!((75..90).contains(&admitted), "{admitted}");
    let strikes: String = (0..12).map(|_| get(port("weights"), QUERY)).collect();
    assert!(strikes.contains("HTTP/1.1 418"), "{strikes}");

    for (server, one) in providers(3).iter().zip(&launched) {
        let counts = server.counts(&one.record.dir, &one.record.ports).unwrap();
        let of = |port: &str| counts.iter().find(|count| count.port == port && count.key == "k1");
        for name in if server.name() == "nginx" {
            ["burst", "note", "credits"]
        } else {
            ["sliding", "fast", "weights"]
        } {
            let count = of(name).unwrap();
            assert!(count.admitted >= 75, "{count}");
            let refused = if name == "weights" { 13 } else { 1 };
            assert_eq!(count.refused, refused, "{count}");
        }
        if let Some(open) = of("open") {
            assert_eq!(open.refused, 0, "{open}");
        }
    }

    for one in &mut launched {
        assert!(one.record.is_alive());
        one.stop().unwrap();
        assert!(!one.record.is_alive() && !one.record.dir.exists() && !one.record.file.exists());
    }
    assert!(!nginx.accept() && !haproxy.accept());
}

#[test]
fn a_database_starts_answers_and_ends() {
    let scratch = tempfile::tempdir().unwrap();
    if let Err(why) = postgres::Postgres.find() {
        assert!(!process::in_ci(), "PostgreSQL is missing: {why}");
        eprintln!("skipped: PostgreSQL is missing: {why}");
        return;
    }
    let mut one = launch(&postgres::Postgres, scratch.path(), &Ports::default(), Life::WithUs).unwrap();
    let variables: BTreeMap<_, _> = one.record.variables.iter().cloned().collect();
    assert!(variables["TIDEMILL_TEST_POSTGRES"].contains("user=tidemill password="), "{variables:?}");
    assert!(variables["TIDEMILL_TEST_POSTGRES_TCP"].starts_with("postgresql://127.0.0.1:"), "{variables:?}");
    let certificate = std::fs::read_to_string(&variables["TIDEMILL_TEST_POSTGRES_CERT"]).unwrap();
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"));
    one.stop().unwrap();
    assert!(!one.record.is_alive() && !one.record.dir.exists());
}

#[test]
fn a_pid_that_is_somebody_elses_is_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let mut bystander = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let record = Record {
        name: "nginx".into(),
        pid: i32::try_from(bystander.id()).unwrap(),
        owner: None,
        dir: scratch.path().join("tidemill-gone"),
        ports: Ports::default(),
        variables: Vec::new(),
        file: scratch.path().join("nginx.json"),
    };
    record.stop().unwrap();
    assert_eq!(bystander.try_wait().unwrap(), None, "it still runs");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[test]
fn a_missing_server_is_skipped_by_a_person_and_fails_a_ci() {
    let variables = launch::variable_names(&haproxy::HaProxy);
    assert!(variables.iter().any(|name| name == "TIDEMILL_TEST_PROVIDER_HAPROXY_SLIDING"), "{variables:?}");
    let mut running = Running::none();
    running.lacks("haproxy", "no program haproxy".into(), variables.clone(), false).unwrap();
    assert_eq!(running.missing.len(), 1);
    assert_eq!(running.missing_variables, variables);
    let error = Running::none().lacks("haproxy", "no program haproxy".into(), variables, true).unwrap_err();
    assert!(error.to_string().contains("haproxy is missing"), "{error}");
}

/// A server that ends at once: what it said must be in the error, and nothing may stay behind.
struct Stillborn;

impl Server for Stillborn {
    fn name(&self) -> &'static str {
        "stillborn"
    }

    fn packages(&self) -> &'static [&'static str] {
        &[]
    }

    fn find(&self) -> Result<PathBuf, String> {
        install::program("ls")
    }

    fn ports(&self) -> &'static [&'static str] {
        &["open"]
    }

    fn start(&self, dir: &Path, _ports: &Ports, _needed: &Ports) -> Result<Child> {
        launch::spawn(&self.find().map_err(anyhow::Error::msg)?, &["no-such-file-of-ours"], dir)
    }

    fn counts(&self, _dir: &Path, _ports: &Ports) -> Result<Vec<counts::Count>> {
        Ok(Vec::new())
    }
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let scratch = tempfile::tempdir().unwrap();
    let outcome = launch(&Stillborn, scratch.path(), &Ports::default(), Life::WithUs);
    let error = format!("{:#}", outcome.err().unwrap());
    assert!(error.contains("stillborn does not start") && error.contains("no-such-file-of-ours"), "{error}");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

/// A process whose arguments name its folder, recorded as somebody's server.
fn recorded(root: &Path, owner: u32) -> (std::process::Child, Record) {
    let dir = root.join(format!("tidemill-{owner}"));
    std::fs::create_dir_all(&dir).unwrap();
    let log = dir.join("access.log");
    std::fs::write(&log, "").unwrap();
    let child = std::process::Command::new("tail").arg("-f").arg(&log).spawn().unwrap();
    let record = Record {
        name: "nginx".into(),
        pid: i32::try_from(child.id()).unwrap(),
        owner: Some(owner),
        dir,
        ports: Ports::default(),
        variables: Vec::new(),
        file: root.join(format!("test-{owner}/nginx.json")),
    };
    record.write().unwrap();
    (child, record)
}

#[test]
fn what_a_killed_run_left_is_stopped_and_a_living_runs_is_not() {
    let scratch = tempfile::tempdir().unwrap();
    let mut killed = std::process::Command::new("true").spawn().unwrap();
    killed.wait().unwrap();
    let (mut left, left_record) = recorded(scratch.path(), killed.id());
    let (mut ours, our_record) = recorded(scratch.path(), std::process::id());
    // Between fork and exec a child still has our arguments.
    while !(left_record.is_alive() && our_record.is_alive()) {
        std::thread::yield_now();
    }
    record::sweep(scratch.path()).unwrap();
    assert!(!left_record.is_alive() && !left_record.dir.exists() && !left_record.file.exists());
    assert!(our_record.is_alive() && our_record.file.exists());
    left.wait().unwrap();
    our_record.stop().unwrap();
    ours.wait().unwrap();
}
