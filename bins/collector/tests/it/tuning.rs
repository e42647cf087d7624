//! Settings that change while the collector runs: by hand, by rule, across restarts, and never at the cost of its work.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::{
    Sandbox, Setup, assert_balanced, collector, output, rows, said, summary, symbols, wait,
};

/// `tidemill-collector run --listen`, until it is dropped.
pub(crate) struct Served {
    child: Child,
    addr: SocketAddr,
}

impl Served {
    /// Starts it over DIR/data and waits until it serves.
    pub(crate) fn start(dir: &Path, config: &Path, more: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_as(collector([] as [&str; 0]), dir, config, more, env)
    }

    /// The same by a command of one's own that ends with the program.
    pub(crate) fn start_as(
        mut command: Command,
        dir: &Path,
        config: &Path,
        more: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        let listen = if more.contains(&"--listen") { &[][..] } else { &["--listen", "127.0.0.1:0"] };
        let mut child = command
            .args(["run", "--quiet", "--log", "info", "--config"])
            .arg(config)
            .arg("--data")
            .arg(dir.join("data"))
            .arg("--summary")
            .arg(dir.join("summary.json"))
            .args(listen)
            .args(more)
            .envs(env.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the collector starts");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = String::new();
        let addr = loop {
            let Some(Ok(line)) = log.next() else { panic!("it ended before it served: {seen}") };
            if let Some(addr) = line.split("addr=").nth(1) {
                break addr.split_whitespace().next().unwrap().parse().unwrap();
            }
            seen.push_str(&line);
        };
        // Whoever writes a log must find somebody who reads it.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, addr }
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, value) = self.ask("GET", path, &[], "");
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask("PUT", path, &[], &body.to_string())
    }

    pub(crate) fn knob(&self, name: &str) -> f64 {
        let knobs = self.get("/api/v2/knobs");
        let knob = knobs["knobs"].as_array().unwrap().iter().find(|knob| knob["name"] == name);
        knob.unwrap_or_else(|| panic!("no {name} in {knobs}"))["value"].as_f64().unwrap()
    }

    /// What happened, the oldest first.
    pub(crate) fn words(&self) -> Vec<String> {
        let records = self.get("/api/v2/tuning/journal?limit=1000");
        let words = records["records"].as_array().unwrap().iter().rev();
        words.map(|record| record["words"].as_str().unwrap().to_owned()).collect()
    }

    /// Looks until it is so, at most three minutes: machines may be busy.
    pub(crate) fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "not within a minute: {what}: {:?}",
                self.words()
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> (u16, Value) {
        let addr = SocketAddr::from(([127, 0, 0, 1], self.addr.port()));
        let mut socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let host =
            if headers.iter().any(|header| header.starts_with("host:")) { "" } else { "host: localhost\r\n" };
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let length = body.len();
        write!(
            socket,
            "{method} {path} HTTP/1.1\r\n{host}connection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|_| json!(body)))
    }

    /// Asks it to end, as an operator does.
    pub(crate) fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(wait(&mut self.child, Duration::from_secs(60)).code(), Some(0));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// No quota and one symbol: done at once, and then it waits for tomorrow.
const IDLE: &str = "symbols = 5\nlatency = { kind = \"none\" }\nquota = []\n";

fn setup<'a>(url: &'a str, symbols: &'a [String], more: &'a str) -> Setup<'a> {
    Setup {
        base_url: url,
        adapter: "alpha-vantage",
        keys: &["k1"],
        limit: None,
        symbols,
        more,
        of_provider: "",
    }
}

/// A quota of `requests` in ten seconds that is used evenly, a few at once.
fn evenly(requests: u32) -> String {
    format!("[[provider.limit]]\nrequests = {requests}\nper = \"10s\"\nmodel = \"sliding-log\"\nburst = 4\n")
}

/// As [`setup`], with a limit in full.
fn limited(dir: &Path, url: &str, symbols: &[String], more: &str, limit: &str) -> PathBuf {
    let file = setup(url, symbols, more).write(dir);
    let text = std::fs::read_to_string(&file).unwrap().replace("[[dataset]]", &format!("{limit}[[dataset]]"));
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn a_person_sets_knobs_and_they_outlive_a_kill_unless_the_configuration_changes() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(dir.path(), IDLE);
    let (url, symbols) = (sandbox.url(), symbols(1));
    let config = setup(&url, &symbols, "[tuning]\nbuiltin = false\n").write(dir.path());

    let mut running = Served::start(dir.path(), &config, &[], &[]);
    assert_eq!((running.knob("workers"), running.knob("batch")), (32.0, 64.0));
    assert_eq!((running.knob("flush.linger"), running.knob("flush.interval")), (0.002, 10.0));
    let (status, knobs) = running.put("/api/v2/knobs", &json!({ "workers": 20, "flush.interval": 30 }));
    assert_eq!(
        (status, knobs["knobs"].as_array().unwrap().len()),
        (200, running.get("/api/v2/knobs")["knobs"].as_array().unwrap().len())
    );
    assert_eq!((running.knob("workers"), running.knob("flush.interval")), (20.0, 30.0));

    for (body, status, says) in [
        (json!({ "workers": 100_000 }), 400, "100000 is not within 16 to 64 in steps of 1"),
        (json!({ "batch": 32, "workers": 20.5 }), 400, "20.5 is not within"),
        (json!({ "wrokers": 20 }), 404, "no knob \\\"wrokers\\\""),
        (json!({ "workers": "many" }), 400, "invalid type"),
        (json!({}), 400, "1 to 100 knobs"),
        (json!([1]), 400, "{\\\"workers\\\": 8}"),
    ] {
        let (seen, answer) = running.put("/api/v2/knobs", &body);
        assert!(seen == status && answer.to_string().contains(says), "{body}: {seen} {answer}");
    }
    assert_eq!(running.knob("batch"), 64.0, "all of a request or none of it");
    assert_eq!(running.ask("DELETE", "/api/v2/trials/7", &[], "").0, 404);
    assert_eq!(running.get("/api/v2/trials"), json!({ "trials": [] }));
    assert!(
        running.words().iter().any(|words| words == "a person changed workers 32 -> 20"),
        "{:?}",
        running.words()
    );
    running.child.kill().unwrap();
    drop(running);

    let again = Served::start(dir.path(), &config, &[], &[]);
    assert_eq!(
        (again.knob("workers"), again.knob("flush.interval"), again.knob("batch")),
        (20.0, 30.0, 64.0)
    );
    again.stop();
    // Switched off, what the configuration says counts.
    let untuned = Served::start(dir.path(), &config, &["--no-auto-tuning"], &[]);
    assert_eq!(
        (untuned.knob("workers"), untuned.get("/api/v2/tuning")["enabled"].clone()),
        (32.0, json!(false))
    );
    untuned.stop();
    let changed =
        setup(&url, &symbols, "[tuning]\nbuiltin = false\n[collector]\nworkers = 24\n").write(dir.path());
    let changed = Served::start(dir.path(), &changed, &[], &[]);
    assert_eq!((changed.knob("workers"), changed.knob("flush.interval")), (24.0, 30.0));
}

#[test]
fn whoever_changes_something_shows_the_token_or_sits_at_this_machine() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(dir.path(), IDLE);
    let (url, symbols) = (sandbox.url(), symbols(1));
    let body = json!({ "workers": 20 }).to_string();

    let open = setup(&url, &symbols, "").write(dir.path());
    let everywhere = Served::start(dir.path(), &open, &["--listen", "0.0.0.0:0"], &[]);
    assert_eq!(everywhere.knob("workers"), 32.0, "everybody may look");
    let (status, why) = everywhere.ask("PUT", "/api/v2/knobs", &[], &body);
    assert!(status == 403 && why.to_string().contains("collector.token_env"), "{status} {why}");
    everywhere.stop();
    let here = Served::start(dir.path(), &open, &[], &[]);
    assert_eq!(here.ask("PUT", "/api/v2/knobs", &["host: rebound.example:8000"], &body).0, 403);
    assert_eq!(here.ask("PUT", "/api/v2/knobs", &[], &body).0, 200);
    assert_eq!(here.put("/api/v2/tuning", &json!({ "enabled": false })).1["enabled"], json!(false));
    here.stop();

    let guarded = setup(&url, &symbols, "[collector]\ntoken_env = \"CHANGE_TOKEN\"\n").write(dir.path());
    let without = output(["run", "--once", "--config", guarded.to_str().unwrap()]);
    assert_eq!(without.status.code(), Some(2));
    assert!(said(&without).contains("CHANGE_TOKEN is not set"), "{}", said(&without));
    let guarded =
        Served::start(dir.path(), &guarded, &["--listen", "0.0.0.0:0"], &[("CHANGE_TOKEN", "hush-hush")]);
    for (headers, status) in [
        (&[][..], 401),
        (&["authorization: Bearer wrong"][..], 401),
        (&["authorization: Bearer hush-hush"][..], 200),
    ] {
        assert_eq!(guarded.ask("PUT", "/api/v2/knobs", headers, &body).0, status);
        let trial = guarded.ask("DELETE", "/api/v2/trials/1", headers, "").0;
        assert_eq!(trial, if status == 200 { 404 } else { 401 });
    }
}

#[test]
fn a_rule_that_cannot_be_is_named_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    let symbols = symbols(1);
    for (tuning, says) in [
        ("[tuning]\noff = [\"cache-mises\"]\n", "no rule \"cache-mises\""),
        ("[tuning]\nalpha = 2.0\n", "`alpha`: must be"),
        ("[[tuning.rule]]\nname = \"r\"\nwhen = \"workers\"\ndo = [\"workers + 1\"]\n", "expected"),
        ("[[tuning.rule]]\nname = \"r\"\nwhen = \"a > 1\"\ndo = []\n", "1 to 32 adjustments"),
    ] {
        let config = setup("http://127.0.0.1:9", &symbols, tuning).write(dir.path());
        let check = output(["check", "--config", config.to_str().unwrap()]);
        assert_eq!(check.status.code(), Some(2), "{tuning}");
        assert!(said(&check).contains(says), "{tuning}: {}", said(&check));
    }
}

#[test]
fn rules_turn_a_running_collection_and_it_keeps_every_row_and_the_quota() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(
        dir.path(),
        "symbols = 300\nkeys = [\"k1\"]\nlatency = { kind = \"uniform\", min = \"20ms\", max = \"60ms\" }\n\
         quota = [{ model = \"penalising-log\", requests = 60, per = \"1s\" }]\n",
    );
    let (url, symbols) = (sandbox.url(), symbols(300));
    let rules = "[collector]\nworkers = 4\n[tuning]\nbuiltin = false\ninterval = \"50ms\"\nfresh = \"1s\"\n\
                 [[tuning.rule]]\nname = \"more\"\nwhen = \"queue.waiting > 50\"\ndo = [\"workers + 2\", \"batch * 0.5\"]\ncooldown = \"200ms\"\n\
                 [[tuning.rule]]\nname = \"less\"\nwhen = \"queue.waiting < 10\"\ndo = [\"workers - 3\", \"flush.interval * 2\"]\ncooldown = \"200ms\"\n";
    let setup = Setup { limit: Some((60, "1s", "sliding-log")), ..setup(&url, &symbols, rules) };
    let config = setup.write(dir.path());
    let running = Served::start(dir.path(), &config, &[], &[]);
    running.until("the pass ends", |running| running.get("/health")["passes"] == 1);
    let words = running.words();
    assert!(
        words.iter().any(|words| words.starts_with("more changed") && words.contains("workers 4 -> 6")),
        "{words:?}"
    );
    let status = running.get("/api/v2/tuning");
    for signal in ["response.ms", "requests", "errors.percent", "refused", "queue.waiting"] {
        assert!(status["signals"][signal]["count"].as_u64() >= Some(10), "{signal}: {status}");
    }
    assert!(
        (20.0..60_000.0).contains(&status["signals"]["response.ms"]["value"].as_f64().unwrap()),
        "{status}"
    );
    running.stop();

    let of_run = summary(&dir.path().join("summary.json"));
    assert_balanced(&of_run);
    assert_eq!((&of_run["refused"], &of_run["rows_stored"]), (&json!(0), &json!(30_000)));
    assert_eq!(rows(&dir.path().join("data"), "us_daily").len(), 30_000);
    assert_eq!((&sandbox.stats()["refused"], &sandbox.stats()["admitted"]), (&json!(0), &json!(300)));
}

#[test]
fn a_slower_pace_and_fewer_at_once_are_kept_to_and_can_be_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(
        dir.path(),
        "symbols = 400\nkeys = [\"k1\"]\nlatency = { kind = \"fixed\", delay = \"200ms\" }\n\
         quota = [{ model = \"penalising-log\", requests = 40, per = \"1s\" }]\n",
    );
    let (url, symbols) = (sandbox.url(), symbols(400));
    let more = "[collector]\nconcurrency_by = \"rules\"\n[tuning]\nbuiltin = false\ninterval = \"200ms\"\n";
    let setup = Setup { limit: Some((40, "1s", "sliding-log")), ..setup(&url, &symbols, more) };
    let config = setup.write(dir.path());
    let running = Served::start(dir.path(), &config, &[], &[]);
    assert_eq!((running.knob("concurrency"), running.knob("pace")), (20.0, 1.0));
    let (status, answer) = running.put("/api/v2/knobs", &json!({ "pace": 0.25 }));
    assert_eq!(status, 200, "{answer}");
    let requests = |running: &Served| {
        running.get("/metrics").as_str().unwrap().lines().find_map(|line| {
            let value = line.strip_prefix("tidemill_requests_total{")?.split_whitespace().last()?;
            value.parse::<f64>().ok()
        })
    };
    let (begun, before) = (Instant::now(), requests(&running).unwrap());
    std::thread::park_timeout(Duration::from_secs(3));
    let rate = (requests(&running).unwrap() - before) / begun.elapsed().as_secs_f64();
    // What had passed the gate when the pace changed is on top of 10 a second.
    assert!(rate < 18.0, "{rate} a second");

    let (status, answer) = running.put("/api/v2/knobs", &json!({ "pace": 1.0, "concurrency": 10 }));
    assert_eq!(status, 200, "{answer}");
    running.until("no more than ten are under way", |running| {
        let metrics = running.get("/metrics");
        let in_flight =
            metrics.as_str().unwrap().lines().find(|line| line.starts_with("tidemill_requests_in_flight{"));
        in_flight.unwrap().split_whitespace().last().unwrap().parse::<f64>().unwrap() <= 10.0
    });
    running.until("the pass ends", |running| running.get("/health")["passes"] == 1);
    running.stop();
    assert_eq!((&sandbox.stats()["refused"], &sandbox.stats()["admitted"]), (&json!(0), &json!(400)));
}

/// More workers than the server takes connections: those too many hang until they time out.
#[test]
fn a_rule_that_does_harm_is_undone_journalled_and_not_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(
        dir.path(),
        "symbols = 600\nkeys = [\"k1\"]\nmax_connections = 3\nlatency = { kind = \"fixed\", delay = \"20ms\" }\nquota = []\n",
    );
    let (url, symbols) = (sandbox.url(), symbols(600));
    let planted = "[collector]\nworkers = 2\ntries = 20\nconcurrency_by = \"rules\"\n[http]\nread_timeout = \"3s\"\n\
                   [tuning]\nbuiltin = false\ninterval = \"100ms\"\nprobation_steps = 200\nbad = \"memory.percent > 200\"\n\
                   [[tuning.guard]]\nsignal = \"errors.percent\"\nabove = 10.0\nsteps = 1\n\
                   [[tuning.rule]]\nname = \"planted\"\nwhen = \"queue.waiting > 5 for 3\"\ndo = [\"workers = 16\"]\ncooldown = \"1h\"\n";
    let config = setup(&url, &symbols, planted).write(dir.path());
    let running = Served::start(dir.path(), &config, &[], &[]);
    running.until("the pass ends", |running| running.get("/health")["passes"] == 1);
    // The pass may end with the failure that shows the harm, a step before that is seen.
    running.until("it is undone", |running| running.words().iter().any(|words| words.contains("was undone")));
    let words = running.words();
    let of = |what: &str| words.iter().filter(|words| words.contains(what)).count();
    assert_eq!(
        (of("planted changed workers 2 -> 16"), of("planted was undone, workers 16 -> 2")),
        (1, 1),
        "{words:?}"
    );
    assert!(words.last().unwrap().contains("errors.percent = "), "{words:?}");
    assert_eq!(
        (running.knob("workers"), &running.get("/api/v2/tuning")["stats"]["undone"]),
        (2.0, &json!(1))
    );
    running.stop();

    // Nothing of it was lost, and a restart has not forgotten.
    let of_run = summary(&dir.path().join("summary.json"));
    assert_balanced(&of_run);
    assert_eq!(
        (&of_run["refused"], &of_run["rows_stored"], &of_run["failed"]),
        (&json!(0), &json!(60_000), &json!(0))
    );
    std::fs::remove_dir_all(dir.path().join("data/journal")).unwrap();
    for table in ["parquet", "snapshots"] {
        std::fs::remove_dir_all(dir.path().join("data").join(table)).unwrap();
    }
    let again = Served::start(dir.path(), &config, &[], &[]);
    again.until("the pass ends", |running| running.get("/health")["passes"] == 1);
    assert_eq!(again.words(), words, "barred for an hour");
}

#[test]
fn a_trial_of_what_is_worse_never_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(
        dir.path(),
        "symbols = 1500\nkeys = [\"k1\"]\nlatency = { kind = \"uniform\", min = \"5ms\", max = \"15ms\" }\n\
         quota = [{ model = \"penalising-log\", requests = 1000, per = \"10s\" }]\n",
    );
    let (url, symbols) = (sandbox.url(), symbols(1500));
    let planted = "[tuning]\nbuiltin = false\ninterval = \"50ms\"\nfresh = \"1s\"\nblock_steps = 6\nmax_block_steps = 12\nmax_pairs = 12\n\
                   [[tuning.rule]]\nname = \"slower\"\nwhen = \"queue.waiting > 50 for 10\"\ndo = [\"pace * 0.3\"]\n\
                   objective = \"requests higher\"\ncooldown = \"1h\"\n";
    let config = limited(dir.path(), &url, &symbols, planted, &evenly(1000));
    let running = Served::start(dir.path(), &config, &[], &[]);
    running.until("a trial runs", |running| {
        !running.get("/api/v2/trials")["trials"].as_array().unwrap().is_empty()
    });
    let trial = running.get("/api/v2/trials")["trials"][0].clone();
    assert_eq!(
        (&trial["rule"], &trial["by"], &trial["objective"]),
        (&json!("slower"), &json!("switchback"), &json!("requests higher"))
    );
    let (status, why) = running.put("/api/v2/knobs", &json!({ "pace": 0.5 }));
    assert!(status == 409 && why.to_string().contains("trial 1 of slower"), "{status} {why}");
    running.until("the trial is over", |running| running.get("/api/v2/trials") == json!({ "trials": [] }));
    let words = running.words();
    let end = words.iter().find(|words| words.starts_with("trial 1: pace 1 -> 0.3 ")).unwrap();
    assert!(end.contains("undone") || end.contains("inconclusive"), "{end}");
    println!("{end}");
    assert_eq!(running.knob("pace"), 1.0);
    running.stop();
    assert_eq!(sandbox.stats()["refused"], 0);
}

/// A provider that is three times slower for a while: five minutes with `TIDEMILL_TEST_FULL` set, and then the rates count;
/// else some seconds, and it is only looked that nothing is refused, lost or left behind.
#[test]
fn a_provider_three_times_slower_for_a_while_costs_no_refusal_and_the_rate_comes_back() {
    let full = std::env::var_os("TIDEMILL_TEST_FULL").is_some();
    // Warm, slow and after, in seconds; how often the tuner looks; and how many symbols that is, at 30 a second.
    let (spans, interval) = if full { ([60, 300, 120], "1s") } else { ([3, 5, 4], "200ms") };
    let end = spans.iter().sum::<u64>();
    let count = if full { end as usize * 30 + 600 } else { end as usize * 30 };
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(
        dir.path(),
        &format!(
            "symbols = {count}\nkeys = [\"k1\"]\nlatency = {{ kind = \"uniform\", min = \"80ms\", max = \"120ms\" }}\n\
             spells = [{{ after = \"{}s\", lasts = \"{}s\", times = 3.0 }}]\n\
             quota = [{{ model = \"penalising-log\", requests = 300, per = \"10s\" }}]\n",
            spans[0], spans[1]
        ),
    );
    let begun = Instant::now();
    let (url, symbols) = (sandbox.url(), symbols(count));
    let config =
        limited(dir.path(), &url, &symbols, &format!("[tuning]\ninterval = \"{interval}\"\n"), &evenly(300));
    let running = Served::start(dir.path(), &config, &[], &[]);
    // Second, admitted so far, concurrency.
    let mut seen: Vec<(f64, f64, f64)> = Vec::new();
    while begun.elapsed().as_secs() < end && running.get("/health")["passes"] == 0 {
        let admitted = sandbox.admitted();
        seen.push((begun.elapsed().as_secs_f64(), admitted, running.knob("concurrency")));
        std::thread::park_timeout(Duration::from_millis(500));
    }
    let rate = |from: u64, to: u64| {
        let within = |at: f64| (from as f64..to as f64).contains(&at);
        let mut inside = seen.iter().filter(|(at, ..)| within(*at));
        let (first, last) = (inside.next().unwrap(), inside.next_back().unwrap());
        (last.1 - first.1) / (last.0 - first.0)
    };
    let [warm, slow, _] = spans;
    if full {
        let before = rate(20, warm);
        let settled = rate(warm + 60, warm + slow);
        let after = rate(warm + slow + 60, end);
        let least = seen.iter().map(|(.., concurrency)| *concurrency).fold(f64::INFINITY, f64::min);
        let first_minute = rate(warm, warm + 60);
        println!(
            "{before:.2} a second, then {first_minute:.2} in the first slow minute, {settled:.2} after it, {after:.2} a minute after the end; concurrency at least {least}"
        );
        assert!(settled >= 0.95 * before, "{settled} of {before}: the slow provider was not believed");
        assert!(after >= 0.98 * before, "{after} of {before}");
    } else {
        running.until("the pass ends", |running| running.get("/health")["passes"] == 1);
    }
    let words = running.words();
    assert!(!words.iter().any(|words| words.contains("emergency")), "{words:?}");
    running.stop();
    let of_run = summary(&dir.path().join("summary.json"));
    assert_balanced(&of_run);
    assert_eq!(
        (&of_run["refused"], &of_run["failed"], &sandbox.stats()["refused"]),
        (&json!(0), &json!(0), &json!(0))
    );
    let answered = of_run["answered"].as_u64().unwrap();
    assert_eq!(of_run["rows_stored"], 100 * answered, "{of_run:#}");
    assert!(full || answered == count as u64, "{of_run:#}");
}
