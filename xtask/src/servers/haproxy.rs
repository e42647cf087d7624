//! HAProxy as a provider: sliding windows, weights, bans, and a count of its own.

use std::path::{Path, PathBuf};
use std::process::Child;

use anyhow::Result;

use super::counts::{self, Count};
use super::ports::Ports;
use super::{Server, install, launch};

const TEMPLATE: &str = include_str!("../../servers/haproxy.cfg.in");

const SOCKET: &str = "admin.sock";

/// Takes its data from nginx's open port.
pub(super) struct HaProxy;

impl Server for HaProxy {
    fn name(&self) -> &'static str {
        "haproxy"
    }

    fn packages(&self) -> &'static [&'static str] {
        &["haproxy"]
    }

    fn find(&self) -> Result<PathBuf, String> {
        install::program("haproxy")
    }

    fn ports(&self) -> &'static [&'static str] {
        &["sliding", "weights", "fast", "stats"]
    }

    fn needs(&self) -> &'static [&'static str] {
        &["nginx"]
    }

    fn start(&self, dir: &Path, ports: &Ports, needed: &Ports) -> Result<Child> {
        let (folder, open) = (dir.display().to_string(), needed.get("open")?.to_string());
        let config = dir.join("haproxy.cfg");
        std::fs::write(&config, ports.fill(TEMPLATE, &[("dir", &folder), ("open", &open)])?)?;
        let program = self.find().map_err(anyhow::Error::msg)?;
        launch::spawn(&program, &["-db", "-f", &config.display().to_string()], dir)
    }

    fn extras(&self, dir: &Path) -> Vec<(String, String)> {
        vec![("TIDEMILL_TEST_PROVIDER_HAPROXY_SOCKET".to_owned(), dir.join(SOCKET).display().to_string())]
    }

    fn counts(&self, dir: &Path, ports: &Ports) -> Result<Vec<Count>> {
        let names: Vec<&str> = ports.iter().map(|(name, _)| name).filter(|name| *name != "stats").collect();
        counts::of_tables(&dir.join(SOCKET), &names)
    }
}
