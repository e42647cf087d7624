//! `[storage.s3]`: rows that count once they are in a bucket, a machine that is lost, and a collector that comes back too late.

use std::path::Path;
use std::process::Output;

use crate::program::{Sandbox, Setup, assert_balanced, collector, once, rows, said, summary, symbols};

struct Server {
    url: String,
    id: String,
    secret: String,
}

/// The server of the test harness, or nothing, loudly.
fn server() -> Option<Server> {
    let variable = |name: &str| std::env::var(name).ok();
    let Some(url) = variable("TIDEMILL_TEST_S3_URL") else {
        assert!(variable("CI").is_none_or(|ci| ci != "true"), "CI is set and there is no S3 server");
        println!("skipped: TIDEMILL_TEST_S3_URL is not set; `cargo xtask test` starts the server");
        return None;
    };
    let key = |name: &str| variable(name).expect("the harness sets the keys too");
    Some(Server { url, id: key("TIDEMILL_TEST_S3_KEY_ID"), secret: key("TIDEMILL_TEST_S3_KEY_SECRET") })
}

impl Server {
    fn run(&self, arguments: impl IntoIterator<Item = String>) -> Output {
        let mut command = collector(arguments);
        command.args(["--log", "debug"]);
        command.env("AWS_ACCESS_KEY_ID", &self.id).env("AWS_SECRET_ACCESS_KEY", &self.secret);
        let output = command.output().unwrap();
        let text = said(&output);
        assert!(!text.contains(&self.id) && !text.contains(&self.secret), "a key is shown: {text}");
        output
    }

    fn config(&self, dir: &Path, sandbox: &Sandbox, ack: &str, symbols: &[String]) -> std::path::PathBuf {
        let more = format!(
            "[storage.s3]\nbucket = \"tidemill\"\nprefix = \"collector-{ack}\"\nendpoint = \"{}\"\nack = \"{ack}\"\n",
            self.url
        );
        let setup = Setup {
            base_url: &sandbox.url(),
            adapter: "alpha-vantage",
            keys: &["k1"],
            limit: None,
            symbols,
            more: &more,
            of_provider: "",
        };
        setup.write(dir)
    }
}

fn restore(server: &Server, config: &Path, data: &Path) -> Output {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    server.run(["restore", "--config", &text(config), "--data", &text(data)].map(str::to_owned))
}

fn a_lost_machine(ack: &str) {
    let Some(server) = server() else { return };
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(dir.path(), "symbols = 40\n");
    let config = server.config(dir.path(), &sandbox, ack, &symbols(30));
    let (data, out) = (dir.path().join("data"), dir.path().join("summary.json"));
    let run = server.run(once(dir.path(), &config));
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    assert_balanced(&summary(&out));
    let collected = rows(&data, "us_daily");
    assert_eq!(collected.len(), 3000);

    // The machine is gone. What another one brings back is everything, and the ledger with it.
    let old = dir.path().join("old");
    std::fs::rename(&data, &old).unwrap();
    let restored = restore(&server, &config, &data);
    assert_eq!(restored.status.code(), Some(0), "{}", said(&restored));
    assert_eq!(rows(&data, "us_daily"), collected);
    let again = server.run(once(dir.path(), &config));
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    assert_eq!(summary(&out)["requests"], 0, "what was kept is not asked for again");
    let twice = restore(&server, &config, &data);
    assert_eq!(twice.status.code(), Some(2));
    assert!(said(&twice).contains("empty folder"), "{}", said(&twice));

    // The machine was not gone: it is told, and the bucket stays as it is.
    std::fs::rename(&data, dir.path().join("new")).unwrap();
    std::fs::rename(&old, &data).unwrap();
    let config = server.config(dir.path(), &sandbox, ack, &symbols(31));
    let stale = server.run(once(dir.path(), &config));
    assert!(said(&stale).contains("written by another store"), "{}", said(&stale));
    if ack == "remote" {
        assert_ne!(stale.status.code(), Some(0), "rows that are not in the bucket do not count");
    }
    let third = dir.path().join("third");
    assert_eq!(restore(&server, &config, &third).status.code(), Some(0));
    assert_eq!(rows(&third, "us_daily"), collected);
}

#[test]
fn a_row_that_counts_once_it_is_in_the_bucket_survives_the_machine() {
    a_lost_machine("remote");
}

#[test]
fn what_was_sent_at_the_end_of_a_run_survives_the_machine() {
    a_lost_machine("local");
}

#[test]
fn a_missing_key_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(dir.path(), "symbols = 1\n");
    let dead = Server { url: "http://127.0.0.1:1".into(), id: String::new(), secret: String::new() };
    let config = dead.config(dir.path(), &sandbox, "local", &symbols(1));
    let mut command = collector(once(dir.path(), &config));
    let run = command.env_remove("AWS_ACCESS_KEY_ID").output().unwrap();
    assert_eq!(run.status.code(), Some(2), "{}", said(&run));
    assert!(said(&run).contains("AWS_ACCESS_KEY_ID is not set"), "{}", said(&run));
    let nonsense = std::fs::read_to_string(&config).unwrap().replace("ack = \"local\"", "ack = \"later\"");
    std::fs::write(&config, nonsense).unwrap();
    let run = collector(once(dir.path(), &config)).output().unwrap();
    assert_eq!(run.status.code(), Some(2));
    assert!(said(&run).contains("storage.s3.ack"), "{}", said(&run));
}
