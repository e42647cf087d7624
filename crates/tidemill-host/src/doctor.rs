//! How this machine is set, beside how it should be for collecting and storing data: facts, advice, exact commands, the way back.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;

mod checks;
mod facts;

use facts::Facts;

/// The longest file a fact is read from.
const MAX_FILE: u64 = 1 << 20;

/// Reads the settings of a Linux machine below a root, `/` or a made-up tree.
///
/// Nothing is changed unless [`apply`](Self::apply) is called, and that writes only below `/proc/sys` and `/sys`. What needs a
/// program (`mount`) or a file of the administrator's (`/etc`) is only told, as the exact commands.
///
/// ```
/// use tidemill_host::{Doctor, Status};
/// for finding in Doctor::new("data").examine() {
///     if finding.status == Status::Advice {
///         println!("{}: {} instead of {}", finding.name, finding.wanted, finding.found.unwrap_or_default());
///         for command in finding.commands { println!("    {command}"); }
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Doctor {
    root: PathBuf,
    data: PathBuf,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// `vm.swappiness`.
    pub name: String,
    /// What to think of it.
    pub status: Status,
    /// What it is; None where this system does not tell.
    pub found: Option<String>,
    /// What it should be.
    pub wanted: String,
    /// Why.
    pub reason: String,
    /// What the change may cost.
    pub risk: String,
    /// Shell commands that change it now, and after a restart.
    pub commands: Vec<String>,
    /// Shell commands that take that back.
    pub undo: Vec<String>,
    /// What [`Doctor::apply`] would write. Empty: it can only be done by the commands.
    pub writes: Vec<Write>,
}

/// What to think of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Good,
    /// To be changed.
    Advice,
    /// Possible, with a risk that is the reader's to take; never applied.
    Consider,
    /// This system does not tell.
    Unknown,
}

/// One file below `/proc/sys` or `/sys`, its text before, and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// As the system names it, from `/`.
    pub path: String,
    /// What was there.
    pub before: String,
    /// What is to be there.
    pub after: String,
}

impl Doctor {
    /// Looks at this machine; `data` is where data will be kept.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self::below("/", data)
    }

    /// Looks at a tree that stands for `/`. `data` is a path of that system.
    #[must_use]
    pub fn below(root: impl Into<PathBuf>, data: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), data: data.into() }
    }

    /// Every setting it knows, in a fixed order. Only reads.
    #[must_use]
    pub fn examine(&self) -> Vec<Finding> {
        checks::all(&Facts::read(self))
    }

    /// Writes what a finding advises, and returns what was written, for [`undo`](Self::undo). Stops at the first file that is
    /// refused and takes back what it wrote.
    ///
    /// # Errors
    /// `Denied` with the file: only root may; `Changed` when the file is no longer what the finding saw.
    pub fn apply(&self, finding: &Finding) -> Result<Vec<Write>, Error> {
        let mut done = Vec::new();
        for write in &finding.writes {
            if let Err(error) = self.exchange(&write.path, &write.before, &write.after) {
                let _ = self.undo(&done);
                return Err(error);
            }
            done.push(write.clone());
        }
        Ok(done)
    }

    /// Writes back what was there, in reverse order. A file that somebody changed since stays as it is and is an error.
    ///
    /// # Errors
    /// `Denied`, `Changed`; the others are written back nevertheless.
    pub fn undo(&self, writes: &[Write]) -> Result<(), Error> {
        let back = writes.iter().rev().map(|write| self.exchange(&write.path, &write.after, &write.before));
        back.fold(Ok(()), Result::and)
    }

    fn exchange(&self, path: &str, from: &str, to: &str) -> Result<(), Error> {
        let settings = ["/proc/sys/", "/sys/"].iter().any(|folder| path.starts_with(folder));
        if !settings || path.split('/').any(|part| part == "..") {
            return Err(Error::denied(path, "is no setting below /proc/sys or /sys".to_owned()));
        }
        let there = self.text(path).ok_or_else(|| Error::denied(path, "cannot be read".to_owned()))?;
        if there != from && selected(&there) != Some(from) {
            return Err(Error::changed(path, from, &there));
        }
        let file = self.place(path);
        std::fs::write(&file, to).map_err(|error| Error::denied(path, error.to_string()))
    }

    fn place(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's text, trimmed and bounded.
    fn text(&self, path: &str) -> Option<String> {
        use std::io::Read as _;
        let file = std::fs::File::open(self.place(path)).ok()?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    fn data(&self) -> &Path {
        &self.data
    }
}

/// The word in brackets of `always [madvise] never`.
fn selected(text: &str) -> Option<&str> {
    text.split_once('[')?.1.split_once(']').map(|(word, _)| word)
}
