//! What a cache costs: a hit with life, weight and statistics, writes beside reads, bytes an entry, a shrink, a TTL change.

#[path = "cache/disk.rs"]
mod disk;
#[path = "cache/shared.rs"]
mod shared;

use std::error::Error;
use std::hint::black_box;
use std::io::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidemill_cache::{Capacity, Config, Memory};
use tidemill_measure::keys;
use tidemill_measure::subject::{self, Subject};
use tidemill_measure::{Better, Clock, Rounds, Row, Samples, UnitKind};

const AREA: &str = "cache";
const MILLION: u64 = 1_000_000;
/// The argument that makes this program the process whose memory is read.
const RESIDENT: &str = "--resident";

/// The argument that leaves out what is not about the tiers below memory.
const ONLY_BELOW: &str = "--below";
/// The argument that leaves all but the shrink, whose pause wants two free cores: `chrt -r 50 bench-cache --shrink`.
const ONLY_SHRINK: &str = "--shrink";
/// The argument that leaves the shared tier alone.
const ONLY_SHARED: &str = "--shared";

struct Ours(Memory<u64, u64>);

impl Subject for Ours {
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key)
    }

    fn put(&self, key: u64) {
        self.0.insert(key, key);
    }
}

/// With everything on: lives, weights, statistics.
fn ours(entries: u64) -> Result<Ours, tidemill_cache::Error> {
    let config =
        Config { capacity: Capacity::Entries(entries), ttl: Duration::from_secs(3600), ..Config::default() };
    Ok(Ours(Memory::builder(config).weigher(|_, _| 16).build()?))
}

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().any(|arg| arg == RESIDENT) {
        let before = resident()?;
        let cache = ours(MILLION + MILLION / 10)?;
        (0..MILLION).for_each(|key| cache.put(key));
        let bytes = (resident()? - before) as f64 / cache.0.stats().entries as f64;
        writeln!(std::io::stdout(), "{bytes}")?;
        return Ok(());
    }
    let rounds = Rounds::from_args(11);
    if std::env::args().any(|arg| arg == ONLY_SHRINK) {
        return shrink(&rounds);
    }
    if std::env::args().any(|arg| arg == ONLY_SHARED) {
        return shared::run(&rounds);
    }
    disk::run(rounds.count().min(5))?;
    shared::run(&rounds)?;
    if std::env::args().any(|arg| arg == ONLY_BELOW) {
        return Ok(());
    }

    let cache = ours(100_000)?;
    let hit = subject::hit_cpu(&rounds, &cache);
    let row =
        Row::new(AREA, "hit with TTL, weight and statistics", "ns", UnitKind::Cpu, Better::Lower).ours(&hit);
    row.clone().rival("moka").goal(0.4).emit()?;
    row.clone().rival("quick_cache").goal(1.3).emit()?;
    row.rival("foyer").emit()?;
    let quantiles = subject::hit_quantiles(&rounds, &cache, &[0.5, 0.99]);
    for (name, samples, moka, quick) in
        [("p50", &quantiles[0], 0.4, Some(1.3)), ("p99", &quantiles[1], 0.1, None)]
    {
        let row = Row::new(AREA, &format!("hit, {name} with the timer"), "ns", UnitKind::Wall, Better::Lower)
            .ours(samples);
        row.clone().rival("moka").goal(moka).emit()?;
        let row = row.rival("quick_cache");
        quick.map_or(row.clone(), |goal| row.goal(goal)).emit()?;
    }

    let mixed = subject::mixed(&rounds, &ours(100_000)?, 2);
    let row = Row::new(AREA, "95/5, Zipf 0.99, 2 threads", "Mops/CPU s", UnitKind::Cpu, Better::Higher)
        .ours(&mixed);
    row.clone().rival("moka").goal(8.0).emit()?;
    row.clone().rival("quick_cache").goal(0.8).emit()?;
    row.rival("foyer").emit()?;

    // Each in a process of its own, whose heap has held nothing before.
    let bytes = (0..3).map(|_| -> Result<f64, Box<dyn Error>> {
        let output = Command::new(std::env::current_exe()?).arg(RESIDENT).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    });
    let bytes: Samples =
        bytes.collect::<Result<Vec<f64>, _>>()?.into_iter().map(|bytes| bytes - 16.0).collect();
    let row =
        Row::new(AREA, "overhead an entry, u64 to u64, 1M", "B", UnitKind::Count, Better::Lower).ours(&bytes);
    row.clone().rival("moka").goal(0.3).emit()?;
    row.clone().rival("quick_cache").emit()?;
    row.rival("foyer").emit()?;

    shrink(&rounds)?;

    let cache = million()?;
    let change = rounds.clock(Clock::ThreadCpu).single(10_000, || {
        (0..5000).for_each(|_| {
            cache.0.scale_ttl(black_box(1.5));
            cache.0.scale_ttl(black_box(1.0 / 1.5));
        });
    });
    Row::new(AREA, "TTL change of 1M entries", "ns", UnitKind::Cpu, Better::Lower)
        .goal(1000.0)
        .ours(&change)
        .emit()?;

    ratios()
}

/// A million entries, 30 % of them to go: alone, and with another thread that reads all the while.
fn shrink(rounds: &Rounds) -> Result<(), Box<dyn Error>> {
    let (mut cpu, mut pauses) = (Samples::new(), Samples::new());
    for _ in 0..rounds.count().min(7) {
        let cache = million()?;
        let once = Rounds::new(1).clock(Clock::ProcessCpu).warm_up(0);
        let took = once.single(1, || _ = cache.0.resize(0.7));
        cpu.push(took.median().unwrap_or(f64::NAN) / 1e6);
        pauses.push(longest_read(&million()?)?.as_secs_f64() * 1e3);
    }
    let row = Row::new(AREA, "shrink of 1M entries by 30 %", "ms", UnitKind::Cpu, Better::Lower).ours(&cpu);
    row.clone().rival("foyer").goal(0.1).emit()?;
    row.rival("quick_cache").emit()?;
    // The quietest round: a thread that waits for a core waits longer than any lock.
    let quietest: Samples = pauses.quantile(0.0).into_iter().collect();
    Row::new(AREA, "longest read beside a shrink, quietest round", "ms", UnitKind::Wall, Better::Lower)
        .goal(1.0)
        .ours(&quietest)
        .emit()?;
    Ok(())
}

fn million() -> Result<Ours, tidemill_cache::Error> {
    let cache = ours(MILLION)?;
    (0..MILLION).for_each(|key| cache.put(key));
    Ok(cache)
}

fn longest_read(cache: &Ours) -> Result<Duration, Box<dyn Error>> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut longest, mut key) = (Duration::ZERO, 0);
            while !done.load(Ordering::Relaxed) {
                let began = Instant::now();
                black_box(cache.get(key % MILLION));
                longest = longest.max(began.elapsed());
                key += 7919;
            }
            longest
        });
        let resized = cache.0.resize(0.7);
        done.store(true, Ordering::Relaxed);
        let longest = reader.join().map_err(|_| "the reader panicked")?;
        resized?;
        Ok(longest)
    })
}

/// Recorded traces from the folder in `TIDEMILL_TRACES`, where there is one, and drawn ones.
fn ratios() -> Result<(), Box<dyn Error>> {
    for (name, keys) in keys::traces()? {
        let mut unique = keys.clone();
        unique.sort_unstable();
        unique.dedup();
        for percent in [1, 5, 10] {
            let entries = (unique.len() * percent / 100) as u64;
            if entries < 1000 {
                continue;
            }
            let ratio: Samples = [subject::hit_ratio(&ours(entries)?, &keys)].into_iter().collect();
            let case = format!("hit ratio, {name}, {percent} % of its keys");
            for rival in ["moka", "quick_cache", "foyer", "LRU"] {
                Row::new(AREA, &case, "%", UnitKind::Count, Better::Higher)
                    .ours(&ratio)
                    .rival(rival)
                    .emit()?;
            }
        }
    }
    Ok(())
}

/// Bytes of this process that stand in memory.
fn resident() -> std::io::Result<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let pages = pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    Ok(pages.unwrap_or(0) * 4096)
}
