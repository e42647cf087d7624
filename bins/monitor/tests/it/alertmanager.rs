//! A real Alertmanager: what it knows of our alerts, what it tells others, and after it was away.
//!
//! Needs Debian's `prometheus-alertmanager`; says aloud that it is skipped without.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tidemill_monitor::alert::{Alerts, ReceiverConfig};
use tidemill_monitor::event::Events;
use tidemill_monitor::http::{Client, Request};
use tokio::sync::broadcast;

use crate::alert_delivery::{Hook, config, round};

struct Manager {
    child: Child,
    url: String,
}

impl Manager {
    /// Starts one in this folder, or says why not.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn start(folder: &Path, port: u16, hook: &str) -> Option<Self> {
        let text = format!(
            "route:\n  receiver: hook\n  group_by: [alertname]\n  group_wait: 0s\n  group_interval: 1s\n  repeat_interval: 1h\n\
             receivers:\n- name: hook\n  webhook_configs:\n  - url: {hook}\n    send_resolved: true\n"
        );
        std::fs::write(folder.join("alertmanager.yml"), text).unwrap();
        let started = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", folder.join("alertmanager.yml").display()))
            .arg(format!("--storage.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match started {
            Ok(child) => Some(Self { child, url: format!("http://127.0.0.1:{port}") }),
            Err(error) if std::env::var_os("CI").is_some_and(|ci| ci == "true") => {
                panic!("prometheus-alertmanager: {error}")
            }
            Err(error) => {
                eprintln!(
                    "SKIPPED alertmanager::*: cannot start `prometheus-alertmanager` ({error}); install Debian's package"
                );
                None
            }
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn known(client: &Client, url: &str) -> Vec<Value> {
    let request = Request::get(format!("{url}/api/v2/alerts").parse().unwrap());
    let Ok(answer) = client.send(&request).await else { return Vec::new() };
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

/// Waits until Alertmanager knows so many alerts.
async fn until(client: &Client, url: &str, count: usize) -> Vec<Value> {
    let begin = Instant::now();
    loop {
        let alerts = known(client, url).await;
        if alerts.len() == count {
            return alerts;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "it knows {alerts:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_knows_what_fires_and_hears_the_end_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (hook, hook_url) = Hook::start(&[]).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let Some(manager) = Manager::start(folder.path(), port, &hook_url) else { return };
    let client = Client::new(1 << 20).unwrap();
    let receiver =
        ReceiverConfig { resend: Duration::from_secs(1), ..ReceiverConfig::alertmanager("am", &manager.url) };
    let (send, rounds) = broadcast::channel(16);
    let alerts = Alerts::builder(config(vec![receiver]), folder.path().join("state"), Events::new(10))
        .client(client.clone())
        .start(rounds)
        .await
        .unwrap();
    send.send(round(90.0)).unwrap();
    let known = until(&client, &manager.url, 1).await;
    assert_eq!(known[0]["labels"]["alertname"], "hot");
    assert_eq!(known[0]["annotations"]["summary"], "m is 90, the limit is 80");

    // One that was away and forgot everything hears it again within a resend.
    let url = manager.url.clone();
    drop(manager);
    std::fs::remove_dir_all(folder.path().join("data")).ok();
    let manager = Manager::start(folder.path(), port, &hook_url).unwrap();
    until(&client, &url, 1).await;

    send.send(round(10.0)).unwrap();
    until(&client, &url, 0).await;
    let begin = Instant::now();
    let over = loop {
        if let Some(over) = hook.all().into_iter().find(|got| got.status() == "resolved") {
            break over.json();
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "nobody was told of the end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    // A resolve of labels alone would have wiped it.
    assert_eq!(over["alerts"][0]["annotations"]["summary"], "m is 90, the limit is 80");
    assert_eq!(over["alerts"][0]["annotations"]["value"], "90");
    alerts.close(Duration::from_secs(10)).await;
    drop(manager);
}
