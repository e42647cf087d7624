//! The bars: the real ones equal their sources, and any number of others cost next to no memory.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use tidemill_sandbox::{Config, Sandbox};

use crate::client::{daily, get, open, start};

#[path = "../../examples/pack/columns.rs"]
mod columns;

type Row = (String, [f64; 4], u64);

/// The sources, where somebody has put them beside the repository.
fn source(name: &str) -> Option<PathBuf> {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.find_map(|folder| Some(folder.join("shared/data").join(name)).filter(|path| path.exists()))
}

/// What `/query` gives for a symbol in full, oldest first.
async fn served(addr: std::net::SocketAddr, symbol: &str, form: &str) -> Vec<Row> {
    let answer = get(addr, &format!("{}&outputsize=full&datatype={form}", daily(symbol, "k1"))).await;
    let mut rows: Vec<Row> = if form == "csv" {
        let rows = answer.text().lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
        rows.map(|field| {
            let price = |at: usize| field[at].parse().unwrap();
            (field[0].to_owned(), [price(1), price(2), price(3), price(4)], field[5].parse().unwrap())
        })
        .collect()
    } else {
        let json = answer.json();
        let days = json["Time Series (Daily)"].as_object().unwrap();
        days.iter()
            .map(|(date, bar)| {
                let field = |name: &str| bar[name].as_str().unwrap();
                let price = |name: &str| field(name).parse().unwrap();
                let prices = [price("1. open"), price("2. high"), price("3. low"), price("4. close")];
                (date.clone(), prices, field("5. volume").parse().unwrap())
            })
            .collect()
    };
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows
}

#[tokio::test]
async fn all_real_rows_equal_their_sources() {
    let running = start(open()).await;
    let first = served(running.addr(), "AAPL", "json").await.remove(0);
    assert_eq!(first, ("2000-03-01".to_owned(), [118.56, 132.06, 118.5, 130.31], 9_616_100));
    let last = served(running.addr(), "GSPC", "csv").await.pop().unwrap();
    assert_eq!(
        last,
        ("2018-12-31".to_owned(), [2498.939941, 2509.23999, 2482.820068, 2506.850098], 3_442_870_000)
    );

    let Some(stocks) = source("us5_daily_raw.csv") else { return };
    let mut expected = BTreeMap::<String, Vec<Row>>::new();
    for line in std::fs::read_to_string(stocks).unwrap().lines().skip(1) {
        let field: Vec<_> = line.split(',').collect();
        let price = |at: usize| field[at].parse().unwrap();
        let row = (field[1].to_owned(), [price(2), price(3), price(4), price(5)], field[6].parse().unwrap());
        expected.entry(field[0].to_owned()).or_default().push(row);
    }
    assert_eq!(expected.values().map(Vec::len).sum::<usize>(), 12_154);
    for (symbol, rows) in expected {
        for form in ["json", "csv"] {
            assert!(served(running.addr(), &symbol, form).await == rows, "{symbol} as {form}");
        }
    }
}

#[test]
fn the_bundle_is_what_the_generator_makes() {
    let (Some(stocks), Some(index)) = (source("us5_daily_raw.csv"), source("sp500_index_daily.csv")) else {
        return;
    };
    let read = |path| std::fs::read_to_string(path).unwrap();
    let packed = include_bytes!("../../data/bars.bin");
    let mut plain = Vec::new();
    flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut plain).unwrap();
    assert!(columns::pack(&read(stocks), &read(index)).unwrap() == plain, "run the example `pack`");
}

#[tokio::test]
async fn what_it_says_it_serves_is_what_it_serves() {
    let sandbox = Sandbox::builder(open()).build().unwrap();
    let running = start(open()).await;
    for symbol in ["GOOG", "GSPC", "SYM0005", "SYM0999"] {
        let mut told: Vec<_> = sandbox.bars(symbol).unwrap().collect();
        told.reverse();
        let served = served(running.addr(), symbol, "json").await;
        assert_eq!(told.len(), served.len());
        for (bar, (_, prices, volume)) in told.iter().zip(served) {
            assert_eq!(([bar.open, bar.high, bar.low, bar.close], bar.volume), (prices, volume));
        }
        assert!(told.is_sorted_by(|a, b| a.day < b.day));
    }
    assert!(sandbox.bars("NONE").is_none());
}

/// Golden rows: who keeps a harvest of one version may compare it with the next.
#[tokio::test]
async fn resampled_series_stay_what_they_were() {
    let running = start(Config::default()).await;
    for (symbol, newest, oldest) in [
        (
            "SYM0005",
            "2013-03-01,166.1500,166.3200,160.1100,164.1600,25274100",
            "2006-12-22,49.5000,49.8100,49.1300,49.5900,14749600",
        ),
        (
            "SYM0999",
            "2013-03-01,256.8600,258.1300,251.2100,251.5500,19705900",
            "2002-09-13,161.8900,166.1000,159.8700,160.5200,42000600",
        ),
    ] {
        let target = format!("{}&outputsize=full&datatype=csv", daily(symbol, "k1"));
        let answer = get(running.addr(), &target).await;
        let mut rows = answer.text().lines().skip(1);
        assert_eq!((rows.next(), rows.last()), (Some(newest), Some(oldest)));
    }
}

/// Peak memory of this process in KiB.
#[cfg(target_os = "linux")]
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn twenty_thousand_symbols_fit_in_little_memory() {
    let running = start(Config { symbols: 20_000, ..open() }).await;
    let names: Vec<_> =
        Sandbox::builder(Config { symbols: 20_000, ..open() }).build().unwrap().symbols().collect();
    for name in names.iter().step_by(20) {
        assert!(get(running.addr(), &daily(name, "k1")).await.has_data());
    }
    assert_eq!(running.stats().served, 1000);
    // Everything in this process, the other tests included.
    let peak = peak_kib();
    assert!(peak < 64 * 1024, "{peak} KiB");
}
