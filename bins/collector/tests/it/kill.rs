//! `kill -9` at random points of a collection: nothing acknowledged is lost, doubled or asked for again, and the keys'
//! past is not forgotten. `TIDEMILL_TEST_KILLS` says how often; 30 by default.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use tidemill_collector::config::Dataset;
use tidemill_collector::ledger::{self, Ledger};
use tidemill_collector::rows;
use tidemill_storage::Store;

use crate::program::{self, Sandbox, Setup, assert_balanced, collector, output, said, summary, symbols};

/// As strict as a server can be: a log that counts refusals too.
const STRICT: &str = "quota = [{ model = \"penalising-log\", requests = 30, per = \"1s\" }]\n\
                      latency = { kind = \"uniform\", min = \"5ms\", max = \"40ms\" }\n";

struct Rig {
    dir: tempfile::TempDir,
    sandbox: Sandbox,
    symbols: Vec<String>,
}

impl Rig {
    fn new(count: usize, quota: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::start(dir.path(), &format!("symbols = {count}\n{quota}"));
        Self { dir, sandbox, symbols: symbols(count) }
    }

    fn args(&self, data: &Path) -> Vec<String> {
        let setup = Setup {
            base_url: &self.sandbox.url(),
            adapter: "alpha-vantage",
            keys: &["k1", "k2", "k3", "k4"],
            limit: Some((30, "1s", "sliding-log")),
            symbols: &self.symbols,
            more: "[collector]\npublish_every = \"300ms\"\n[http]\ntotal_timeout = \"2s\"\n",
            of_provider: "",
        };
        let config = setup.write(self.dir.path());
        let out = self.dir.path().join("summary.json");
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let words =
            ["run", "--once", "--config", &text(&config), "--data", &text(data), "--summary", &text(&out)];
        words.map(str::to_owned).to_vec()
    }

    /// Starts a run and kills it after `life`; true when it had ended by itself before.
    fn live(&self, data: &Path, life: Duration) -> bool {
        let mut child =
            collector(self.args(data)).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < life {
            if child.try_wait().unwrap().is_some() {
                return true;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        false
    }
}

/// What the store had acknowledged at a kill: recovered by opening it, as the next run does.
fn acknowledged(data: &Path) -> HashMap<String, SystemTime> {
    if !data.exists() {
        return HashMap::new();
    }
    let dataset = Dataset { name: "us_daily".into(), ..Dataset::default() };
    let tables = [ledger::table(), rows::quarantine_table(), rows::bars_table(&dataset, true)];
    let builder = Store::builder(tidemill_storage::Config::default());
    let store = tables.into_iter().fold(builder, |builder, table| builder.table(table)).open(data).unwrap();
    let ledger = Ledger::load(store.scan(ledger::TABLE, &tidemill_storage::Scan::new())).unwrap();
    let entries = ledger.of("us_daily").map(|(symbol, entry)| (symbol.to_owned(), entry.at)).collect();
    store.close().unwrap();
    entries
}

/// Uniform in 0..1 from a seed and a position (splitmix64).
fn random(seed: u64, n: u64) -> f64 {
    let mut z = seed.wrapping_add(n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[test]
fn a_killed_collector_loses_nothing_asks_nothing_twice_and_is_never_refused() {
    let kills: u64 = std::env::var("TIDEMILL_TEST_KILLS").map_or(30, |kills| kills.parse().unwrap());
    let rig = Rig::new(kills as usize * 80, STRICT);
    let data = rig.dir.path().join("data");
    let mut kept: HashMap<String, SystemTime> = HashMap::new();
    let (mut killed, mut asked_again, mut ended) = (0, 0, false);
    while killed < kills && !ended {
        ended = rig.live(&data, Duration::from_secs_f64(0.02 + 1.2 * random(7, killed)));
        killed += u64::from(!ended);
        let now = acknowledged(&data);
        for (symbol, at) in &kept {
            match now.get(symbol) {
                Some(same) if same == at => {}
                Some(_) => asked_again += 1,
                None => panic!("{symbol} was acknowledged and is gone after kill {killed}"),
            }
        }
        kept = now;
    }
    assert_eq!(killed, kills, "the collection ended before its {kills} kills; give it more symbols");
    let last = output(rig.args(&data));
    assert_eq!(last.status.code(), Some(0), "{}", said(&last));
    assert_balanced(&summary(&rig.dir.path().join("summary.json")));
    let verified = output(["verify", "--data", data.to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));

    let calm = rig.dir.path().join("calm");
    let free = Rig::new(rig.symbols.len(), "quota = []\nlatency = { kind = \"none\" }\n");
    let undisturbed = output(free.args(&calm).iter().map(|word| word.replace("sliding-log", "bucket")));
    assert_eq!(undisturbed.status.code(), Some(0), "{}", said(&undisturbed));
    let (ours, theirs) = (program::rows(&data, "us_daily"), program::rows(&calm, "us_daily"));
    assert_eq!(ours.len(), rig.symbols.len() * 100);
    assert!(ours == theirs, "the rows differ from those of an undisturbed run");

    let counted = rig.sandbox.stats();
    println!(
        "{kills} kills, {} symbols, {} rows identical to an undisturbed run; asked again after an acknowledgement: \
         {asked_again}; requests {}, refused {}",
        rig.symbols.len(),
        ours.len(),
        counted["requests"],
        counted["refused"]
    );
    assert_eq!(asked_again, 0);
    assert_eq!(counted["refused"], 0);
}

#[test]
fn a_collector_that_forgets_its_past_is_refused() {
    let rig = Rig::new(
        400,
        "quota = [{ model = \"penalising-log\", requests = 30, per = \"5s\" }]\nlatency = { kind = \"none\" }\n",
    );
    let data = rig.dir.path().join("data");
    for n in 0..4 {
        rig.live(&data, Duration::from_secs_f64(0.4 + 0.1 * random(11, n)));
        std::fs::remove_dir_all(data.join("state")).unwrap();
    }
    assert!(rig.sandbox.stats()["refused"].as_u64().unwrap() > 0, "the control must be refused");
}
