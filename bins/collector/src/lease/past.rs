//! What was sent with a provider's keys lately, here and by those who had them before: the last word to a successor.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tidemill_rate_limit::{Error, FileStamps, History, Record, Stamps};

/// Most records that fit into a lease's payload, with its head.
const MOST: usize = (tidemill_lease::MAX_PAYLOAD - 16) / 16;

/// Stamps that are remembered as well as written; clones share them.
#[derive(Clone, Debug)]
pub struct Past(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: FileStamps,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    horizon: Duration,
    records: VecDeque<Record>,
    unknown_until: Option<SystemTime>,
}

impl Past {
    /// Remembers what goes into `file`.
    pub fn of(file: FileStamps) -> Self {
        Self(Arc::new(Inner { file, kept: Mutex::default() }))
    }

    /// Takes over what an earlier owner left.
    pub fn inherit(&self, history: &History) {
        let mut kept = self.kept();
        kept.records.extend(&history.records);
        kept.unknown_until = kept.unknown_until.max(history.unknown_until);
    }

    /// All that a successor must know at `now`. What is too much for a lease is not known.
    pub fn history(&self, now: SystemTime) -> History {
        let mut kept = self.kept();
        kept.forget(now);
        let unknown_until = kept.unknown_until.filter(|until| *until + kept.horizon > now);
        if kept.records.len() > MOST {
            return History { records: Vec::new(), unknown_until: Some(now) };
        }
        History { records: kept.records.iter().copied().collect(), unknown_until }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Every change leaves a list that is right, if perhaps shorter.
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn forget(&mut self, now: SystemTime) {
        let since = now.checked_sub(self.horizon).unwrap_or(SystemTime::UNIX_EPOCH);
        while self.records.front().is_some_and(|record| record.at() < since) {
            self.records.pop_front();
        }
        // One more than can be told says that it is too much; none of the rest is needed.
        while self.records.len() > MOST + 1 {
            self.records.pop_front();
        }
    }
}

impl Stamps for Past {
    fn load(&self, horizon: Duration, now: SystemTime) -> Result<History, Error> {
        let history = self.0.file.load(horizon, now)?;
        self.kept().horizon = horizon;
        self.inherit(&history);
        Ok(history)
    }

    fn append(&self, record: Record) -> Result<(), Error> {
        self.0.file.append(record)?;
        let mut kept = self.kept();
        kept.records.push_back(record);
        if kept.records.len() > MOST {
            kept.forget(record.at());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(s: u64) -> Record {
        Record::Sent {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(s),
            key: 1,
            units: 1,
            ticket: (s % 60_000) as u16,
        }
    }

    #[test]
    fn it_is_as_long_as_it_matters_and_never_longer_than_can_be_told() {
        let dir = tempfile::tempdir().unwrap();
        let past = Past::of(FileStamps::open(dir.path().join("stamps")).unwrap());
        let at = |s: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(s);
        past.load(Duration::from_secs(100), at(1000)).unwrap();
        past.inherit(&History { records: vec![sent(990)], unknown_until: Some(at(950)) });
        past.append(sent(1010)).unwrap();
        let history = past.history(at(1020));
        assert_eq!((history.records.len(), history.unknown_until), (2, Some(at(950))));
        let later = past.history(at(1095));
        assert_eq!((later.records, later.unknown_until), (vec![sent(1010)], None));
        for _ in 0..2 * MOST {
            past.append(sent(1100)).unwrap();
        }
        let much = past.history(at(1100));
        assert_eq!((much.records.len(), much.unknown_until), (0, Some(at(1100))), "too much to tell");
        assert!(much.to_bytes().len() <= tidemill_lease::MAX_PAYLOAD);
    }
}
