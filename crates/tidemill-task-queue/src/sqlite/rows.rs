//! Rows of the tables as records.

use std::time::Duration;

use rusqlite::Row;

use crate::error::Error;
use crate::id::{TaskId, Token};
use crate::priority::Priority;
use crate::record::{Progress, Record, State};
use crate::schema::{self, small, unsigned};
use crate::store::{Claimed, ScheduleRow};
use crate::timestamp::Timestamp;

/// A record's columns in `tq_task`.
pub(super) const LIVE: &str = "id, state, queue, name, version, priority, run_at, attempt, max_retries, \
    timeout_ms, unique_key, grp, cancel, enqueued_at, started_at, token, owner, fraction, message, failures, \
    payload, lease_until, NULL, NULL, NULL";

/// A record's columns in `tq_done`.
pub(super) const FINISHED: &str = "id, state, queue, name, version, priority, run_at, attempt, max_retries, \
    timeout_ms, unique_key, grp, cancel, enqueued_at, started_at, token, owner, fraction, message, failures, \
    payload, NULL, finished_at, reason, result";

/// The columns of a [`Claimed`], and the rank by which several are sorted.
pub(super) const CLAIMED: &str = "id, token, queue, name, version, payload, priority, attempt, max_retries, \
    timeout_ms, grp, cancel, run_at, enqueued_at, rank";

pub(super) fn claimed(row: &Row<'_>) -> Result<(i64, Claimed), rusqlite::Error> {
    let task = Claimed {
        id: TaskId(unsigned(row.get(0)?)),
        token: Token(unsigned(row.get(1)?)),
        queue: row.get(2)?,
        name: row.get(3)?,
        version: small(row.get(4)?),
        payload: row.get(5)?,
        priority: Priority::from_index(row.get(6)?),
        attempt: small(row.get(7)?),
        max_retries: small(row.get(8)?),
        timeout: Duration::from_millis(unsigned(row.get(9)?)),
        group: row.get(10)?,
        cancel: row.get(11)?,
        run_at: Timestamp(row.get(12)?),
        enqueued_at: Timestamp(row.get(13)?),
    };
    Ok((row.get(14)?, task))
}

pub(super) fn record(row: &Row<'_>) -> Result<Result<Record, Error>, rusqlite::Error> {
    let id = TaskId(unsigned(row.get(0)?));
    let Some(state) = State::from_code(row.get(1)?) else { return Ok(Err(schema::broken(id, "state"))) };
    let failures: Option<String> = row.get(19)?;
    let failures = match schema::failures(id, failures.as_deref()) {
        Ok(failures) => failures,
        Err(error) => return Ok(Err(error)),
    };
    let fraction: Option<f64> = row.get(17)?;
    let message: Option<String> = row.get(18)?;
    let time = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(Timestamp));
    Ok(Ok(Record {
        id,
        state,
        queue: row.get(2)?,
        name: row.get(3)?,
        version: small(row.get(4)?),
        priority: Priority::from_index(row.get(5)?),
        run_at: Timestamp(row.get(6)?),
        attempt: small(row.get(7)?),
        max_retries: small(row.get(8)?),
        timeout: Duration::from_millis(unsigned(row.get(9)?)),
        unique_key: row.get(10)?,
        group: row.get(11)?,
        cancel: row.get(12)?,
        enqueued_at: Timestamp(row.get(13)?),
        started_at: time(14)?,
        token: Token(unsigned(row.get(15)?)),
        owner: row.get(16)?,
        progress: fraction.map(|fraction| Progress { fraction, message: message.unwrap_or_default() }),
        failures,
        payload: row.get(20)?,
        lease_until: time(21)?,
        finished_at: time(22)?,
        reason: row.get(23)?,
        result: row.get(24)?,
    }))
}

pub(super) fn schedule(row: &Row<'_>) -> Result<ScheduleRow, rusqlite::Error> {
    Ok(ScheduleRow {
        name: row.get(0)?,
        spec: row.get(1)?,
        next: row.get::<_, Option<i64>>(2)?.map(Timestamp),
        paused: row.get(3)?,
        last_due: row.get::<_, Option<i64>>(4)?.map(Timestamp),
        last_task: row.get::<_, Option<i64>>(5)?.map(|id| TaskId(unsigned(id))),
    })
}
