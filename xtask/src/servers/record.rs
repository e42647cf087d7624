//! What was started, written down, so that anybody can stop it by its pid.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::ports::Ports;
use crate::workspace::Workspace;

/// How long a server may take to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// One running server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(super) name: String,
    pub(super) pid: i32,
    /// The xtask that started it for its tests; nobody when a person did.
    pub(super) owner: Option<u32>,
    pub(super) dir: PathBuf,
    pub(super) ports: Ports,
    pub(super) variables: Vec<(String, String)>,
    /// Where this record stands.
    pub(super) file: PathBuf,
}

impl Record {
    pub(super) fn write(&self) -> Result<()> {
        if let Some(folder) = self.file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&self.file, serde_json::to_string_pretty(self)?)
            .with_context(|| format!("cannot write {}", self.file.display()))
    }

    /// Whether the pid still is the server we started: pids come again, our folder's name does not.
    pub(super) fn is_alive(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let dead = status.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']));
        let command = std::fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        !dead && String::from_utf8_lossy(&command).contains(&*self.dir.to_string_lossy())
    }

    /// TERM, then KILL after [`PATIENCE`]; removes its folder and the record.
    pub(super) fn stop(&self) -> Result<()> {
        if let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.is_alive()) {
            kill_process(pid, Signal::TERM)?;
            if !self.is_gone_within(PATIENCE) {
                kill_process(pid, Signal::KILL)?;
                self.is_gone_within(PATIENCE);
            }
        }
        let _ = std::fs::remove_dir_all(&self.dir);
        let _ = std::fs::remove_file(&self.file);
        // Only when it was the last one.
        self.file.parent().map(std::fs::remove_dir);
        Ok(())
    }

    fn is_gone_within(&self, patience: Duration) -> bool {
        let start = Instant::now();
        while self.is_alive() {
            if start.elapsed() > patience {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }
}

/// The folder of all groups of records.
pub(super) fn root(workspace: &Workspace) -> PathBuf {
    workspace.target().join("servers")
}

/// The folder of one group of records.
pub(super) fn folder(workspace: &Workspace, label: &str) -> PathBuf {
    root(workspace).join(label)
}

/// The records in a folder; none when there is no folder. Sorted by name.
pub(super) fn read_all(folder: &Path) -> Result<Vec<Record>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut records = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(&path)?;
            records.push(serde_json::from_str(&text).with_context(|| format!("{}", path.display()))?);
        }
    }
    records.sort_by(|a: &Record, b: &Record| a.name.cmp(&b.name));
    Ok(records)
}

/// Stops what a test run left behind that was killed before it could.
pub(super) fn sweep(root: &Path) -> Result<()> {
    let Ok(groups) = std::fs::read_dir(root) else { return Ok(()) };
    for group in groups {
        for record in read_all(&group?.path())? {
            let owner_lives = record.owner.is_none_or(|pid| Path::new(&format!("/proc/{pid}")).exists());
            if !owner_lives {
                eprintln!(
                    "stopping {} (pid {}), left by a test run that was killed",
                    record.name, record.pid
                );
                record.stop()?;
            }
        }
    }
    Ok(())
}
