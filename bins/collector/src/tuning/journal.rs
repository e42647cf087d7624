//! `DATA/state/tuning.jsonl`: every decision as one line, read again at the start.
//!
//! It is no ledger: nothing waits for the disk, a line that cannot be written is said once and kept in memory, a torn
//! line at the end is passed over. What is old is folded into one change a knob, so that values come back all the same; and what a
//! controller does each second is one decision a minute, or none where it is back where it was.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tidemill_autotune::{Decision, Outcome, Record, Turn};

/// Decisions kept in memory, and in the file when it is folded.
const KEPT: usize = 1000;
/// Lines of the file at which it is folded.
const MAX_LINES: usize = 20_000;
/// A file beyond this is somebody else's.
const MAX_BYTES: u64 = 64 << 20;
/// Over how long a controller's steps are one decision.
const TOGETHER: Duration = Duration::from_secs(60);

/// The decisions so far.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Option<File>,
    lines: usize,
    /// The newest last.
    recent: VecDeque<Record>,
    /// What older lines come to.
    folded: Vec<Record>,
    /// The steps of controllers that were not written yet, by knob, and when the first was made.
    steps: BTreeMap<String, (Duration, Record)>,
}

impl Journal {
    /// Reads what is there. A file that cannot be used is said, and then decisions stay in memory.
    pub(super) fn open(path: &Path) -> Self {
        let (recent, steps) = Default::default();
        let mut journal =
            Self { path: path.to_owned(), file: None, lines: 0, recent, folded: Vec::new(), steps };
        if let Err(error) = journal.load() {
            tracing::warn!(error = format!("{error:#}"), "settings begin with the configuration's values");
        }
        journal
    }

    /// What is known of the time before, the oldest first.
    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.folded.iter().chain(&self.recent)
    }

    /// The newest decisions, the newest first.
    pub(super) fn latest(&self, most: usize) -> impl Iterator<Item = &Record> {
        self.recent.iter().rev().take(most)
    }

    /// Adds decisions.
    pub(super) fn append(&mut self, now: Duration, records: Vec<Record>) {
        let mut due = self.due_steps(|first, _| now.saturating_sub(first) >= TOGETHER);
        for record in records {
            if self.hold(&record) {
                continue;
            }
            // What a controller did before somebody else turned its knob comes before that.
            due.extend(self.due_steps(|_, knob| turns_of(&record).iter().any(|turn| turn.knob == knob)));
            due.push(record);
        }
        self.write(due);
    }

    /// Adds what was held back.
    pub(super) fn flush(&mut self) {
        let due = self.due_steps(|_, _| true);
        self.write(due);
    }

    /// Keeps a controller's step back, added to those before it.
    fn hold(&mut self, record: &Record) -> bool {
        let Decision::Changed { by, turns, .. } = &record.decision else { return false };
        let ([turn], true) = (&turns[..], by.ends_with(" controller")) else { return false };
        let held = self.steps.remove(&turn.knob);
        let first = held.as_ref().map_or(record.at, |(first, _)| *first);
        let from = held.and_then(|(_, held)| Some(turns_of(&held).first()?.from)).unwrap_or(turn.from);
        let mut sum = record.clone();
        if let Decision::Changed { turns, .. } = &mut sum.decision {
            turns[0].from = from;
        }
        self.steps.insert(turn.knob.clone(), (first, sum));
        true
    }

    fn due_steps(&mut self, is_due: impl Fn(Duration, &str) -> bool) -> Vec<Record> {
        let due = |knob: &String, (first, _): &mut (Duration, Record)| is_due(*first, knob);
        let due = self.steps.extract_if(.., due).map(|(_, (_, record))| record);
        due.filter(|record| turns_of(record).iter().any(|turn| turn.from != turn.to)).collect()
    }

    fn write(&mut self, records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        let mut text = String::new();
        for record in &records {
            match serde_json::to_string(record) {
                Ok(line) => text.extend([line.as_str(), "\n"]),
                Err(error) => tracing::warn!(%error, "a decision that is no JSON"),
            }
        }
        self.lines += records.len();
        self.recent.extend(records);
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(text.as_bytes())
        {
            tracing::warn!(%error, path = %self.path.display(), "decisions are kept in memory only from here on");
            self.file = None;
        }
        if self.recent.len() > 2 * KEPT {
            self.fold();
        }
        if self.file.is_some() && self.lines > MAX_LINES {
            self.rewrite_or_stop();
        }
    }

    fn load(&mut self) -> Result<()> {
        let text = match std::fs::metadata(&self.path) {
            Ok(meta) if meta.len() > MAX_BYTES => {
                anyhow::bail!("{} has more than {MAX_BYTES} bytes; move it away", self.path.display())
            }
            Ok(_) => {
                std::fs::read(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", self.path.display())),
        };
        let mut unread = 0_usize;
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(record) => self.recent.push_back(record),
                Err(_) => unread += 1,
            }
        }
        self.lines = self.recent.len();
        if unread > 0 {
            tracing::warn!(lines = unread, path = %self.path.display(), "lines that are no decisions are left out");
        }
        self.fold();
        if unread > 0 || self.lines > MAX_LINES || text.last().is_some_and(|byte| *byte != b'\n') {
            return self.rewrite();
        }
        self.file = Some(self.open_to_append()?);
        Ok(())
    }

    fn open_to_append(&self) -> Result<File> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let open = File::options().create(true).append(true).open(&self.path);
        open.with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn rewrite_or_stop(&mut self) {
        if let Err(error) = self.rewrite() {
            tracing::warn!(error = format!("{error:#}"), "decisions are kept in memory only from here on");
            self.file = None;
        }
    }

    fn rewrite(&mut self) -> Result<()> {
        let next = self.path.with_extension("jsonl.next");
        let mut text = String::new();
        for record in self.records() {
            text.extend([serde_json::to_string(record)?.as_str(), "\n"]);
        }
        std::fs::write(&next, text).with_context(|| format!("cannot write {}", next.display()))?;
        std::fs::rename(&next, &self.path).with_context(|| format!("cannot rename {}", next.display()))?;
        self.lines = self.folded.len() + self.recent.len();
        self.file = Some(self.open_to_append()?);
        Ok(())
    }

    /// Keeps the newest [`KEPT`] decisions, and of the others how far they had come.
    fn fold(&mut self) {
        let old = self.recent.len().saturating_sub(KEPT);
        if old > 0 {
            let records: Vec<Record> = self.folded.drain(..).chain(self.recent.drain(..old)).collect();
            self.folded = fold(&records);
        }
    }
}

/// What decisions come to: for each knob one change from the value that the configuration had.
fn fold(records: &[Record]) -> Vec<Record> {
    let Some(last) = records.last() else { return Vec::new() };
    let mut knobs: BTreeMap<&str, Turn> = BTreeMap::new();
    for turn in records.iter().flat_map(turns_of) {
        match knobs.get_mut(turn.knob.as_str()) {
            Some(known) if known.to == turn.from => known.to = turn.to,
            // The configuration began with another value: what was before counts no more.
            _ => drop(knobs.insert(&turn.knob, turn.clone())),
        }
    }
    let turns = knobs.into_values().filter(|turn| turn.from != turn.to).collect();
    let decision = Decision::Changed { by: "earlier decisions".into(), turns, evidence: String::new() };
    vec![Record { seq: last.seq, at: last.at, decision }]
}

/// The changes of a decision that stay.
fn turns_of(record: &Record) -> &[Turn] {
    match &record.decision {
        Decision::Changed { turns, .. }
        | Decision::Undone { turns, .. }
        | Decision::Restored { turns, .. }
        | Decision::TrialEnded { turns, outcome: Outcome::Kept, .. } => turns,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(seq: u64, knob: &str, from: f64, to: f64) -> Record {
        let turns = vec![Turn { knob: knob.into(), from, to }];
        let decision = Decision::Changed { by: "test".into(), turns, evidence: String::new() };
        Record { seq, at: Duration::from_secs(seq), decision }
    }

    #[test]
    fn what_was_written_is_read_and_a_torn_line_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/tuning.jsonl");
        let mut journal = Journal::open(&path);
        journal
            .append(Duration::ZERO, vec![changed(1, "workers", 4.0, 6.0), changed(2, "workers", 6.0, 8.0)]);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"seq\":3,\"at\":{\"se");
        std::fs::write(&path, text).unwrap();

        let mut again = Journal::open(&path);
        assert_eq!(again.records().count(), 2);
        again.append(Duration::ZERO, vec![changed(3, "workers", 8.0, 2.0)]);
        let last = Journal::open(&path);
        assert_eq!(last.latest(2).map(|record| record.seq).collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn what_is_old_is_folded_and_values_come_back_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tuning.jsonl");
        let mut journal = Journal::open(&path);
        let steps = MAX_LINES as u64 + 100;
        for at in 0..steps {
            let (from, to) = ((at % 100) as f64, ((at + 1) % 100) as f64);
            journal.append(Duration::ZERO, vec![changed(at + 1, "workers", from, to)]);
        }
        journal.append(Duration::ZERO, vec![changed(steps + 1, "batch", 64.0, 32.0)]);
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines < 2 * KEPT + 200, "{lines} lines");
        let again = Journal::open(&path);
        let mut value = 0.0;
        for turn in again.records().flat_map(turns_of).filter(|turn| turn.knob == "workers") {
            assert_eq!(turn.from, value, "a chain without a gap");
            value = turn.to;
        }
        assert_eq!(value, (steps % 100) as f64);
        assert_eq!(again.latest(1).next().unwrap().seq, steps + 1);
    }

    #[test]
    fn what_a_controller_does_each_second_is_one_decision_a_minute() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tuning.jsonl");
        let step = |second: u64, from: f64, to: f64| {
            let mut record = changed(second, "concurrency", from, to);
            if let Decision::Changed { by, .. } = &mut record.decision {
                *by = "gradient controller".into();
            }
            record
        };
        let mut journal = Journal::open(&path);
        for second in 0..150 {
            let value = second as f64;
            journal.append(Duration::from_secs(second), vec![step(second, value, value + 1.0)]);
        }
        journal.append(Duration::from_secs(150), vec![changed(150, "concurrency", 150.0, 10.0)]);
        // A probe that is over leaves nothing to tell.
        journal.append(Duration::from_secs(151), vec![step(151, 10.0, 7.0)]);
        journal.append(Duration::from_secs(155), vec![step(155, 7.0, 10.0)]);
        journal.flush();
        let again = Journal::open(&path);
        let turns: Vec<(f64, f64)> =
            again.records().flat_map(turns_of).map(|turn| (turn.from, turn.to)).collect();
        assert_eq!(turns, [(0.0, 60.0), (60.0, 120.0), (120.0, 150.0), (150.0, 10.0)]);
    }

    #[test]
    fn a_configuration_that_changed_begins_anew() {
        let records = [
            changed(1, "workers", 32.0, 40.0),
            changed(2, "workers", 8.0, 10.0),
            changed(3, "workers", 10.0, 12.0),
        ];
        let folded = fold(&records);
        assert_eq!(turns_of(&folded[0]), [Turn { knob: "workers".into(), from: 8.0, to: 12.0 }]);
    }

    #[test]
    fn a_folder_that_cannot_be_written_keeps_decisions_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("state"), "a file").unwrap();
        let mut journal = Journal::open(&dir.path().join("state/tuning.jsonl"));
        journal.append(Duration::ZERO, vec![changed(1, "workers", 4.0, 6.0)]);
        assert_eq!(journal.latest(10).count(), 1);
    }
}
