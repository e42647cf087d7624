//! `run --once`: the first thing a newcomer runs, its control, and what a second run does.

use std::time::Duration;

use crate::program::{
    Sandbox, Setup, assert_balanced, collector, once, output, rows, said, summary, symbols, wait,
};

const SMALL: &str = "symbols = 120\nlatency = { kind = \"uniform\", min = \"2ms\", max = \"10ms\" }\n\
                     quota = [{ model = \"penalising-log\", requests = 10, per = \"1s\" }]\n";

fn small<'a>(url: &'a str, symbols: &'a [String]) -> Setup<'a> {
    Setup {
        base_url: url,
        adapter: "alpha-vantage",
        keys: &["k1", "k2", "k3", "k4"],
        limit: Some((10, "1s", "sliding-log")),
        symbols,
        more: "",
        of_provider: "",
    }
}

#[test]
fn four_keys_of_a_penalising_log_are_spent_without_a_refusal_and_without_them_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(dir.path(), SMALL);
    let symbols = symbols(120);
    let config = small(&sandbox.url(), &symbols).write(dir.path());
    let (data, out) = (dir.path().join("data"), dir.path().join("summary.json"));

    let run = output(once(dir.path(), &config));
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    let summary_of_run = summary(&out);
    assert_balanced(&summary_of_run);
    assert_eq!(
        (summary_of_run["refused"].as_u64(), summary_of_run["requests"].as_u64()),
        (Some(0), Some(120))
    );
    assert_eq!(summary_of_run["rows_stored"], 12_000);
    assert_eq!(rows(&data, "us_daily").len(), 12_000);
    let counted = sandbox.stats();
    assert_eq!((&counted["refused"], &counted["admitted"]), (&0.into(), &120.into()));
    for key in counted["keys"].as_array().unwrap() {
        assert!(key["peak_in_window"].as_u64().unwrap() <= 10, "{key}");
        assert!(key["admitted"].as_u64().unwrap() >= 20, "every key does its share: {key}");
    }

    // A second run over fresh data asks nobody.
    let again = output(once(dir.path(), &config));
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    assert_eq!((&summary(&out)["requests"], &summary(&out)["fresh"]), (&0.into(), &120.into()));
    assert_eq!(sandbox.stats()["admitted"], 120);

    // The control: the same job with nothing held back is refused.
    std::fs::remove_dir_all(&data).unwrap();
    let control = output(once(dir.path(), &config).into_iter().chain(["--limiter", "off"].map(String::from)));
    assert_eq!(control.status.code(), Some(1), "{}", said(&control));
    assert!(summary(&out)["refused"].as_u64().unwrap() >= 100, "{}", said(&control));
    assert_balanced(&summary(&out));
}

#[test]
fn no_key_is_ever_shown() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(
        dir.path(),
        "symbols = 5\nkeys = [\"hush-hush-key\"]\nfaults = { rules = [{ kind = \"malformed\", requests = [1, 2, 3] }, { kind = \"reset\", requests = [4] }] }\n",
    );
    let symbols = symbols(5);
    let setup = Setup { keys: &["hush-hush-key"], limit: None, ..small("", &symbols) };
    let config = Setup { base_url: &sandbox.url(), ..setup }.write(dir.path());
    let run = collector(["run", "--once", "--log", "trace", "--config"])
        .arg(&config)
        .arg("--data")
        .arg(dir.path().join("data"))
        .output()
        .unwrap();
    assert!(said(&run).len() > 1000, "the log says something");
    assert!(!said(&run).contains("hush-hush-key"));
    let check = output(["check", "--effective", "--config", config.to_str().unwrap()]);
    assert!(said(&check).contains("base_url") && !said(&check).contains("hush-hush-key"), "{}", said(&check));
}

#[test]
fn sigterm_drains_and_the_next_run_fetches_only_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(dir.path(), SMALL);
    let symbols = symbols(120);
    let config = small(&sandbox.url(), &symbols).write(dir.path());
    let (data, out) = (dir.path().join("data"), dir.path().join("summary.json"));
    let args = || once(dir.path(), &config);

    let mut child = collector(args()).stdout(std::process::Stdio::null()).spawn().unwrap();
    while sandbox.stats()["admitted"].as_u64().unwrap() < 30 {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .unwrap();
    let status = wait(&mut child, Duration::from_secs(20));
    assert_eq!(status.code(), Some(1));
    let first = summary(&out);
    assert_balanced(&first);
    let answered = first["answered"].as_u64().unwrap();
    assert!((30..120).contains(&answered), "{first:#}");
    assert_eq!(answered, first["requests"].as_u64().unwrap(), "what was under way was finished");
    assert!(first["ended_early"].as_str().unwrap().contains("asked to stop"));

    let rest = output(args());
    assert_eq!(rest.status.code(), Some(0), "{}", said(&rest));
    assert_eq!(summary(&out)["requests"].as_u64().unwrap(), 120 - answered);
    assert_eq!(sandbox.stats()["refused"], 0, "the keys' past is remembered");
    assert_eq!(rows(&data, "us_daily").len(), 12_000);
}
