//! Other people's readers: pyarrow, DuckDB and Polars count the same rows, also while a collector writes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::program::{Sandbox, Setup, collector, output, said, symbols};

fn python() -> Option<PathBuf> {
    let python = std::env::var_os("TIDEMILL_TEST_PYTHON").map(PathBuf::from);
    if python.is_none() {
        println!("skipped: TIDEMILL_TEST_PYTHON is not set; `cargo xtask test` makes one");
    }
    python
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/python").join(name)
}

fn slow_collection(dir: &Path, sandbox: &Sandbox, count: usize) -> PathBuf {
    let symbols = symbols(count);
    let setup = Setup {
        base_url: &sandbox.url(),
        adapter: "alpha-vantage",
        keys: &["k1", "k2", "k3", "k4"],
        limit: Some((25, "1s", "sliding-log")),
        symbols: &symbols,
        more: "[collector]\npublish_every = \"50ms\"\n",
        of_provider: "",
    };
    setup.write(dir)
}

#[test]
fn readers_agree_while_a_collector_publishes_twenty_times_a_second() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let quota =
        "quota = [{ model = \"sliding-log\", requests = 25, per = \"1s\" }]\nlatency = { kind = \"none\" }\n";
    let sandbox = Sandbox::start(dir.path(), &format!("symbols = 1000\n{quota}"));
    let config = slow_collection(dir.path(), &sandbox, 1000);
    let (data, stop) = (dir.path().join("data"), dir.path().join("stop"));
    let link = data.join("parquet/us_daily");
    let readers = Command::new(&python)
        .arg(script("readers.py"))
        .args([&link, &stop])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let run = collector(["run", "--once", "--quiet", "--config"])
        .arg(&config)
        .arg("--data")
        .arg(&data)
        .output()
        .unwrap();
    std::fs::write(&stop, "").unwrap();
    let read = readers.wait_with_output().unwrap();
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    let report: Value = serde_json::from_slice(&read.stdout).unwrap_or_else(|_| panic!("{}", said(&read)));
    println!("{report}");
    assert!(read.status.success(), "{report:#}");
    // A round of three readers takes as long as the machine lets it.
    assert!(report["rounds"].as_u64().unwrap() >= 2, "{report:#}");
    assert_eq!(report["rows"], 100_000);
}

#[test]
fn three_readers_count_the_same_rows_and_types() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(dir.path(), "symbols = 60\nquota = []\nlatency = { kind = \"none\" }\n");
    let config = slow_collection(dir.path(), &sandbox, 60);
    let data = dir.path().join("data");
    let run =
        output(["run", "--once", "--config", config.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    let counted = Command::new(&python)
        .arg(script("count_rows.py"))
        .arg(data.join("parquet/us_daily"))
        .output()
        .unwrap();
    let counted: Value =
        serde_json::from_slice(&counted.stdout).unwrap_or_else(|_| panic!("{}", said(&counted)));
    for reader in ["pyarrow", "duckdb", "polars"] {
        assert_eq!(counted["rows"][reader], 6000, "{counted:#}");
    }
    assert_eq!((&counted["doubled"], &counted["symbols"]), (&0.into(), &60.into()));
    assert_eq!(counted["columns"]["ts"], "timestamp[ns, tz=UTC]");
    for price in ["open", "high", "low", "close"] {
        assert_eq!(counted["columns"][price], "double");
    }
}
