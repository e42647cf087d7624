//! `kill -9` in the middle of things: what was committed is there, each value once.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::running::{Monitor, Server, configured, means};

#[test]
fn what_was_committed_survives_kills() {
    let kills = if std::env::var_os("TIDEMILL_TEST_FULL").is_some() { 50 } else { 5 };
    let steps = Server::text(|n| format!("step {n}\n"));
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "[monitor]\nhost = false\n[history]\npublish_every = \"1s\"\n[[target]]\nname = \"t\"\nurl = \"{}\"\n",
        steps.url
    );
    let file = configured(dir.path(), &config);
    let args = ["--interval", "1", "--config", file.as_str()];
    let path = "/api/metrics/history?metric=step&hours=1&points=3600";
    let times = |answer: &Value| -> Vec<i64> {
        answer["series"][0]["t"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect()
    };
    // What a round told before the last one was committed by then: the writer takes them in order.
    let mut promised: BTreeSet<i64> = BTreeSet::new();
    for kill in 0..kills {
        let monitor = Monitor::start(dir.path(), &args, &[]);
        let seen = promised.len();
        let answer = monitor.until(path, |answer| times(answer).len() >= seen + 2);
        let all = times(&answer);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "each once");
        let lost: Vec<_> = promised.iter().filter(|at| !all.contains(at)).collect();
        assert!(lost.is_empty(), "kill {kill} lost {lost:?}");
        std::thread::sleep(std::time::Duration::from_millis(150 + 70 * (kill as u64 % 7)));
        promised.extend(&all[..all.len() - 1]);
        monitor.kill();
    }
    let monitor = Monitor::start(dir.path(), &args, &[]);
    let answer = monitor.json(path);
    assert!(promised.iter().all(|at| times(&answer).contains(at)));
    assert!(means(&answer).windows(2).all(|pair| pair[0] < pair[1]), "in order");
    assert_eq!(monitor.stop().0, 0);
    for tier in ["raw", "minute"] {
        for store in std::fs::read_dir(dir.path().join("history").join(tier)).into_iter().flatten().flatten()
        {
            assert!(tidemill_storage::verify(&store.path()).unwrap().is_sound());
        }
    }
}
