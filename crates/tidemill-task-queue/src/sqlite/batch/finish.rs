//! Runs end: they move out, or wait for their next attempt.

use rusqlite::{OptionalExtension, params};

use super::super::queries as sql;
use super::{Sql, Work};
use crate::memory::end_state;
use crate::priority::Priority;
use crate::record::{Failure, State, cut, remember};
use crate::schema::{failures_text, integer, small};
use crate::store::{End, Finish, Refusal};
use crate::timestamp::Timestamp;

impl Work<'_> {
    pub(super) fn finish(&self, finish: &Finish) -> Sql<Result<(), Refusal>> {
        let (id, now) = (integer(finish.id.0), self.batch.now);
        let bury = |state: State, result: Option<&str>, reason: Option<&str>| -> Sql<bool> {
            let moved = self.sql.prepare_cached(sql::BURY_RUN)?.execute(params![
                state.code(),
                now.0,
                result,
                reason,
                id,
                integer(finish.token.0),
                finish.owner.as_str(),
            ])?;
            if moved == 1 {
                self.sql.prepare_cached(sql::FORGET)?.execute([id])?;
            }
            Ok(moved == 1)
        };
        let accepted = match &finish.end {
            End::Done(result) => bury(State::Done, Some(result), None)?,
            End::Cancelled => bury(State::Cancelled, None, None)?,
            End::Dead(error, reason) => match self.current(finish)? {
                Some(run) => {
                    if !error.is_empty() {
                        self.note(id, run, error)?;
                    }
                    bury(State::Dead, None, Some(&cut(reason.clone())))?
                }
                None => false,
            },
            End::Retry(delay, error) => match self.current(finish)? {
                Some(run) if run.cancel => {
                    self.note(id, run, error)?;
                    bury(State::Cancelled, None, None)?
                }
                Some(mut run) => {
                    let failure = Failure { attempt: run.attempt, at: now, error: cut(error.clone()) };
                    remember(&mut run.failures, failure);
                    self.wait(id, &run, now.after(*delay), run.attempt, false)?;
                    true
                }
                None => false,
            },
            End::Released(delay) => match self.current(finish)? {
                Some(run) if run.cancel => bury(State::Cancelled, None, None)?,
                Some(run) => {
                    self.wait(id, &run, now.after(*delay), run.attempt.saturating_sub(1), true)?;
                    true
                }
                None => false,
            },
        };
        if accepted { Ok(Ok(())) } else { self.refusal(finish) }
    }

    fn current(&self, finish: &Finish) -> Sql<Option<Run>> {
        self.sql
            .prepare_cached(sql::RUN)?
            .query_row(params![integer(finish.id.0), integer(finish.token.0), finish.owner.as_str()], |row| {
                let failures: Option<String> = row.get(3)?;
                Ok(Run {
                    attempt: small(row.get(0)?),
                    priority: Priority::from_index(row.get(1)?),
                    cancel: row.get(2)?,
                    failures: failures
                        .map_or_else(Vec::new, |text| serde_json::from_str(&text).unwrap_or_default()),
                })
            })
            .optional()
    }

    pub(super) fn note(&self, id: i64, mut run: Run, error: &str) -> Sql<()> {
        let failure = Failure { attempt: run.attempt, at: self.batch.now, error: cut(error.to_owned()) };
        remember(&mut run.failures, failure);
        self.sql
            .prepare_cached("UPDATE tq_task SET failures = ?2 WHERE id = ?1")?
            .execute(params![id, failures_text(&run.failures)])?;
        Ok(())
    }

    /// With its place kept, a task that is given back at once stands where it stood.
    pub(super) fn wait(&self, id: i64, run: &Run, run_at: Timestamp, attempt: u32, kept: bool) -> Sql<()> {
        let state = if run_at > self.batch.now { State::Delayed } else { State::Ready };
        let failures = (!run.failures.is_empty()).then(|| failures_text(&run.failures));
        self.sql.prepare_cached(sql::WAIT)?.execute(params![
            id,
            state.code(),
            run.priority.rank(run_at, self.batch.aging),
            run_at.0,
            attempt,
            failures,
            kept,
        ])?;
        Ok(())
    }

    fn refusal(&self, finish: &Finish) -> Sql<Result<(), Refusal>> {
        let id = integer(finish.id.0);
        let mut live = self.sql.prepare_cached("SELECT state FROM tq_task WHERE id = ?1")?;
        if let Some(state) = live.query_row([id], |row| row.get::<_, i64>(0)).optional()? {
            let running = state == State::Running.code();
            return Ok(Err(if running { Refusal::ClaimedAnew } else { Refusal::Expired }));
        }
        let mut done = self.sql.prepare_cached("SELECT state, token, owner FROM tq_done WHERE id = ?1")?;
        let found = done
            .query_row([id], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<String>>(2)?))
            })
            .optional()?;
        let Some((state, token, owner)) = found else { return Ok(Err(Refusal::Unknown)) };
        // The same end again, after an answer that was lost.
        let same = state == end_state(&finish.end).code()
            && token == integer(finish.token.0)
            && owner.as_deref() == Some(finish.owner.as_str());
        Ok(if same { Ok(()) } else { Err(Refusal::Finished) })
    }

    pub(super) fn bury(&self, id: i64, state: State, reason: Option<&str>) -> Sql<()> {
        self.sql.prepare_cached(sql::BURY)?.execute(params![state.code(), self.batch.now.0, reason, id])?;
        self.sql.prepare_cached(sql::FORGET)?.execute([id])?;
        Ok(())
    }
}

/// What the end of a run needs to know of it.
pub(super) struct Run {
    pub(super) attempt: u32,
    pub(super) priority: Priority,
    pub(super) cancel: bool,
    pub(super) failures: Vec<Failure>,
}
