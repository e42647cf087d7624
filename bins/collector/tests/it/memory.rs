//! Memory pressure made real: a control group of the kernel with a limit, the collector in it, and a process that eats the
//! rest. Where no group can be made (not root, or version 2 without delegation) it says so and is skipped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::{Sandbox, Setup, assert_balanced, rows, shield, summary, symbols};
use crate::tuning::Served;

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
                controllers
                    .split(',')
                    .any(|one| one == controller)
                    .then(|| path.trim_start_matches('/').to_owned())
            })
        };
        let name = format!("tidemill-test-{}", std::process::id());
        let (parent, file) = match (path_of("memory"), path_of("")) {
            (Some(path), _) => (Path::new("/sys/fs/cgroup/memory").join(path), "memory.limit_in_bytes"),
            (None, Some(path)) => (Path::new("/sys/fs/cgroup").join(path), "memory.max"),
            (None, None) => return Err("no memory controller".into()),
        };
        let group = Self { folder: parent.join(name), limit };
        std::fs::create_dir(&group.folder).map_err(|error| format!("{}: {error}", group.folder.display()))?;
        std::fs::write(group.folder.join(file), limit.to_string())
            .map_err(|error| format!("{}/{file}: {error}", group.folder.display()))?;
        Ok(group)
    }

    /// A command that begins in the group and becomes this program.
    fn command(&self, program: &str) -> Command {
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

/// Holds so many bytes until it is dropped: `tail` keeps the end of what it reads, and what it reads never ends.
struct Hog(Child);

impl Hog {
    fn new(group: &Group, bytes: u64) -> Self {
        let eat = format!("{{ head -c {bytes} /dev/zero; exec sleep 600; }} | tail -c {bytes} > /dev/null");
        let mut command = group.command("sh");
        // A process group of its own, so that all of it can be ended.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Self(command.args(["-c", &eat]).stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
        self.0.wait().ok();
    }
}

#[test]
fn under_real_memory_pressure_buffers_shrink_before_the_limit_and_come_back_and_nothing_is_lost() {
    let group = match Group::new(256 << 20) {
        Ok(group) => group,
        Err(why) => return println!("SKIPPED: no control group can be made here: {why}"),
    };
    let dir = tempfile::tempdir().unwrap();
    let count = 1000;
    let sandbox = Sandbox::start(
        dir.path(),
        "symbols = 1000\nkeys = [\"k1\"]\nlatency = { kind = \"uniform\", min = \"5ms\", max = \"15ms\" }\nquota = []\n",
    );
    let (url, symbols) = (sandbox.url(), symbols(count));
    let more = "[collector]\nworkers = 4\n[tuning]\ninterval = \"100ms\"\n";
    let setup = Setup {
        base_url: &url,
        adapter: "alpha-vantage",
        keys: &["k1"],
        limit: None,
        symbols: &symbols,
        more,
        of_provider: "",
    };
    let config = setup.write(dir.path());
    let command = group.command(env!("CARGO_BIN_EXE_tidemill-collector"));
    let running = Served::start_as(command, dir.path(), &config, &[], &[]);
    let full = running.knob("buffer.rows.capacity");
    assert_eq!(full, f64::from(16 << 20));
    let percent = |running: &Served| {
        let signals = running.get("/api/v2/tuning")["signals"].clone();
        signals["memory.percent"]["value"].as_f64().unwrap_or(0.0)
    };
    running.until("it is measured in its group", |running| percent(running) > 1.0);
    let calm = percent(&running);
    println!("{calm:.1} % of the group without the hog");
    assert!(calm < 70.0, "room to come back to: {calm} %");

    // Eaten bit by bit up to nine tenths, so that the kernel has no reason to kill anybody.
    let mut hogs = Vec::new();
    let mut worst = calm;
    let begun = Instant::now();
    while percent(&running) < 87.0 {
        let before = percent(&running);
        let missing = (89.0 - before).max(1.0) / 2.0 + 1.0;
        hogs.push(Hog::new(&group, (missing / 100.0 * group.limit as f64) as u64));
        // Nothing more is eaten before this is seen: otherwise it would be too much.
        running.until("it has eaten", |running| percent(running) > before + 0.6 * missing);
        worst = percent(&running).max(worst);
        assert!(
            begun.elapsed() < Duration::from_secs(300) && hogs.len() < 40,
            "{worst} % with {} hogs",
            hogs.len()
        );
    }
    running.until("buffers shrink", |running| {
        worst = percent(running).max(worst);
        running.knob("buffer.rows.capacity") < full
    });
    let words = running.words();
    let of = |what: &str| words.iter().any(|words| words.contains(what));
    assert!(of("memory-high changed") && of("buffer.rows.capacity 16777216 -> 11744051"), "{words:?}");
    assert!(of("memory-high ran memory.release") && !of("cache."), "{words:?}");
    assert!(worst < 100.0, "before the limit: {worst} %");
    println!("{worst:.1} % at the most, with {} processes eating", hogs.len());

    drop(hogs);
    running.until("sizes come back", |running| running.knob("buffer.rows.capacity") == full);
    assert!(running.words().iter().any(|words| words.starts_with("memory-high is no longer needed")));
    running.until("the pass ends", |running| running.get("/health")["passes"] == 1);
    running.stop();
    let of_run = summary(&dir.path().join("summary.json"));
    assert_balanced(&of_run);
    assert_eq!((&of_run["failed"], &of_run["refused"]), (&json!(0), &json!(0)));
    assert_eq!(rows(&dir.path().join("data"), "us_daily").len(), 100 * count);
}
