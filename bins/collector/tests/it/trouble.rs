//! Providers that are down, slow, lying or out of quota: a clear report, kept rows, no row unaccounted for.

use serde_json::Value;

use crate::program::{Sandbox, Setup, assert_balanced, once, output, rows, said, summary, symbols};

struct Trouble {
    dir: tempfile::TempDir,
    sandbox: Option<Sandbox>,
}

impl Trouble {
    fn with(sandbox: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Some(Sandbox::start(dir.path(), sandbox));
        Self { dir, sandbox }
    }

    fn run(
        &self,
        keys: &[&str],
        limit: Option<(u32, &str, &str)>,
        symbols: &[String],
        more: &str,
    ) -> (i32, Value, String) {
        let url = self.sandbox.as_ref().map_or_else(|| "http://127.0.0.1:9".to_owned(), Sandbox::url);
        let setup =
            Setup { base_url: &url, adapter: "alpha-vantage", keys, limit, symbols, more, of_provider: "" };
        let config = setup.write(self.dir.path());
        let out = self.dir.path().join("summary.json");
        let run = output(once(self.dir.path(), &config));
        (run.status.code().unwrap_or(-1), summary(&out), said(&run))
    }
}

const FAST: &str = "latency = { kind = \"none\" }\nquota = []\n";

#[test]
fn one_answer_in_ten_goes_wrong_and_nothing_is_missing() {
    let rules = ["internal-error", "truncated", "malformed", "reset"]
        .map(|kind| format!("{{ kind = \"{kind}\", probability = 0.025 }}"))
        .join(", ");
    let trouble = Trouble::with(&format!("{FAST}symbols = 200\nfaults = {{ rules = [{rules}] }}\n"));
    let (code, summary, said) = trouble.run(&["k1"], None, &symbols(200), "[collector]\ntries = 8\n");
    assert_eq!(code, 0, "{said}");
    assert_balanced(&summary);
    assert_eq!(summary["rows_stored"], 20_000);
    assert!(summary["requests"].as_u64().unwrap() > 205, "faults were met: {summary:#}");
    assert_eq!(rows(&trouble.dir.path().join("data"), "us_daily").len(), 20_000);
}

#[test]
fn a_provider_that_is_down_is_given_up_soon() {
    let dir = tempfile::tempdir().unwrap();
    let trouble = Trouble { dir, sandbox: None };
    let (code, summary, said) = trouble.run(&["k1"], None, &symbols(500), "");
    assert_eq!(code, 1);
    assert!(said.contains("the provider is down") && said.contains("could not connect"), "{said}");
    assert_eq!(summary["answered"], 0);
    assert!(summary["requests"].as_u64().unwrap() < 200, "it is not asked 500 times: {summary:#}");
}

#[test]
fn a_revoked_key_is_left_alone_and_the_others_do_its_work() {
    let trouble = Trouble::with(&format!(
        "{FAST}symbols = 60\nfaults = {{ revoked = [{{ key = \"k2\", after = 3 }}] }}\n"
    ));
    let (code, summary, said) =
        trouble.run(&["k1", "k2", "k3"], Some((50, "1s", "sliding-log")), &symbols(60), "");
    assert_eq!(code, 0, "{said}");
    let asked_in_vain = trouble.sandbox.as_ref().unwrap().stats()["invalid_key"].as_u64().unwrap();
    assert!((1..=32).contains(&asked_in_vain), "{asked_in_vain}");
    assert_eq!(summary["rows_stored"], 6000);
}

#[test]
fn without_a_valid_key_the_report_says_so() {
    let trouble = Trouble::with(&format!("{FAST}symbols = 60\n"));
    let (code, summary, said) = trouble.run(&["wrong"], Some((50, "1s", "sliding-log")), &symbols(60), "");
    assert_eq!(code, 1, "{said}");
    assert_eq!(summary["answered"], 0);
    assert!(said.contains("key"), "{said}");
}

#[test]
fn a_quota_that_is_used_up_for_the_day_ends_the_pass() {
    let trouble = Trouble::with(
        "latency = { kind = \"none\" }\nsymbols = 60\nquota = [{ model = \"daily\", requests = 25, per = \"24h\" }]\n",
    );
    let (code, summary, said) = trouble.run(
        &["k1"],
        Some((25, "24h", "sliding-log")),
        &symbols(60),
        "[collector]\nmax_wait = \"1s\"\n",
    );
    assert_eq!(code, 1);
    assert_eq!((&summary["answered"], &summary["refused"]), (&25.into(), &0.into()), "{said}");
    assert_eq!(summary["not_asked"], 35);
    assert!(said.contains("quota is used up"), "{said}");
}

#[test]
fn an_unknown_symbol_is_named_and_not_asked_for_again() {
    let trouble = Trouble::with(&format!("{FAST}symbols = 5\n"));
    let wanted = ["AAPL", "NOPE", "IBM"].map(String::from);
    for requests in [3, 0] {
        let (code, summary, said) = trouble.run(&["k1"], None, &wanted, "");
        assert_eq!(code, 1);
        assert_eq!(summary["requests"], requests, "{said}");
        assert!(said.contains("us_daily/NOPE") && said.contains("does not know the symbol"), "{said}");
    }
}

#[test]
fn a_lying_answer_is_kept_as_evidence_and_is_never_success() {
    let trouble = Trouble::with(&format!(
        "{FAST}symbols = 5\nfaults = {{ rules = [{{ kind = \"malformed\", probability = 1.0 }}] }}\n"
    ));
    let (code, summary, said) = trouble.run(&["k1"], None, &symbols(5), "[collector]\ntries = 2\n");
    assert_eq!(code, 1, "{said}");
    assert_eq!((&summary["answered"], &summary["rows_stored"]), (&0.into(), &0.into()));
    let store = tidemill_storage::Store::open_read_only(&trouble.dir.path().join("data")).unwrap();
    let kept: usize = store
        .scan("quarantine", &tidemill_storage::Scan::default())
        .unwrap()
        .map(|batch| batch.unwrap().num_rows())
        .sum();
    assert_eq!(kept, 10, "each of two tries of five symbols");
}
