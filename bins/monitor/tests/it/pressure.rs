//! Memory pressure made real: a control group of the kernel, a collector in it, and a hog beside it. The collector's own
//! tuner is off: the monitor reads its signals and turns its knobs over `/api/v2/knobs`.
//!
//! Where no group can be made (not root, or version 2 without delegation) or no collector was built, it says so and is
//! skipped.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::running::{Monitor, ask, configured};

/// Longest wait for one thing; the machine may be ten times as slow as it should be.
const PATIENCE: Duration = Duration::from_secs(180);

/// A memory control group below our own, gone when it is dropped.
struct Group {
    folder: PathBuf,
    limit: u64,
}

impl Group {
    /// Version 1 or 2, whichever has the memory controller here.
    fn new(limit: u64) -> Result<Self, String> {
        let groups = std::fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let path_of = |controller: &str| {
            groups.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let (controllers, path) = (parts.next()?, parts.next()?);
                let path = path.trim_start_matches('/').to_owned();
                controllers.split(',').any(|one| one == controller).then_some(path)
            })
        };
        let (parent, file) = match (path_of("memory"), path_of("")) {
            (Some(path), _) => (Path::new("/sys/fs/cgroup/memory").join(path), "memory.limit_in_bytes"),
            (None, Some(path)) => (Path::new("/sys/fs/cgroup").join(path), "memory.max"),
            (None, None) => return Err("no memory controller".into()),
        };
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = parent.join(format!("tidemill-monitor-test-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let group = Self { folder, limit };
        let file = group.folder.join(file);
        std::fs::write(&file, limit.to_string()).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(group)
    }

    /// A command that begins in the group and becomes this program.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
            .arg(self.folder.join("cgroup.procs"))
            .arg(program);
        shield(&mut command);
        command
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Who was killed leaves a moment later.
        let begun = Instant::now();
        while std::fs::remove_dir(&self.folder).is_err() && begun.elapsed() < Duration::from_secs(5) {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

/// What tells the tests where their servers are is no setting of the program.
fn shield(command: &mut Command) {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDEMILL_")) {
        command.env_remove(name);
    }
}

/// Holds so many bytes until it is dropped: `tail` keeps the end of what it reads, and what it reads never ends.
struct Hog(Child);

impl Hog {
    /// Returns when it has eaten all of it.
    fn new(group: &Group, bytes: u64) -> Self {
        let eat = format!(
            "{{ head -c {bytes} /dev/zero; echo eaten >&2; exec sleep 600; }} | tail -c {bytes} > /dev/null"
        );
        let mut command = group.command(Path::new("sh"));
        // A process group of its own, so that all of it can be ended.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child =
            command.args(["-c", &eat]).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
        let hog = Self(child);
        assert_eq!(said.trim(), "eaten");
        hog
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
        self.0.wait().ok();
    }
}

/// The collector that was built beside the monitor.
fn collector() -> Result<PathBuf, String> {
    let path = Path::new(env!("CARGO_BIN_EXE_tidemill-monitor")).with_file_name("tidemill-collector");
    if path.exists() {
        return Ok(path);
    }
    Err(format!("{} is not there; build it with cargo build -p tidemill-collector", path.display()))
}

/// A program that says where it serves; ended when it is dropped.
struct Program {
    child: Child,
    url: String,
}

impl Program {
    /// Starts it, and takes its address from the first line that has it behind `before`.
    fn start(mut command: Command, on_stderr: bool, before: &str) -> Self {
        if on_stderr {
            command.stderr(Stdio::piped());
        } else {
            command.stdout(Stdio::piped());
        }
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
        let pipe: Box<dyn std::io::Read + Send> = match on_stderr {
            true => Box::new(child.stderr.take().unwrap()),
            false => Box::new(child.stdout.take().unwrap()),
        };
        let mut lines = BufReader::new(pipe).lines();
        let mut seen = String::new();
        let url = loop {
            let Some(Ok(line)) = lines.next() else { panic!("it ended before it served: {seen}") };
            if let Some((_, behind)) = line.split_once(before) {
                let end = behind.find(|c: char| c.is_whitespace() || c == '/' || c == ';');
                break format!("http://{}", &behind[..end.unwrap_or(behind.len())]);
            }
            seen.push_str(&line);
        };
        // Whoever writes must find somebody who reads.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url }
    }

    fn json(&self, path: &str) -> Value {
        let (status, _, body) = ask("GET", &format!("{}{path}", self.url), &[]);
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {status} {error}: {body}"))
    }

    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A collector in a group with its provider outside of it, and a monitor that turns its knobs.
struct Stage {
    dir: tempfile::TempDir,
    group: Group,
    _sandbox: Program,
    collector: Program,
    monitor: Monitor,
    symbols: usize,
}

/// What a test sets up.
struct Setup<'a> {
    sandbox: &'a str,
    collector: &'a str,
    tuner: &'a str,
    symbols: usize,
}

impl Stage {
    fn build(setup: &Setup<'_>) -> Result<Self, String> {
        let program = collector()?;
        let group = Group::new(256 << 20)?;
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let mut command = Command::new(&program);
        shield(&mut command);
        command.args(["sandbox", "--listen", "127.0.0.1:0", "--config"]);
        command.arg(file(
            "sandbox.toml",
            &format!("symbols = {}\nkeys = [\"k1\"]\nquota = []\n{}", setup.symbols, setup.sandbox),
        ));
        let sandbox = Program::start(command, false, "http://");

        // The first five are real ones.
        let real = ["AAPL", "FB", "GOOG", "IBM", "MSFT"];
        let symbol =
            |at: usize| real.get(at).map_or_else(|| format!("SYM{at:04}"), |name| (*name).to_owned());
        let symbols: Vec<String> = (0..setup.symbols).map(symbol).collect();
        file("symbols.txt", &symbols.join("\n"));
        let text = format!(
            "config_version = 1\n{}\n[[provider]]\nname = \"vendor\"\nadapter = \"alpha-vantage\"\nbase_url = \"{}\"\nkeys = [\"k1\"]\n\n\
             [[dataset]]\nname = \"us_daily\"\nprovider = \"vendor\"\nsymbols_file = \"symbols.txt\"\ncalendar = \"none\"\n",
            setup.collector, sandbox.url
        );
        let mut command = group.command(&program);
        command.args([
            "run",
            "--quiet",
            "--log",
            "info",
            "--no-auto-tuning",
            "--listen",
            "127.0.0.1:0",
            "--config",
        ]);
        command.arg(file("collector.toml", &text));
        command.arg("--data").arg(dir.path().join("data"));
        command.arg("--summary").arg(dir.path().join("summary.json"));
        let collector = Program::start(command, true, "addr=");

        let config = configured(
            dir.path(),
            &format!(
                "config_version = 1\n[monitor]\ninterval = \"1s\"\nhost = false\n\
                 [[target]]\nname = \"collector\"\nurl = \"{url}/metrics\"\n\
                 [[tuning.target]]\nname = \"collector\"\nurl = \"{url}\"\ninterval = \"100ms\"\n{tuner}",
                url = collector.url,
                tuner = setup.tuner
            ),
        );
        let monitor = Monitor::start(&dir.path().join("monitor"), &["--config", &config], &[]);
        let stage = Self { dir, group, _sandbox: sandbox, collector, monitor, symbols: setup.symbols };
        stage.until("the monitor steers", |stage| stage.seen()["steered"] == true);
        assert_eq!(stage.seen()["tunes_itself"], false);
        Ok(stage)
    }

    /// The collector as the monitor shows it.
    fn seen(&self) -> Value {
        self.monitor.json("/api/tuning")["targets"][0].clone()
    }

    /// The decisions of the monitor in words, the oldest first.
    fn words(&self) -> Vec<String> {
        let journal = self.seen()["journal"].as_array().cloned().unwrap_or_default();
        let ours = journal.iter().rev().filter(|one| one["decided_by"] == "monitor");
        ours.map(|one| one["words"].as_str().unwrap().to_owned()).collect()
    }

    /// A knob as the collector has it.
    fn knob(&self, name: &str) -> f64 {
        let knobs = self.collector.json("/api/v2/knobs");
        let knob = knobs["knobs"].as_array().unwrap().iter().find(|knob| knob["name"] == name);
        knob.unwrap_or_else(|| panic!("no {name} in {knobs}"))["value"].as_f64().unwrap()
    }

    /// Memory of the group, as the collector measures it.
    fn percent(&self) -> f64 {
        self.collector.json("/api/v2/tuning")["signals"]["memory.percent"]["value"].as_f64().unwrap_or(0.0)
    }

    /// How often that was measured.
    fn samples(&self) -> u64 {
        self.collector.json("/api/v2/tuning")["signals"]["memory.percent"]["count"].as_u64().unwrap_or(0)
    }

    fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < PATIENCE, "never: {what}: {:#?} {:#}", self.words(), self.seen());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Eaten bit by bit, so that the kernel has no reason to kill anybody; at most what was seen on the way.
    fn eat(&self, up_to: f64) -> (Vec<Hog>, f64) {
        let (mut hogs, mut worst) = (Vec::new(), self.percent());
        while self.percent() < up_to {
            let missing = (up_to + 2.0 - self.percent()).max(1.0) / 2.0 + 1.0;
            hogs.push(Hog::new(&self.group, (missing / 100.0 * self.group.limit as f64) as u64));
            // Nothing more is eaten before this is measured; meanwhile the collector may have given some back.
            let measured = self.samples() + 2;
            self.until("it is measured", |stage| stage.samples() >= measured);
            worst = self.percent().max(worst);
            assert!(hogs.len() < 60, "{worst} % with {} hogs", hogs.len());
        }
        (hogs, worst)
    }

    /// The pass ends, and every row that the provider has is stored and verified.
    fn nothing_is_lost(self) {
        self.until("the pass ends", |stage| stage.collector.json("/health")["passes"] == 1);
        let (code, log) = self.monitor.stop();
        assert_eq!(code, 0, "{log}");
        self.collector.stop();
        let path = self.dir.path().join("summary.json");
        let of_run: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let rows = |name: &str| of_run[format!("rows_{name}")].as_u64().unwrap();
        assert_eq!(rows("received"), rows("stored") + rows("quarantined") + rows("duplicate"), "{of_run:#}");
        assert_eq!(rows("stored"), 100 * self.symbols as u64, "{of_run:#}");
        assert_eq!((&of_run["failed"], &of_run["refused"]), (&0.into(), &0.into()), "{of_run:#}");
        let mut verify = Command::new(collector().unwrap());
        shield(&mut verify);
        let verified = verify.arg("verify").arg("--data").arg(self.dir.path().join("data")).output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    }
}

/// Sets the stage, or says why it cannot be.
#[expect(clippy::print_stderr, reason = "a test that was left out says so")]
fn stage(setup: &Setup<'_>) -> Option<Stage> {
    Stage::build(setup).map_err(|why| eprintln!("SKIPPED pressure::*: {why}")).ok()
}

#[test]
fn under_a_real_hog_the_monitor_shrinks_the_buffers_of_a_collector_and_gives_them_back() {
    let Some(stage) = stage(&Setup {
        sandbox: "latency = { kind = \"uniform\", min = \"5ms\", max = \"15ms\" }\n",
        collector: "[collector]\nworkers = 4\n[tuning]\ninterval = \"100ms\"\n",
        tuner: "",
        symbols: 1000,
    }) else {
        return;
    };
    let full = stage.knob("buffer.rows.capacity");
    stage.until("it is measured in its group", |stage| stage.percent() > 1.0);
    let calm = stage.percent();
    assert!(calm < 70.0, "room to come back to: {calm} %");
    let (hogs, worst) = stage.eat(87.0);
    stage.until("the monitor shrinks them", |stage| stage.knob("buffer.rows.capacity") < full);
    println!("{calm:.1} % without, {worst:.1} % at the most, with {} processes eating", hogs.len());
    assert!(worst < 100.0, "before the limit: {worst} %");
    let words = stage.words();
    let of = |what: &str| words.iter().find(|words| words.contains(what)).cloned();
    let shrunk = of("memory-high changed").unwrap_or_else(|| panic!("{words:#?}"));
    assert!(shrunk.contains("buffer.rows.capacity 16777216 -> 11744051"), "{shrunk}");
    // Why, with the reading that crossed it.
    assert!(shrunk.contains("memory.percent = 8") || shrunk.contains("memory.percent = 9"), "{shrunk}");
    // The collector knows of it as of any hand, and decided nothing itself.
    let theirs = stage.collector.json("/api/v2/tuning/journal?limit=100").to_string();
    assert!(theirs.contains("a person changed") && !theirs.contains("memory-high"), "{theirs}");

    drop(hogs);
    stage.until("sizes come back", |stage| stage.knob("buffer.rows.capacity") == full);
    let back = "memory-high is no longer needed";
    stage.until("it is told", |stage| stage.words().iter().any(|words| words.starts_with(back)));
    let events = stage.monitor.json("/api/events?hours=1").to_string();
    assert!(events.contains("memory-high changed") && events.contains(back), "marks on the charts: {events}");
    stage.nothing_is_lost();
}

/// The rule frees memory and takes more workers than the provider has connections for: those too many hang.
#[test]
fn a_change_under_memory_pressure_that_does_harm_is_undone_by_the_monitor() {
    let Some(stage) = stage(&Setup {
        sandbox: "max_connections = 3\nlatency = { kind = \"fixed\", delay = \"20ms\" }\n",
        collector: "[collector]\nworkers = 2\ntries = 20\nconcurrency_by = \"rules\"\n[http]\nread_timeout = \"3s\"\n\
                    [tuning]\ninterval = \"100ms\"\n",
        tuner: "[tuning.target.tuner]\nbuiltin = false\nprobation_steps = 400\nbad = \"memory.percent > 200\"\n\
                [[tuning.target.tuner.guard]]\nsignal = \"errors.percent\"\nabove = 10.0\nsteps = 1\n\
                [[tuning.target.tuner.rule]]\nname = \"memory-high\"\nwhen = \"memory.percent > 60 for 3\"\n\
                do = [\"buffer.rows.capacity * 0.7\", \"workers = 16\"]\ncooldown = \"1h\"\n",
        symbols: 600,
    }) else {
        return;
    };
    let before = (stage.knob("buffer.rows.capacity"), stage.knob("workers"));
    let (_hogs, _) = stage.eat(64.0);
    stage.until("it is changed", |stage| {
        stage.words().iter().any(|words| words.contains("memory-high changed"))
    });
    stage.until("it is undone", |stage| stage.words().iter().any(|words| words.contains("was undone")));
    stage.until("all of it", |stage| (stage.knob("buffer.rows.capacity"), stage.knob("workers")) == before);
    let words = stage.words();
    let undone = words.iter().find(|words| words.contains("was undone")).unwrap();
    assert!(undone.contains("workers 16 -> 2") && undone.contains("errors.percent = "), "{undone}");
    let of = |what: &str| words.iter().filter(|words| words.contains(what)).count();
    assert_eq!((of("memory-high changed"), of("was undone")), (1, 1), "barred for an hour: {words:#?}");
    let alerts = stage.monitor.json("/api/alerts").to_string();
    assert!(alerts.contains("tuning-undone"), "told as a warning: {alerts}");
    stage.nothing_is_lost();
}
