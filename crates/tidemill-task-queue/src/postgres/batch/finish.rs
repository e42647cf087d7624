//! Runs end: they move out, or wait for their next attempt.

use std::collections::HashSet;

use futures_util::future::join_all;

use super::super::queries as sql;
use super::super::rows::{self, get};
use super::{Values, Work, rounds};
use crate::error::Error;
use crate::id::{TaskId, Token};
use crate::memory::end_state;
use crate::priority::Priority;
use crate::record::{Failure, State, cut, remember};
use crate::schema::{self, failures_text, integer, small, unsigned};
use crate::store::{End, Finish, Refusal};
use crate::timestamp::Timestamp;

impl Work<'_> {
    pub(super) async fn finish_all(&self) -> Result<Vec<Result<(), Refusal>>, Error> {
        let finishes = &self.batch.finish;
        if finishes.is_empty() {
            return Ok(Vec::new());
        }
        let mut accepted = HashSet::new();
        let mut ending: Vec<Ending<'_>> = Vec::new();
        for finish in finishes {
            let end = |state| Ending { finish, state, result: None, reason: None, failures: None };
            match &finish.end {
                End::Done(result) => ending.push(Ending { result: Some(result), ..end(State::Done) }),
                End::Cancelled => ending.push(end(State::Cancelled)),
                End::Dead(error, reason) => {
                    let failures = match self.current(finish).await? {
                        Some(run) if !error.is_empty() => Some(self.note(run, error)),
                        _ => None,
                    };
                    let reason = Some(cut(reason.clone()));
                    ending.push(Ending { reason, failures, ..end(State::Dead) });
                }
                End::Retry(delay, error) => match self.current(finish).await? {
                    Some(run) if run.cancel => {
                        let failures = Some(self.note(run, error));
                        ending.push(Ending { failures, ..end(State::Cancelled) });
                    }
                    Some(run) => {
                        let (attempt, priority) = (run.attempt, run.priority);
                        let failures = Some(self.note(run, error));
                        self.wait(finish.id, priority, self.now.after(*delay), attempt, failures, false)
                            .await?;
                        accepted.insert((finish.id, finish.token));
                    }
                    None => {}
                },
                End::Released(delay) => match self.current(finish).await? {
                    Some(run) if run.cancel => ending.push(end(State::Cancelled)),
                    Some(run) => {
                        let attempt = run.attempt.saturating_sub(1);
                        self.wait(finish.id, run.priority, self.now.after(*delay), attempt, None, true)
                            .await?;
                        accepted.insert((finish.id, finish.token));
                    }
                    None => {}
                },
            }
        }
        self.end_runs(&ending, &mut accepted).await?;
        self.answers(&accepted).await
    }

    /// The ends of a plain batch, by one statement.
    pub(super) async fn end_plain(&self) -> Result<HashSet<(TaskId, Token)>, Error> {
        let ending = self.batch.finish.iter().map(|finish| {
            let result = if let End::Done(result) = &finish.end { Some(result) } else { None };
            Ending { finish, state: end_state(&finish.end), result, reason: None, failures: None }
        });
        let mut accepted = HashSet::new();
        self.end_runs(&ending.collect::<Vec<_>>(), &mut accepted).await?;
        Ok(accepted)
    }

    /// What each is told whose run was to end.
    pub(super) async fn answers(
        &self,
        accepted: &HashSet<(TaskId, Token)>,
    ) -> Result<Vec<Result<(), Refusal>>, Error> {
        let finishes = &self.batch.finish;
        let mut answers = Vec::with_capacity(finishes.len());
        for finish in finishes {
            answers.push(if accepted.contains(&(finish.id, finish.token)) {
                Ok(())
            } else {
                self.refusal(finish).await?
            });
        }
        Ok(answers)
    }

    async fn end_runs(
        &self,
        ending: &[Ending<'_>],
        accepted: &mut HashSet<(TaskId, Token)>,
    ) -> Result<(), Error> {
        // All are on their way before the first is answered.
        let rounds = rounds(ending, |end| (end.finish.id, &end.finish.owner));
        let all = join_all(rounds.iter().map(|round| self.end_round(round))).await;
        for (round, moved) in rounds.iter().zip(all) {
            let moved = moved?;
            let runs = round.iter().map(|end| (end.finish.id, end.finish.token));
            accepted.extend(runs.filter(|(id, _)| moved.contains(id)));
        }
        Ok(())
    }

    /// Which of them have moved out.
    async fn end_round(&self, ending: &[&Ending<'_>]) -> Result<HashSet<TaskId>, Error> {
        let Some(owner) = ending.first().map(|end| end.finish.owner.as_str()) else {
            return Ok(HashSet::new());
        };
        let rows = self
            .query(
                sql::END_RUNS,
                &[
                    &ending.iter().map(|end| integer(end.finish.id.0)).collect::<Vec<_>>(),
                    &ending.iter().map(|end| integer(end.finish.token.0)).collect::<Vec<_>>(),
                    &owner,
                    &ending.iter().map(|end| end.state.code() as i16).collect::<Vec<_>>(),
                    &texts(ending, |end| end.result.map(String::as_str)),
                    &texts(ending, |end| end.reason.as_deref()),
                    &texts(ending, |end| end.failures.as_deref()),
                    &self.told,
                ],
            )
            .await?;
        let moved: Option<Vec<i64>> = rows.first().map(|row| get(row, 0)).transpose()?.flatten();
        Ok(moved.into_iter().flatten().map(|id| TaskId(unsigned(id))).collect())
    }

    async fn current(&self, finish: &Finish) -> Result<Option<Run>, Error> {
        let (id, token) = (integer(finish.id.0), integer(finish.token.0));
        let rows = self.query(sql::RUN, &[&id, &token, &finish.owner.as_str()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(Run {
            attempt: small(i64::from(get::<i32>(row, 0)?)),
            priority: rows::priority(row, 1)?,
            cancel: get(row, 2)?,
            failures: schema::failures(finish.id, get(row, 3)?).unwrap_or_default(),
        }))
    }

    pub(super) fn note(&self, mut run: Run, error: &str) -> String {
        let failure = Failure { attempt: run.attempt, at: self.now, error: cut(error.to_owned()) };
        remember(&mut run.failures, failure);
        failures_text(&run.failures)
    }

    /// With its place kept, a task that is given back at once stands where it stood.
    pub(super) async fn wait(
        &self,
        id: TaskId,
        priority: Priority,
        run_at: Timestamp,
        attempt: u32,
        failures: Option<String>,
        kept: bool,
    ) -> Result<(), Error> {
        let state = if run_at > self.now { State::Delayed } else { State::Ready };
        let rank = priority.rank(run_at, self.batch.aging);
        let attempt = i32::try_from(attempt).unwrap_or(i32::MAX);
        let values: Values<'_> =
            &[&integer(id.0), &(state.code() as i16), &rank, &run_at.0, &attempt, &failures, &kept];
        self.execute(sql::WAIT, values).await.map(drop)
    }

    pub(super) async fn refusal(&self, finish: &Finish) -> Result<Result<(), Refusal>, Error> {
        let id = integer(finish.id.0);
        let live = self.query("SELECT state FROM tq_task WHERE id = $1", &[&id]).await?;
        if let Some(row) = live.first() {
            let running = i64::from(get::<i16>(row, 0)?) == State::Running.code();
            return Ok(Err(if running { Refusal::ClaimedAnew } else { Refusal::Expired }));
        }
        let done = self.query("SELECT state, token, owner FROM tq_done WHERE id = $1", &[&id]).await?;
        let Some(row) = done.first() else { return Ok(Err(Refusal::Unknown)) };
        // The same end again, after an answer that was lost. A retry that met a cancel has ended, too.
        let state = i64::from(get::<i16>(row, 0)?);
        let cancelled =
            state == State::Cancelled.code() && matches!(finish.end, End::Retry(..) | End::Released(_));
        let same = (state == end_state(&finish.end).code() || cancelled)
            && get::<i64>(row, 1)? == integer(finish.token.0)
            && get::<Option<String>>(row, 2)?.as_deref() == Some(finish.owner.as_str());
        Ok(if same { Ok(()) } else { Err(Refusal::Finished) })
    }

    pub(super) async fn bury(
        &self,
        id: TaskId,
        state: State,
        reason: Option<&str>,
        failures: Option<String>,
    ) -> Result<(), Error> {
        let values: Values<'_> = &[&integer(id.0), &(state.code() as i16), &self.now.0, &reason, &failures];
        self.execute(sql::BURY, values).await.map(drop)
    }
}

/// What the end of a run needs to know of it.
pub(super) struct Run {
    pub(super) attempt: u32,
    pub(super) priority: Priority,
    pub(super) cancel: bool,
    pub(super) failures: Vec<Failure>,
}

/// A run that moves out.
struct Ending<'a> {
    finish: &'a Finish,
    state: State,
    result: Option<&'a String>,
    reason: Option<String>,
    failures: Option<String>,
}

/// One text of each end; nothing at all where none has one.
fn texts<'a>(
    ending: &[&'a Ending<'a>],
    of: impl Fn(&'a Ending<'a>) -> Option<&'a str>,
) -> Option<Vec<Option<&'a str>>> {
    ending.iter().any(|end| of(end).is_some()).then(|| ending.iter().map(|end| of(end)).collect())
}
