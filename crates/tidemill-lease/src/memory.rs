//! Leases in the memory of one process, shared by its tasks.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;
use crate::error::{Cause, Error};
use crate::lease::{Moment, Record};
use crate::name::Name;
use crate::store::{Loaded, Page, Pending, Store};

/// A store that forgets everything with its process. At most 65 536 names, or as many as [`Memory::max_names`] says.
#[derive(Debug)]
pub struct Memory {
    clock: Clock,
    max_names: usize,
    records: Mutex<BTreeMap<Name, Record>>,
}

impl Memory {
    /// An empty store whose terms are measured by `clock`.
    pub fn new(clock: Clock) -> Self {
        Self { clock, max_names: 65_536, records: Mutex::default() }
    }

    /// How many names it may hold.
    #[must_use]
    pub fn max_names(mut self, names: usize) -> Self {
        self.max_names = names;
        self
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<Name, Record>> {
        // Every change is one insertion, so a panic elsewhere leaves nothing half done.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        Moment { era: 0, since: self.clock.now() }
    }

    fn swap_now(&self, name: &Name, expected: Option<&Record>, next: &Record) -> Result<bool, Error> {
        let mut records = self.records();
        let current = records.get(name).map(|record| (record.epoch, record.version));
        if current != expected.map(|record| (record.epoch, record.version)) {
            return Ok(false);
        }
        if current.is_none() && records.len() >= self.max_names {
            return Err(Cause::Full { names: records.len() as u64 }.into());
        }
        records.insert(name.clone(), next.clone());
        Ok(true)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Clock::boottime())
    }
}

impl Store for Memory {
    fn load<'a>(&'a self, name: &'a Name) -> Pending<'a, Loaded> {
        Box::pin(async move {
            let now = self.now();
            Ok(Loaded { now, record: self.records().get(name).cloned() })
        })
    }

    fn swap<'a>(
        &'a self,
        name: &'a Name,
        expected: Option<&'a Record>,
        next: &'a Record,
    ) -> Pending<'a, bool> {
        Box::pin(async move { self.swap_now(name, expected, next) })
    }

    fn page<'a>(&'a self, after: Option<&'a Name>, limit: usize) -> Pending<'a, Page> {
        Box::pin(async move {
            let now = self.now();
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let records = self.records();
            let page = records.range::<Name, _>((from, Bound::Unbounded)).take(limit);
            Ok(Page { now, records: page.map(|(name, record)| (name.clone(), record.clone())).collect() })
        })
    }
}
