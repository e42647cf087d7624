//! What others' caches cost, with a TTL and a weigher where they have them: moka, quick_cache (which has no TTL), foyer, and an LRU.

#[path = "cache/disk.rs"]
mod disk;

use std::error::Error;
use std::io::Write as _;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use tidemill_measure::keys;
use tidemill_measure::subject::{self, Subject};
use tidemill_measure::{Better, Clock, Rounds, Row, Samples, UnitKind};

const AREA: &str = "cache";
const MILLION: usize = 1_000_000;
const RESIDENT: &str = "--resident";

struct Moka(moka::sync::Cache<u64, u64>);
struct Quick(quick_cache::sync::Cache<u64, u64>);
struct Foyer(foyer::Cache<u64, u64>);
struct Lru(Mutex<lru::LruCache<u64, u64>>);

impl Subject for Moka {
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key)
    }
    fn put(&self, key: u64) {
        self.0.insert(key, key);
    }
}

impl Subject for Quick {
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key)
    }
    fn put(&self, key: u64) {
        self.0.insert(key, key);
    }
}

impl Subject for Foyer {
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key).map(|entry| *entry.value())
    }
    fn put(&self, key: u64) {
        self.0.insert(key, key);
    }
}

impl Subject for Lru {
    fn get(&self, key: u64) -> Option<u64> {
        self.0.lock().ok()?.get(&key).copied()
    }
    fn put(&self, key: u64) {
        if let Ok(mut cache) = self.0.lock() {
            cache.put(key, key);
        }
    }
}

fn moka(entries: usize) -> Moka {
    let builder = moka::sync::Cache::builder().max_capacity(entries as u64).weigher(|_, _| 1);
    Moka(builder.time_to_live(Duration::from_secs(3600)).build())
}

fn quick(entries: usize) -> Quick {
    Quick(quick_cache::sync::Cache::new(entries))
}

fn foyer(entries: usize) -> Foyer {
    Foyer(foyer::CacheBuilder::new(entries).with_weighter(|_, _| 1).build())
}

fn lru(entries: usize) -> Lru {
    Lru(Mutex::new(lru::LruCache::new(
        std::num::NonZeroUsize::new(entries).unwrap_or(std::num::NonZeroUsize::MIN),
    )))
}

fn made(name: &str, entries: usize) -> Box<dyn Subject> {
    match name {
        "moka" => Box::new(moka(entries)),
        "quick_cache" => Box::new(quick(entries)),
        "foyer" => Box::new(foyer(entries)),
        _ => Box::new(lru(entries)),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(name) = std::env::args().skip_while(|arg| arg != RESIDENT).nth(1) {
        let before = resident()?;
        let cache = made(&name, MILLION + MILLION / 10);
        (0..MILLION as u64).for_each(|key| cache.put(key));
        let here = (0..MILLION as u64).filter(|key| cache.get(*key).is_some()).count();
        writeln!(std::io::stdout(), "{}", (resident()? - before) as f64 / here as f64)?;
        return Ok(());
    }
    let rounds = Rounds::from_args(11);
    disk::run(rounds.count().min(5))?;
    if std::env::args().any(|arg| arg == "--below") {
        return Ok(());
    }
    for name in ["moka", "quick_cache", "foyer"] {
        let cache = made(name, 100_000);
        let row = |case: &str, unit: &str, kind, better| Row::new(AREA, case, unit, kind, better).rival(name);
        let hit = subject::hit_cpu(&rounds, cache.as_ref());
        row("hit with TTL, weight and statistics", "ns", UnitKind::Cpu, Better::Lower).theirs(&hit).emit()?;
        if name != "foyer" {
            let quantiles = subject::hit_quantiles(&rounds, cache.as_ref(), &[0.5, 0.99]);
            for (quantile, samples) in ["p50", "p99"].iter().zip(&quantiles) {
                let case = format!("hit, {quantile} with the timer");
                row(&case, "ns", UnitKind::Wall, Better::Lower).theirs(samples).emit()?;
            }
        }
        let mixed = subject::mixed(&rounds, made(name, 100_000).as_ref(), 2);
        row("95/5, Zipf 0.99, 2 threads", "Mops/CPU s", UnitKind::Cpu, Better::Higher)
            .theirs(&mixed)
            .emit()?;
        let bytes = (0..3).map(|_| -> Result<f64, Box<dyn Error>> {
            let output = Command::new(std::env::current_exe()?).args([RESIDENT, name]).output()?;
            Ok(String::from_utf8(output.stdout)?.trim().parse()?)
        });
        let bytes: Samples =
            bytes.collect::<Result<Vec<f64>, _>>()?.into_iter().map(|bytes| bytes - 16.0).collect();
        row("overhead an entry, u64 to u64, 1M", "B", UnitKind::Count, Better::Lower)
            .theirs(&bytes)
            .emit()?;
    }
    shrink(&rounds)?;
    ratios()
}

fn shrink(rounds: &Rounds) -> Result<(), Box<dyn Error>> {
    let (mut foyer_ms, mut quick_ms) = (Samples::new(), Samples::new());
    // Of the process, for foyer evicts on threads of its own.
    let cpu = Rounds::new(1).warm_up(0).clock(Clock::ProcessCpu);
    for _ in 0..rounds.count().min(7) {
        let (foyer, quick) = (foyer(MILLION), quick(MILLION));
        for key in 0..MILLION as u64 {
            foyer.put(key);
            quick.put(key);
        }
        let ns = cpu.single(1, || _ = foyer.0.resize(MILLION * 7 / 10));
        foyer_ms.push(ns.median().unwrap_or(f64::NAN) / 1e6);
        let ns = cpu.single(1, || quick.0.set_capacity(MILLION as u64 * 7 / 10));
        quick_ms.push(ns.median().unwrap_or(f64::NAN) / 1e6);
    }
    for (name, ms) in [("foyer", foyer_ms), ("quick_cache", quick_ms)] {
        let row = Row::new(AREA, "shrink of 1M entries by 30 %", "ms", UnitKind::Cpu, Better::Lower);
        row.rival(name).theirs(&ms).emit()?;
    }
    Ok(())
}

fn ratios() -> Result<(), Box<dyn Error>> {
    for (name, keys) in keys::traces()? {
        let mut unique = keys.clone();
        unique.sort_unstable();
        unique.dedup();
        for percent in [1, 5, 10] {
            let entries = unique.len() * percent / 100;
            if entries < 1000 {
                continue;
            }
            for rival in ["moka", "quick_cache", "foyer", "LRU"] {
                let ratio: Samples =
                    [subject::hit_ratio(made(rival, entries).as_ref(), &keys)].into_iter().collect();
                let case = format!("hit ratio, {name}, {percent} % of its keys");
                Row::new(AREA, &case, "%", UnitKind::Count, Better::Higher)
                    .theirs(&ratio)
                    .rival(rival)
                    .emit()?;
            }
        }
    }
    Ok(())
}

fn resident() -> std::io::Result<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let pages = pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    Ok(pages.unwrap_or(0) * 4096)
}
