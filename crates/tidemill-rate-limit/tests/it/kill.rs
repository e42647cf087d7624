//! A process that is really killed: every stamp it was told is written is there for the next one.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use tidemill_rate_limit::{FileStamps, Record, Stamps};

const CHILD: &str = "STAMPS_OF_THE_KILLED_CHILD";
const HORIZON: Duration = Duration::from_secs(3600);

#[test]
fn every_stamp_outlives_kill_9() {
    if let Some(path) = std::env::var_os(CHILD) {
        return stamp_until_killed(&FileStamps::open(path).unwrap());
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stamps");
    let mut told = 0;
    for round in 1..=5u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::every_stamp_outlives_kill_9", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The harness prints lines of its own, the first of ours perhaps behind one of them.
        told += lines
            .map(Result::unwrap)
            .filter(|line| line.ends_with("stamped"))
            .take(400 * round as usize)
            .count();
        child.kill().unwrap();
        child.wait().unwrap();
        let history = FileStamps::open(&path).unwrap().load(HORIZON, SystemTime::now()).unwrap();
        let kept =
            history.records.iter().filter(|record| matches!(record, Record::Sent { key: 7, .. })).count();
        assert_eq!(history.unknown_until, None);
        assert!(kept >= told, "round {round}: {kept} of {told} stamps are left");
        told = kept;
    }
    assert!(told >= 400 * (1 + 2 + 3 + 4 + 5), "{told}");
}

fn stamp_until_killed(stamps: &FileStamps) {
    stamps.load(HORIZON, SystemTime::now()).unwrap();
    let mut out = std::io::stdout();
    for ticket in (0..=u16::MAX).cycle() {
        stamps.append(Record::Sent { at: SystemTime::now(), key: 7, units: 1, ticket }).unwrap();
        if writeln!(out, "stamped").is_err() {
            return;
        }
    }
}
