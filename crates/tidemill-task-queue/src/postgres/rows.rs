//! Rows of the tables as records.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::error::Error;
use crate::id::{TaskId, Token};
use crate::priority::Priority;
use crate::record::{Progress, Record, State};
use crate::schema::{self, unsigned};
use crate::store::{Claimed, ScheduleRow};
use crate::timestamp::Timestamp;

pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, Error> {
    row.try_get(column).map_err(|_| Error::schema(format!("has a column {column} of another type")))
}

fn small(row: &Row, column: usize) -> Result<u32, Error> {
    Ok(schema::small(i64::from(get::<i32>(row, column)?)))
}

pub(super) fn priority(row: &Row, column: usize) -> Result<Priority, Error> {
    Ok(Priority::from_index(i64::from(get::<i16>(row, column)?)))
}

fn time(row: &Row, column: usize) -> Result<Option<Timestamp>, Error> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp))
}

pub(super) fn claimed(row: &Row) -> Result<(i64, Claimed), Error> {
    let task = Claimed {
        id: TaskId(unsigned(get(row, 0)?)),
        token: Token(unsigned(get(row, 1)?)),
        queue: get(row, 2)?,
        name: get(row, 3)?,
        version: small(row, 4)?,
        payload: get(row, 5)?,
        priority: priority(row, 6)?,
        attempt: small(row, 7)?,
        max_retries: small(row, 8)?,
        timeout: Duration::from_millis(unsigned(get(row, 9)?)),
        group: get(row, 10)?,
        cancel: get(row, 11)?,
        run_at: Timestamp(get(row, 12)?),
        enqueued_at: Timestamp(get(row, 13)?),
    };
    Ok((get(row, 14)?, task))
}

/// Claimed rows by rank; the server returns them as it finds them.
pub(super) fn all_claimed(rows: &[Row]) -> Result<Vec<Claimed>, Error> {
    Ok(in_order(rows.iter().map(claimed).collect::<Result<_, _>>()?))
}

/// Tasks by their rank and age.
pub(super) fn in_order(mut ranked: Vec<(i64, Claimed)>) -> Vec<Claimed> {
    ranked.sort_by_key(|(rank, task)| (*rank, task.id));
    ranked.into_iter().map(|(_, task)| task).collect()
}

pub(super) fn record(row: &Row) -> Result<Record, Error> {
    let id = TaskId(unsigned(get(row, 0)?));
    let state = State::from_code(i64::from(get::<i16>(row, 1)?));
    let fraction: Option<f64> = get(row, 17)?;
    let message: Option<String> = get(row, 18)?;
    Ok(Record {
        id,
        state: state.ok_or_else(|| schema::broken(id, "state"))?,
        queue: get(row, 2)?,
        name: get(row, 3)?,
        version: small(row, 4)?,
        priority: priority(row, 5)?,
        run_at: Timestamp(get(row, 6)?),
        attempt: small(row, 7)?,
        max_retries: small(row, 8)?,
        timeout: Duration::from_millis(unsigned(get(row, 9)?)),
        unique_key: get(row, 10)?,
        group: get(row, 11)?,
        cancel: get(row, 12)?,
        enqueued_at: Timestamp(get(row, 13)?),
        started_at: time(row, 14)?,
        token: Token(unsigned(get(row, 15)?)),
        owner: get(row, 16)?,
        progress: fraction.map(|fraction| Progress { fraction, message: message.unwrap_or_default() }),
        failures: schema::failures(id, get(row, 19)?)?,
        payload: get(row, 20)?,
        lease_until: time(row, 21)?,
        finished_at: time(row, 22)?,
        reason: get(row, 23)?,
        result: get(row, 24)?,
    })
}

pub(super) fn schedule(row: &Row) -> Result<ScheduleRow, Error> {
    Ok(ScheduleRow {
        name: get(row, 0)?,
        spec: get(row, 1)?,
        next: time(row, 2)?,
        paused: get(row, 3)?,
        last_due: time(row, 4)?,
        last_task: get::<Option<i64>>(row, 5)?.map(|id| TaskId(unsigned(id))),
    })
}
