//! Tasks in the memory of a process: for tests, for tasks that need not survive, and as the model of the other stores.

mod overview;
mod tables;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::id::TaskId;
use crate::record::{Filter, Record, State};
use crate::store::{Batch, End, Outcome, Overview, Pending, ScheduleRow, Store};
use tables::Tables;

/// How many tasks one sweep or purge touches at most, in every store.
pub(crate) const SWEEP: usize = 1000;

/// A store that is lost with the process. Plain maps and no index: each rule stands here in its shortest form.
#[derive(Debug, Default)]
pub struct Memory {
    tables: Mutex<Tables>,
}

impl Memory {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now<'a, T: Send + 'a>(value: T) -> Pending<'a, T> {
    Box::pin(std::future::ready(Ok(value)))
}

impl Store for Memory {
    fn reserve(&self, count: u64) -> Pending<'_, u64> {
        let mut tables = self.tables();
        let first = tables.next_id + 1;
        tables.next_id += count;
        now(first)
    }

    fn commit(&self, batch: Arc<Batch>) -> Pending<'_, Outcome> {
        let outcome = self.tables().commit(&batch);
        now(outcome)
    }

    fn get(&self, id: TaskId) -> Pending<'_, Option<Record>> {
        let found = self.tables().tasks.get(&id).map(|row| row.record.clone());
        now(found)
    }

    fn list(&self, filter: Filter) -> Pending<'_, Vec<Record>> {
        let tables = self.tables();
        let rows = tables.tasks.values().rev().map(|row| &row.record);
        let page = rows.filter(|record| filter.accepts(record)).take(filter.page()).cloned().collect();
        now(page)
    }

    fn overview(&self) -> Pending<'_, Overview> {
        let overview = self.tables().overview();
        now(overview)
    }

    fn schedules(&self) -> Pending<'_, Vec<ScheduleRow>> {
        let rows = self.tables().schedules.values().cloned().collect();
        now(rows)
    }

    fn changed(&self, poll: Duration, seen: u64) -> Pending<'_, u64> {
        Box::pin(async move {
            // Not at once after the last look, which this process's own writes would ask for each time.
            if seen != 0 {
                tokio::time::sleep(poll).await;
            }
            loop {
                let writes = self.tables().writes;
                if writes != seen {
                    return Ok(writes);
                }
                tokio::time::sleep(poll).await;
            }
        })
    }

    fn check(&self) -> Pending<'_, Vec<String>> {
        now(Vec::new())
    }
}

/// What stands in the history of an attempt whose worker vanished.
pub(crate) const EXPIRED: &str = "the lease ended without a word of the worker";

/// The state that an end leads to, if it is the last.
pub(crate) fn end_state(end: &End) -> State {
    match end {
        End::Done(_) => State::Done,
        End::Dead(..) => State::Dead,
        End::Cancelled => State::Cancelled,
        End::Retry(..) => State::Delayed,
        End::Released(_) => State::Ready,
    }
}
