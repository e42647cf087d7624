//! A JSON line for each event in a file that is turned over at a bound.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::console::{level, time};
use crate::alert::outbox::Notification;

/// The file.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    max_bytes: u64,
    keep: u32,
}

impl Log {
    pub(crate) fn new(path: PathBuf, max_bytes: u64, keep: u32) -> Self {
        Self { path, max_bytes, keep }
    }

    /// Appends them. The file is opened anew each time, so that others may move it away.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, notification: &Notification) -> std::io::Result<()> {
        let mut lines = Vec::new();
        for event in &notification.events {
            let alert = &event.alert;
            let line = json!({
                "time": time(event.at_ms),
                "at_ms": event.at_ms,
                "level": level(event),
                "event": event.name(),
                "change": event.change,
                "message": event.words(),
                "key": format!("{}-{}", notification.key, event.seq),
                "id": alert.id,
                "rule": alert.rule,
                "severity": alert.severity,
                "target": alert.target,
                "metric": alert.metric,
                "labels": alert.labels,
                "value": alert.value,
                "threshold": alert.threshold,
                "baseline": alert.baseline,
                "since_ms": alert.since_ms,
                "recommendation": alert.recommendation,
            });
            serde_json::to_writer(&mut lines, &line)?;
            lines.push(b'\n');
        }
        if std::fs::metadata(&self.path).is_ok_and(|file| file.len() + lines.len() as u64 > self.max_bytes) {
            self.turn_over()?;
        }
        let mut file = open(&self.path)?;
        // A line that an earlier end cut short stays a line of its own.
        if torn(&self.path) {
            lines.insert(0, b'\n');
        }
        file.write_all(&lines)
    }

    fn turn_over(&self) -> std::io::Result<()> {
        let old = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        if self.keep == 0 {
            return std::fs::remove_file(&self.path);
        }
        for number in (1..self.keep).rev() {
            match std::fs::rename(old(number), old(number + 1)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(&self.path, old(1))
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// Whether the file's last byte ends no line.
fn torn(path: &Path) -> bool {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let Ok(mut file) = File::open(path) else { return false };
    let mut last = [0];
    file.seek(SeekFrom::End(-1)).is_ok() && file.read_exact(&mut last).is_ok() && last != *b"\n"
}
