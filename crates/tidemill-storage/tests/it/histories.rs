//! Random histories stopped at disk calls: what is found afterwards is exactly what was acknowledged, with or without the
//! commit that was under way.

use std::{path::Path, sync::Arc};

use tidemill_journal::sim::{Keep, SimDisk};
use tidemill_storage::{Changes, Compression, Config, Scan, Store, verify_on};

use crate::{Rows, bars, bars_of, collect, ledger, ledger_row};

const ROOT: &str = "/data/store";

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

type Row = (String, i64, f64, Option<i64>);

#[derive(Clone, Debug)]
enum Step {
    /// Batches that are committed as one group.
    Commit(Vec<Vec<Row>>),
    Publish,
    Reopen,
}

#[derive(Clone, Debug)]
struct History {
    steps: Vec<Step>,
    split_bytes: u64,
    row_group_rows: usize,
}

impl History {
    /// A few commits, publishes and reopens; keys, values and folders collide often.
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let days = [-1, 0, 364, 365, 19_000, 19_001, 19_002];
        let row = |random: &mut Random| {
            let symbol = ["A", "B", "BB", ""][random.below(4) as usize].to_owned();
            let volume = (random.below(2) == 0).then(|| random.below(3) as i64);
            (symbol, days[random.below(7) as usize], random.below(3) as f64, volume)
        };
        let batch = |random: &mut Random| (0..1 + random.below(6)).map(|_| row(random)).collect();
        let step = |random: &mut Random| match random.below(8) {
            0..=4 => Step::Commit((0..1 + random.below(2)).map(|_| batch(random)).collect()),
            5 | 6 => Step::Publish,
            _ => Step::Reopen,
        };
        let steps = (0..2 + random.below(6)).map(|_| step(&mut random)).collect();
        let split_bytes = [1024, 256 << 20][random.below(2) as usize];
        Self { steps, split_bytes, row_group_rows: 1 + random.below(5) as usize }
    }

    fn open(&self, disk: &SimDisk) -> Result<Store, tidemill_storage::Error> {
        let config = Config {
            split_bytes: self.split_bytes,
            row_group_rows: self.row_group_rows,
            compression: Compression::None,
            reader_grace: std::time::Duration::ZERO,
            journal: tidemill_journal::Config { segment_bytes: 4096, ..Default::default() },
            ..Config::default()
        };
        Store::builder(config)
            .table(bars())
            .table(ledger())
            .disk(Arc::new(disk.clone()))
            .open(Path::new(ROOT))
    }

    /// Runs until the disk stops; what was acknowledged before and after the commit under way, which are the same without one.
    fn run(&self, disk: &SimDisk) -> (Rows, Rows) {
        let mut known = Rows::new();
        let Ok(mut store) = self.open(disk) else { return (known.clone(), known) };
        for step in &self.steps {
            let done = match step {
                Step::Commit(batches) => {
                    let mut next = known.clone();
                    let rows = batches.iter().flatten().cloned();
                    next.extend(
                        rows.map(|(symbol, day, close, volume)| ((symbol, day), (close.to_bits(), volume))),
                    );
                    let changes = |batch: &Vec<Row>| {
                        Changes::new()
                            .upsert("us_daily", bars_of(batch.clone()))
                            .upsert("ledger", ledger_row("all", next.len() as i64))
                    };
                    if store.commit_group(batches.iter().map(changes).collect()).is_err() {
                        return (known, next);
                    }
                    known = next;
                    true
                }
                Step::Publish => store.publish().is_ok(),
                Step::Reopen => {
                    let closed = store.close().is_ok();
                    drop(store);
                    match self.open(disk) {
                        Ok(again) => store = again,
                        Err(_) => return (known.clone(), known),
                    }
                    closed
                }
            };
            if !done {
                return (known.clone(), known);
            }
        }
        (known.clone(), known)
    }

    /// Opens what a crash left, reads it in memory and published, goes on, and crashes again.
    fn check(&self, disk: &SimDisk, before: &Rows, after: &Rows) -> Result<(), String> {
        let store = self.open(disk).map_err(|error| format!("cannot open: {error}"))?;
        let read = |store: &Store| {
            let scan = store.scan("us_daily", &Scan::new()).map_err(|error| error.to_string())?;
            let batches: Vec<_> = scan.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
            match collect(batches.into_iter().map(Ok::<_, ()>)) {
                (rows, 0) => Ok(rows),
                (_, doubled) => Err(format!("{doubled} rows are doubled")),
            }
        };
        let mut found = read(&store)?;
        if found != *before && found != *after {
            return Err(format!("found {found:?}\nacknowledged {before:?}\nunder way {after:?}"));
        }
        store
            .commit(Changes::new().upsert("us_daily", bars_of([("Z".into(), 1, 9.0, None)])))
            .map_err(|e| e.to_string())?;
        found.insert(("Z".into(), 1), (9.0f64.to_bits(), None));
        store.publish().map_err(|error| format!("cannot publish: {error}"))?;
        if read(&store)? != found {
            return Err("publishing changed what is read".into());
        }
        drop(store);
        let again = disk.crash(Keep::Nothing);
        let report = verify_on(&again, Path::new(ROOT)).map_err(|error| error.to_string())?;
        if !report.is_sound() {
            return Err(format!("{report:?}"));
        }
        let store = self.open(&again).map_err(|error| format!("cannot open again: {error}"))?;
        if read(&store)? == found { Ok(()) } else { Err("a second crash lost rows".into()) }
    }

    fn calls(&self) -> u64 {
        let disk = SimDisk::new();
        self.run(&disk);
        disk.calls()
    }

    fn crash_at(&self, at: u64, keeps: &[Keep], ignored: Option<&'static str>) -> Result<(), String> {
        let disk = SimDisk::new();
        ignored.into_iter().for_each(|site| disk.ignore_site(site));
        disk.crash_at(at);
        let (before, after) = self.run(&disk);
        for keep in keeps {
            self.check(&disk.crash(*keep), &before, &after)
                .map_err(|broken| format!("call {at}, {keep:?}, {self:?}: {broken}"))?;
        }
        Ok(())
    }
}

/// Normally a few histories, each stopped at some calls; with `TIDEMILL_TEST_FULL` ten thousand, each at every call.
#[test]
fn random_histories_stopped_at_any_call_keep_what_was_acknowledged() {
    let every = crate::rounds(0, 1) == 1;
    let mut points = 0;
    for seed in 0..crate::rounds(80, 10_000) as u64 {
        let history = History::new(seed);
        let calls = history.calls();
        let step = if every { 1 } else { calls / 3 + 1 };
        for at in (1 + seed % step..=calls + 1).step_by(step as usize) {
            let keep = [Keep::Nothing, Keep::Everything][(seed ^ at) as usize % 2];
            history.crash_at(at, &[keep, Keep::Random(seed << 8 | at)], None).unwrap();
            points += 1;
        }
    }
    assert!(points > 200, "{points} crash points");
}

/// The control: without the sync of a frame, or of the manifest, the same histories break the promise.
#[test]
fn random_histories_notice_a_sync_that_is_switched_off() {
    for site in ["journal.frame", "storage.file", "storage.snapshot-name", "storage.manifest"] {
        let broken = (0..400).find_map(|seed| {
            let history = History::new(seed);
            let calls = history.calls();
            let mut points = (1..=calls + 1).rev().step_by(calls as usize / 8 + 1);
            points.find_map(|at| history.crash_at(at, &[Keep::Nothing, Keep::Random(at)], Some(site)).err())
        });
        assert!(broken.is_some(), "{site} may be left out unnoticed");
    }
}
