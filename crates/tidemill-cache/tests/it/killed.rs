//! A test of this binary as a process of its own, killed while it says what was acknowledged to it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The directory of the process that is to be killed.
const DIR: &str = "TIDEMILL_CACHE_KILLED_DIR";
/// The number before its first.
const FROM: &str = "TIDEMILL_CACHE_KILLED_FROM";

/// What the process works in and counts from; `None` where the test was started as a test.
pub(crate) fn asked() -> Option<(PathBuf, u64)> {
    let dir: OsString = std::env::var_os(DIR)?;
    Some((dir.into(), std::env::var(FROM).unwrap().parse().unwrap()))
}

/// What was acknowledged over all kills: the last number of each key.
#[derive(Default)]
pub(crate) struct Acknowledged {
    pub(crate) last: HashMap<u64, u64>,
    number: u64,
}

impl Acknowledged {
    /// Starts the test of that name in the directory and kills it after so many lines `key number`, whenever the machine gets
    /// to them.
    pub(crate) fn kill_once(&mut self, test: &str, dir: &Path, patience: usize) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(DIR, dir)
            .env(FROM, self.number.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).split(b'\n');
        let mut heard = 0;
        for line in lines.by_ref() {
            heard += self.hear(&line.unwrap());
            if heard >= patience {
                break;
            }
        }
        assert!(heard >= patience, "the process ended by itself");
        child.kill().unwrap();
        lines.for_each(|line| _ = self.hear(&line.unwrap()));
        child.wait().unwrap();
        // What it did and could not say.
        self.number += 1000;
    }

    fn hear(&mut self, line: &[u8]) -> usize {
        let mut words = std::str::from_utf8(line).unwrap_or("").split(' ').map(str::parse);
        let (Some(Ok(key)), Some(Ok(said)), None) = (words.next(), words.next(), words.next()) else {
            return 0;
        };
        self.last.insert(key, said);
        self.number = said;
        1
    }
}
