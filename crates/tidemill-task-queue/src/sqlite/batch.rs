//! One batch as one transaction: many callers, one wait for the disk.

mod claim;
mod control;
mod finish;
mod lease;

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::queries as sql;
use super::tables;
use crate::id::TaskId;
use crate::limit::Limit;
use crate::record::State;
use crate::schema::{integer, unsigned};
use crate::store::{Batch, NewTask, Outcome, Placed};
use crate::timestamp::Timestamp;

type Sql<T> = Result<T, rusqlite::Error>;

/// The one connection that writes, and how its next commit waits for the disk.
pub(super) struct Writer {
    pub(super) connection: Connection,
    /// Rises when this connection may have made tasks ready.
    pub(super) writes: u64,
    full: bool,
    claim_first: String,
    claim_one: String,
}

impl Writer {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            writes: 0,
            full: true,
            claim_first: sql::claim_first(),
            claim_one: sql::claim_one(),
        }
    }

    pub(super) fn reserve(&mut self, count: u64) -> Sql<u64> {
        let next: i64 = self
            .connection
            .prepare_cached("UPDATE tq_next SET id = id + ?1 RETURNING id")?
            .query_row([integer(count)], |row| row.get(0))?;
        Ok(unsigned(next).saturating_sub(count))
    }

    pub(super) fn commit(&mut self, batch: &Batch) -> Sql<Outcome> {
        self.set_full(!batch.is_soft())?;
        // At once, so that a writer waits here and is never turned away half way.
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let work = Work {
            sql: &transaction,
            batch,
            gates: gates(&transaction)?,
            claim_first: &self.claim_first,
            claim_one: &self.claim_one,
        };
        let outcome = work.run()?;
        transaction.commit()?;
        self.writes += u64::from(batch.frees(&outcome));
        Ok(outcome)
    }

    /// The log is one file in order: a hard commit makes every soft one before it durable, and a power cut loses only a
    /// tail of soft ones.
    fn set_full(&mut self, full: bool) -> Sql<()> {
        if self.full != full {
            let text = if full { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
            self.connection.prepare_cached(text)?.execute(())?;
            self.full = full;
        }
        Ok(())
    }
}

/// Groups with a cap and where their virtual schedules stand.
type Gates = HashMap<String, (Limit, Timestamp)>;

fn gates(sql: &Connection) -> Sql<Gates> {
    let mut statement = sql.prepare_cached("SELECT grp, spec, booked FROM tq_limit")?;
    let rows = statement.query_map((), |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
    })?;
    let mut gates = Gates::new();
    for row in rows {
        let (group, spec, booked) = row?;
        // A cap that nobody can read holds everything back until it is set anew.
        let limit = serde_json::from_str(&spec).unwrap_or(Limit { max_running: Some(0), rate: None });
        gates.insert(group, (limit, Timestamp(booked)));
    }
    Ok(gates)
}

struct Work<'a> {
    sql: &'a Connection,
    batch: &'a Batch,
    gates: Gates,
    claim_first: &'a str,
    claim_one: &'a str,
}

impl Work<'_> {
    fn run(mut self) -> Sql<Outcome> {
        let batch = self.batch;
        if batch.set_back {
            self.sql.execute(
                "UPDATE tq_task SET lease_until = min(lease_until, ?1 + lease_us) WHERE state = 2",
                [batch.now.0],
            )?;
        }
        let mut outcome = Outcome { now: batch.now, ..Outcome::default() };
        outcome.enqueued = batch.enqueue.iter().map(|task| self.enqueue(task)).collect::<Sql<_>>()?;
        outcome.finished = batch.finish.iter().map(|finish| self.finish(finish)).collect::<Sql<_>>()?;
        for control in &batch.control {
            outcome.controlled.push(self.control(control)?);
        }
        outcome.beats = batch.beat.iter().map(|beat| self.beat(beat)).collect::<Sql<_>>()?;
        if batch.sweep {
            outcome.swept = self.sweep()?;
        }
        if !batch.claim.is_empty() {
            let paused = self.paused()?;
            for claim in &batch.claim {
                outcome.claimed.push(self.claim(claim, &paused)?);
            }
        }
        if batch.sweep || !batch.claim.is_empty() {
            let next: Option<i64> =
                self.sql.prepare_cached(sql::NEXT_DUE)?.query_row((), |row| row.get(0))?;
            outcome.next_due = next.map(Timestamp);
        }
        outcome.capped = !self.gates.is_empty();
        Ok(outcome)
    }

    fn enqueue(&self, task: &NewTask) -> Sql<Placed> {
        let id = integer(task.id.0);
        if self.batch.again && self.sql.prepare_cached(sql::ENDED)?.exists([id])? {
            return Ok(Placed { id: task.id, fresh: true });
        }
        let now = self.batch.now;
        let run_at = task.run_at.unwrap_or(now);
        let state = if run_at > now { State::Delayed } else { State::Ready };
        let gate = task.group.as_ref().filter(|group| self.gates.contains_key(*group));
        let inserted = self.sql.prepare_cached(sql::INSERT)?.execute(params![
            id,
            state.code(),
            task.queue,
            task.priority.rank(run_at, self.batch.aging),
            task.name,
            task.version,
            task.priority.index() as i64,
            run_at.0,
            task.max_retries,
            timeout_ms(task),
            task.unique_key,
            task.group,
            gate,
            now.0,
            task.payload,
        ])?;
        if inserted == 1 {
            return Ok(Placed { id: task.id, fresh: true });
        }
        let holder: Option<i64> = match &task.unique_key {
            Some(key) => self
                .sql
                .prepare_cached(sql::HOLDER)?
                .query_row(params![task.name, key], |row| row.get(0))
                .optional()?,
            None => None,
        };
        // Without a holder it is this very task, asked for twice.
        let id = holder.map_or(task.id, |id| TaskId(unsigned(id)));
        Ok(Placed { id, fresh: id == task.id })
    }
}

fn timeout_ms(task: &NewTask) -> i64 {
    i64::try_from(task.timeout.as_millis()).unwrap_or(i64::MAX)
}

/// A connection beside the writer.
pub(super) fn second(path: &std::path::Path, config: &super::SqliteConfig) -> Sql<Connection> {
    tables::connect(path, config)
}
