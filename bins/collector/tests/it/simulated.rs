//! A scripted collection on a simulated disk that stops at every call: whatever of the un-synced writes survives, every
//! acknowledged symbol has its rows and its ledger entry, the two never disagree, and only the rest is asked for again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidemill_collector::config::Dataset as Wanted;
use tidemill_collector::dataset::Dataset;
use tidemill_collector::ledger::{self, Answered, Entry, Ledger};
use tidemill_collector::{collector, http, plan, rows, work};
use tidemill_market::{Adapter, Answer, Ask, Checks, Format};
use tidemill_storage::arrow::arrow_array::cast::AsArray as _;
use tidemill_storage::journal::sim::{Keep, SimDisk};
use tidemill_storage::{Changes, Compression, Config, Scan, Store};

const ROOT: &str = "/srv/deep/data";
const SYMBOLS: usize = 12;
/// Sound bars of a symbol, in two years; enough that the journal begins new segments.
const GOOD: usize = 25;

/// What every life of the collector knows.
struct Script {
    datasets: Vec<Arc<Dataset>>,
    now: SystemTime,
}

impl Script {
    fn new() -> Self {
        let symbols = (0..SYMBOLS).map(|n| format!("S{n:02}")).collect();
        let wanted =
            Wanted { name: "us_daily".into(), symbols, calendar: "none".into(), ..Wanted::default() };
        let dataset = Dataset::build(&wanted, 0, Path::new("."), &http::Config::default()).unwrap();
        Self { datasets: vec![Arc::new(dataset)], now: UNIX_EPOCH + Duration::from_secs(1_700_000_000) }
    }

    fn dataset(&self) -> &Dataset {
        &self.datasets[0]
    }

    /// What the provider says of a symbol: two years of bars, one of them broken.
    fn answer(&self, symbol: usize) -> String {
        let day = |date: &str, high: &str| {
            format!(
                "\"{date}\": {{\"1. open\": \"10.0\", \"2. high\": \"{high}\", \"3. low\": \"9.0\", \"4. close\": \"1{symbol}.5\", \"5. volume\": \"{symbol}00\"}}"
            )
        };
        let good = (1..=GOOD - 1).map(|n| day(&format!("2020-12-{n:02}"), "200"));
        let days: Vec<String> = good.chain([day("2021-01-04", "200"), day("2021-01-05", "1")]).collect();
        format!(
            "{{\"Meta Data\": {{\"2. Symbol\": \"S{symbol:02}\"}}, \"Time Series (Daily)\": {{{}}}}}",
            days.join(", ")
        )
    }

    fn changes(&self, symbol: usize) -> Changes {
        let name = &self.dataset().symbols[symbol];
        let body = self.answer(symbol);
        let answer = Answer { status: 200, content_type: None, body: body.as_bytes() };
        let reading =
            Adapter::alpha_vantage(Format::Json).read(&Ask::daily(name), answer, &Checks::new(self.now));
        assert_eq!((reading.received as usize, reading.quarantined.len()), (GOOD + 1, 1), "{reading:?}");
        let entry = Entry {
            answered: Answered::Rows,
            at: self.now,
            received: GOOD as u64 + 1,
            accepted: GOOD as u64,
            quarantined: 1,
            duplicate: 0,
            last_ts_ns: reading.bars.ts_ns.last().copied(),
        };
        work::changes(self.dataset(), name, &entry, reading.bars, &reading.quarantined).unwrap()
    }

    fn open(&self, disk: &SimDisk) -> Result<Store, tidemill_storage::Error> {
        let config = Config {
            compression: Compression::None,
            reader_grace: Duration::ZERO,
            journal: tidemill_storage::journal::Config { segment_bytes: 4096, ..Default::default() },
            ..Config::default()
        };
        collector::store_of(&self.datasets, config).disk(Arc::new(disk.clone())).open(Path::new(ROOT))
    }

    /// A run that is drained after half of the symbols, and a second one. Returns the symbols acknowledged.
    fn history(&self, disk: &SimDisk) -> Vec<usize> {
        let mut kept = self.live(disk, SYMBOLS / 2);
        kept.extend(self.live(disk, SYMBOLS));
        kept
    }

    /// One life: what is due is answered three at a time under one fsync, and published now and then. Returns the symbols
    /// acknowledged; ends early when the disk stops.
    fn live(&self, disk: &SimDisk, most: usize) -> Vec<usize> {
        let mut kept = Vec::new();
        let Ok(store) = self.open(disk) else { return kept };
        let Ok(ledger) = Ledger::load(store.scan(ledger::TABLE, &Scan::new())) else { return kept };
        let due = plan::due(&[self.dataset().wanted()], &ledger, self.now);
        for (n, group) in due.items[..most.min(due.items.len())].chunks(3).enumerate() {
            if store.commit_group(group.iter().map(|item| self.changes(item.symbol)).collect()).is_err() {
                return kept;
            }
            kept.extend(group.iter().map(|item| item.symbol));
            if n % 2 == 1 && store.publish().is_err() {
                return kept;
            }
        }
        drop(store.close());
        kept
    }

    /// What a collector that starts on this disk finds, against what was acknowledged.
    fn check(&self, disk: &SimDisk, kept: &[usize]) -> Result<(), String> {
        let store = self.open(disk).map_err(|error| format!("cannot open: {error}"))?;
        let ledger =
            Ledger::load(store.scan(ledger::TABLE, &Scan::new())).map_err(|error| format!("{error:#}"))?;
        let [bars, quarantined] = ["us_daily", rows::QUARANTINE].map(|table| count(&store, table));
        let (bars, quarantined) = (bars?, quarantined?);
        for (n, symbol) in self.dataset().symbols.iter().enumerate() {
            let found = (
                ledger.get("us_daily", symbol).is_some(),
                count_of(&bars, symbol),
                count_of(&quarantined, symbol),
            );
            match found {
                (true, GOOD, 1) => {}
                (false, 0, 0) if !kept.contains(&n) => {}
                _ => {
                    return Err(format!(
                        "{symbol}, acknowledged {}: (entry, rows, quarantined) = {found:?}",
                        kept.contains(&n)
                    ));
                }
            }
        }
        let due = plan::due(&[self.dataset().wanted()], &ledger, self.now);
        match due.items.iter().find(|item| kept.contains(&item.symbol)) {
            Some(item) => Err(format!("{} would be asked for again", self.dataset().symbols[item.symbol])),
            None => Ok(()),
        }
    }

    /// The first crash point after which a promise is broken.
    fn first_failure(&self, ignored: Option<&'static str>, seeds: u64) -> Option<String> {
        let calls = {
            let disk = SimDisk::new();
            assert_eq!(self.history(&disk).len(), SYMBOLS);
            disk.calls()
        };
        // An order that jumps about notices a missing sync soon; 127 is prime, so that every residue comes up once.
        assert_ne!(calls % 127, 0);
        let points = (0..calls).map(|n| n * 127 % calls + 1).chain([calls + 1]);
        points.map(|at| self.crash_at(at, ignored, seeds)).find_map(Result::err)
    }

    fn crash_at(&self, at: u64, ignored: Option<&'static str>, seeds: u64) -> Result<(), String> {
        let disk = SimDisk::new();
        if let Some(site) = ignored {
            disk.ignore_site(site);
        }
        disk.crash_at(at);
        let kept = self.history(&disk);
        for keep in [Keep::Nothing, Keep::Everything].into_iter().chain((1..=seeds).map(Keep::Random)) {
            let after = disk.crash(keep);
            self.check(&after, &kept).map_err(|broken| format!("call {at}, {keep:?}: {broken}"))?;
        }
        // A process is killed there; the next one sees all it did, durable or not, and builds upon it. Then the power fails:
        // when it has only begun, and when it has finished.
        let second = disk.kill();
        let store = self.open(&second).map_err(|error| format!("call {at}, killed: {error}"))?;
        let ledger =
            Ledger::load(store.scan(ledger::TABLE, &Scan::new())).map_err(|error| format!("{error:#}"))?;
        let due = plan::due(&[self.dataset().wanted()], &ledger, self.now);
        let begun: Vec<usize> =
            (0..SYMBOLS).filter(|n| due.items.iter().all(|item| item.symbol != *n)).collect();
        for keep in [Keep::Nothing, Keep::Random(at)] {
            self.check(&second.crash(keep), &begun)
                .map_err(|broken| format!("call {at}, killed, begun, {keep:?}: {broken}"))?;
        }
        drop(store);
        let finished = [begun, self.live(&second, SYMBOLS)].concat();
        if finished.len() != SYMBOLS {
            return Err(format!("call {at}: the next life left {} symbols", SYMBOLS - finished.len()));
        }
        for keep in [Keep::Nothing, Keep::Random(at)] {
            self.check(&second.crash(keep), &finished)
                .map_err(|broken| format!("call {at}, killed, finished, {keep:?}: {broken}"))?;
        }
        Ok(())
    }
}

type Counts = BTreeMap<String, usize>;

fn count_of(counts: &Counts, symbol: &str) -> usize {
    counts.get(symbol).copied().unwrap_or(0)
}

fn count(store: &Store, table: &str) -> Result<Counts, String> {
    let mut counts = Counts::new();
    for batch in store.scan(table, &Scan::new()).map_err(|error| error.to_string())? {
        let batch = batch.map_err(|error| error.to_string())?;
        let symbols = batch.column_by_name("symbol").ok_or("no symbols")?.as_string::<i32>().clone();
        symbols.iter().flatten().for_each(|symbol| *counts.entry(symbol.to_owned()).or_default() += 1);
    }
    Ok(counts)
}

#[test]
fn a_collection_that_stops_at_any_call_of_the_disk_keeps_what_it_acknowledged() {
    assert_eq!(Script::new().first_failure(None, 3), None);
}

#[test]
fn each_sync_of_a_collection_that_is_switched_off_is_noticed() {
    let script = Script::new();
    let disk = SimDisk::new();
    script.history(&disk);
    let sites: Vec<_> = disk.sites().into_keys().collect();
    assert!(sites.len() >= 10, "{sites:?}");
    let unnoticed: Vec<_> =
        sites.into_iter().filter(|site| script.first_failure(Some(site), 6).is_none()).collect();
    assert!(unnoticed.is_empty(), "nothing noticed that these are off: {unnoticed:?}");
}
