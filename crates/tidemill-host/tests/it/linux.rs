//! Linux: against `sysinfo`, `df`, `vmstat` and against what the test itself does.

use std::fs::File;
use std::hint::black_box;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, System};
use tidemill_host::{Config, Host};

fn near(ours: f64, theirs: f64, within: f64, what: &str) {
    assert!((ours - theirs).abs() <= within, "{what}: {ours}, independently {theirs}");
}

#[test]
fn memory_agrees_with_sysinfo() {
    let mut host = Host::new().unwrap();
    let mut other = System::new().unwrap();
    other.refresh_memory_specifics(MemoryRefreshKind::everything());
    let sample = host.sample(Duration::ZERO).unwrap();
    let memory = &sample.memory;
    assert_eq!(memory.total_bytes, Some(other.total_memory()));
    assert_eq!(memory.swap_total_bytes, Some(other.total_swap()));
    let total = other.total_memory() as f64;
    // Others use memory between the two looks.
    near(memory.available_bytes.unwrap() as f64, other.available_memory() as f64, 0.05 * total, "available");
    let load = System::load_average().unwrap();
    near(sample.cpu.load.unwrap()[1], load.five, 0.5, "load over 5 minutes");
}

/// Tests that take a lot of memory, one at a time: each looks at what the process has.
static LARGE: Mutex<()> = Mutex::new(());

#[test]
fn this_process_agrees_with_what_it_does() {
    let _alone = LARGE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut host = Host::new().unwrap();
    let before = host.sample(Duration::ZERO).unwrap().process;
    let ballast = black_box(vec![1_u8; 64 << 20]);
    let files: Vec<File> = (0..20).map(|_| File::open("/proc/self/stat").unwrap()).collect();
    let (stop, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || wait.recv());
    let (work, start) = (Duration::from_millis(300), Instant::now());
    let mut other = System::new().unwrap();
    let pid = sysinfo::get_current_pid().unwrap();
    let mut x = 1_u64;
    while start.elapsed() < work {
        x = black_box(x.wrapping_mul(3));
    }
    let after = host.sample(start.elapsed()).unwrap().process;
    other.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[pid]),
        false,
        ProcessRefreshKind::nothing().with_cpu().with_memory(),
    );
    let theirs = other.process(pid).unwrap();
    let megabyte = f64::from(1 << 20);
    let rss = after.rss_bytes.unwrap() as f64;
    near(rss, theirs.memory() as f64, 16.0 * megabyte, "resident bytes");
    // Other tests of this process free and take memory meanwhile, but not 60 MB.
    assert!(rss - before.rss_bytes.unwrap() as f64 > 40.0 * megabyte);
    assert!(after.peak_rss_bytes >= after.rss_bytes.map(|rss| rss / 2), "{after:?}");
    near(after.cpu_seconds.unwrap(), theirs.accumulated_cpu_time() as f64 / 1000.0, 0.5, "processor seconds");
    assert!(after.cpu_seconds.unwrap() > before.cpu_seconds.unwrap());
    // Tests next to this one open and close some hundred.
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as f64;
    near(after.open_files.unwrap() as f64, open, 500.0, "open files");
    assert!(after.open_files.unwrap() >= 20, "those of this test");
    let threads = std::fs::read_dir("/proc/self/task").unwrap().count() as f64;
    // Tests next to this one may just have begun or ended.
    near(after.threads.unwrap() as f64, threads, 4.0, "threads");
    assert!(after.threads.unwrap() >= 2, "the one that waits and this one");
    drop((ballast, files, stop));
    thread.join().unwrap().unwrap_err();
}

#[test]
fn processor_and_switches_agree_with_vmstat() {
    let Ok(output) = Command::new("vmstat").args(["-s"]).output() else {
        // Without it the parsers' own tests have to do.
        return;
    };
    let reading = Host::new().unwrap().read();
    let text = String::from_utf8(output.stdout).unwrap();
    let field = |name: &str| -> f64 {
        let line =
            text.lines().find(|line| line.trim_end().ends_with(name)).unwrap_or_else(|| panic!("{name}"));
        line.split_ascii_whitespace().next().unwrap().parse().unwrap()
    };
    let cpu = reading.cpu.unwrap();
    let cores = reading.cores.len() as f64;
    // Two looks at most two seconds apart, 100 ticks a core and second.
    near(cpu.idle as f64, field(" idle cpu ticks"), 200.0 * cores, "idle ticks");
    near(cpu.wait as f64, field(" IO-wait cpu ticks"), 200.0 * cores, "wait ticks");
    let switches = reading.context_switches.unwrap() as f64;
    assert!(switches >= field(" CPU context switches"));
    near(switches, field(" CPU context switches"), 2e6, "context switches");
    let total = field(" K total memory") * 1024.0;
    near(reading.memory.unwrap().total as f64, total, 0.0, "memory");
}

#[test]
fn file_systems_agree_with_df() {
    let sample = Host::new().unwrap().sample(Duration::ZERO).unwrap();
    assert!(!sample.mounts.is_empty());
    for mount in &sample.mounts {
        assert!(!["/dev", "/proc", "/sys"].iter().any(|own| mount.path.starts_with(own)), "{mount:?}");
        let output = Command::new("df")
            .args(["--block-size=1", "--output=size,avail,pcent"])
            .arg(&mount.path)
            .output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        let words: Vec<&str> = text.lines().nth(1).unwrap().split_ascii_whitespace().collect();
        assert_eq!(words[0].parse::<u64>().unwrap(), mount.total_bytes, "{mount:?}");
        let total = mount.total_bytes as f64;
        near(mount.available_bytes as f64, words[1].parse().unwrap(), 0.05 * total, "available");
        // df rounds up.
        near(mount.percent, words[2].trim_end_matches('%').parse().unwrap(), 6.0, "fullness");
    }
}

#[test]
fn a_busy_machine_is_seen() {
    let mut host = Host::builder(Config { mounts: false, ..Config::default() }).build().unwrap();
    let start = Instant::now();
    host.sample(start.elapsed()).unwrap();
    let mut x = 1_u64;
    while start.elapsed() < Duration::from_millis(400) {
        x = black_box(x.wrapping_mul(3));
    }
    let sample = host.sample(start.elapsed()).unwrap();
    let cores = std::thread::available_parallelism().unwrap().get() as f64;
    let percent = sample.cpu.percent.unwrap();
    // However loaded it is, somebody used at least most of one core.
    assert!(percent > 60.0 / cores.max(sample.cpu.per_core.len() as f64), "{percent}");
    assert!(percent <= 100.0);
    assert!(sample.cpu.per_core.iter().all(|core| (0.0..=100.0).contains(core)));
    let mean = sample.cpu.per_core.iter().sum::<f64>() / sample.cpu.per_core.len() as f64;
    near(mean, percent, 10.0, "the mean of the cores");
    let used = sample.process.cpu_percent.unwrap();
    assert!(used > 5.0, "this process alone worked: {used}");
    assert!(sample.disk.wait_percent.is_some_and(|wait| (0.0..=100.0).contains(&wait)));
    assert!(sample.cpu.context_switches_per_second.is_some());
    assert!(sample.network.received_bytes_per_second.is_some());
    assert!(sample.mounts.is_empty());
}

#[test]
fn a_listening_socket_is_counted() {
    let mut host = Host::new().unwrap();
    let listeners: Vec<_> = (0..50).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let with = host.read().connections.unwrap();
    assert!(with >= 50, "{with}");
    drop(listeners);
}

#[cfg(target_env = "gnu")]
#[test]
fn freed_memory_is_given_back() {
    let _alone = LARGE.lock().unwrap_or_else(PoisonError::into_inner);
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    // Pieces too small for pages of their own; one at the end keeps the heap from shrinking by itself.
    let mut pieces: Vec<Vec<u8>> = (0..40_000).map(|_| vec![1; 2048]).collect();
    let last = pieces.pop();
    drop(pieces);
    let before = resident();
    let gave = tidemill_host::release_memory();
    let after = resident();
    assert!(gave && after + (40 << 20) < before, "{before} bytes before, {after} after");
    drop(last);
}
