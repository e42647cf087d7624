//! Alerts through `kill -9`: by their keys none is lost and none is doubled.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tidemill_monitor::alert::{Alerts, ReceiverConfig};
use tidemill_monitor::event::Events;
use tokio::sync::broadcast;

use crate::alert_delivery::{Got, Hook, config, round};

const URL: &str = "TIDEMILL_TEST_CHILD_URL";
const FOLDER: &str = "TIDEMILL_TEST_CHILD_FOLDER";

/// Not a test: what the tests below start and kill. It watches a value in a file and tells the webhook.
#[tokio::test]
async fn child() {
    let (Ok(url), Some(folder)) = (std::env::var(URL), std::env::var_os(FOLDER)) else { return };
    let folder = PathBuf::from(folder);
    let (send, rounds) = broadcast::channel(16);
    let config = config(vec![ReceiverConfig::webhook("ops", &url)]);
    let _alerts = Alerts::builder(config, folder.join("state"), Events::new(10)).start(rounds).await.unwrap();
    // The tests end it; if they die first it ends by itself.
    for _ in 0..20_000 {
        let value = std::fs::read_to_string(folder.join("value")).ok().and_then(|text| text.parse().ok());
        if let Some(value) = value {
            send.send(round(value)).ok();
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

fn spawn(url: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "alert_kills::child", "--nocapture"])
        .env(URL, url)
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Flips a value and kills at times that a seed chooses, until so many kills are done. What the webhook got; how often it flipped.
async fn flips(kills: u32, forget: bool) -> (Vec<Got>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let (hook, url) = Hook::start(&[]).await;
    let (mut seed, mut killed, mut flipped) = (0x9e37_79b9_7f4a_7c15_u64, 0, 0_usize);
    let mut random = |bound: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % bound
    };
    let mut child = spawn(&url, folder.path());
    while killed < kills {
        flipped += 1;
        let value = if flipped % 2 == 1 { "90" } else { "10" };
        std::fs::write(folder.path().join("value.new"), value).unwrap();
        std::fs::rename(folder.path().join("value.new"), folder.path().join("value")).unwrap();
        // Most of what can go wrong is within some milliseconds after the change is noticed.
        let begin = Instant::now();
        let mut due = Duration::from_millis(random(60));
        loop {
            let keys: HashSet<String> = hook.all().into_iter().map(|got| got.key).collect();
            if keys.len() >= flipped {
                break;
            }
            if begin.elapsed() >= due && killed < kills {
                child.kill().unwrap();
                child.wait().unwrap();
                killed += 1;
                if forget {
                    std::fs::remove_dir_all(folder.path().join("state")).ok();
                }
                child = spawn(&url, folder.path());
                // Longer each time, so that a slow machine gets there too.
                due = begin.elapsed() * 2 + Duration::from_millis(20 + random(200));
            }
            assert!(begin.elapsed() < Duration::from_secs(120), "flip {flipped} was never told: lost");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    // Whatever was doubled shows now at the latest.
    tokio::time::sleep(Duration::from_millis(300)).await;
    child.kill().unwrap();
    child.wait().unwrap();
    (hook.all(), flipped)
}

/// What was told, each key once, in the order of its first arrival.
fn distinct(got: &[Got]) -> Vec<Got> {
    let mut seen = HashSet::new();
    got.iter().filter(|one| seen.insert(one.key.clone())).cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_is_lost_and_none_is_doubled() {
    let kills = std::env::var("TIDEMILL_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(30);
    let (got, flipped) = flips(kills, false).await;
    let told = distinct(&got);
    println!(
        "{kills} kills, {flipped} changes, {} notifications, {} of them repeated",
        told.len(),
        got.len() - told.len()
    );
    let statuses: Vec<String> = told.iter().map(Got::status).collect();
    let expected: Vec<&str> = ["firing", "resolved"].into_iter().cycle().take(flipped).collect();
    assert_eq!(statuses, expected);
    // A repetition is the same, byte for byte.
    for one in &got {
        assert!(told.iter().any(|first| first.key == one.key && first.body == one.body));
    }
    // Each firing is one of its own: it began when no other did.
    let begins: HashSet<String> =
        told.iter().step_by(2).map(|one| one.json()["alerts"][0]["startsAt"].to_string()).collect();
    assert_eq!(begins.len(), flipped.div_ceil(2));
}

/// The control: without its state the same child is found out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_state_it_is_found_out() {
    let ended = tokio::spawn(async {
        let (got, flipped) = flips(12, true).await;
        let statuses: Vec<String> = distinct(&got).iter().map(Got::status).collect();
        let expected: Vec<&str> = ["firing", "resolved"].into_iter().cycle().take(flipped).collect();
        assert_eq!(statuses, expected);
    });
    // Either something is doubled, or the end of what was forgotten is never told.
    let found = tokio::time::timeout(Duration::from_secs(10), ended).await;
    assert!(!matches!(found, Ok(Ok(()))), "it should have been found out");
}
