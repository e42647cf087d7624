//! One batch as one transaction of few round trips.

use std::collections::{HashMap, HashSet};

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::failed;
use super::link::Link;
use super::queries as sql;
use super::rows::{self, get};
use crate::error::Error;
use crate::id::{TaskId, Token};
use crate::limit::Limit;
use crate::memory::{EXPIRED, SWEEP, end_state};
use crate::priority::Priority;
use crate::record::{Failure, State, cut, remember};
use crate::rules::{self, Verdict};
use crate::schema::{self, failures_text, integer, small, unsigned};
use crate::store::{
    Answer, Batch, Claim, Claimed, Control, End, Finish, Fire, NewTask, Outcome, Placed, Pulse, Refusal,
    Swept,
};
use crate::timestamp::{Timestamp, micros};

type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Setting a group's caps waits for enqueues into groups, which would not know of them.
const GATES: i64 = 0x7469_6465_7471_6761;

/// Groups with a cap and where their virtual schedules stand.
type Gates = HashMap<String, (Limit, Timestamp)>;

pub(super) struct Work<'a> {
    link: &'a Link,
    batch: &'a Batch,
    now: Timestamp,
    paused: HashSet<String>,
    gates: Gates,
}

/// Commits a batch; on an error the transaction is left open and the connection must not be used again.
pub(super) async fn commit(link: &Link, batch: &Batch) -> Result<Outcome, Error> {
    let grouped = batch.enqueue.iter().any(|task| task.group.is_some())
        || batch.control.iter().any(|control| matches!(control, Control::Limit(..) | Control::Replay(_)));
    let exclusive = batch.control.iter().any(|control| matches!(control, Control::Limit(..)));
    let begin = match (batch.is_soft(), grouped, exclusive) {
        // A claim that a crash of the server forgets comes again; its token is above, as the clock ran on.
        (true, ..) => "BEGIN; SET LOCAL synchronous_commit = off".to_owned(),
        (false, true, false) => format!("BEGIN; SELECT pg_advisory_xact_lock_shared({GATES})"),
        (false, true, true) => format!("BEGIN; SELECT pg_advisory_xact_lock({GATES})"),
        (false, false, _) => "BEGIN".to_owned(),
    };
    let facts = link.statement(sql::FACTS).await.map_err(|error| failed("commit", error))?;
    // Both at once: the second is on its way before the first is answered.
    let (begun, facts) = tokio::join!(link.client.batch_execute(&begin), link.client.query_one(&facts, &[]));
    begun.map_err(|error| failed("begin", error))?;
    let facts = facts.map_err(|error| failed("begin", error))?;
    let paused: Vec<String> = get(&facts, 1)?;
    let mut work = Work {
        link,
        batch,
        now: Timestamp(get(&facts, 0)?),
        paused: paused.into_iter().collect(),
        gates: Gates::new(),
    };
    if get::<i64>(&facts, 2)? > 0 {
        let lock = !batch.claim.is_empty() || exclusive;
        work.gates = work.read_gates(lock).await?;
    }
    let outcome = work.run().await?;
    link.client.batch_execute("COMMIT").await.map_err(|error| failed("commit", error))?;
    Ok(outcome)
}

impl Work<'_> {
    async fn query(&self, text: &'static str, values: Values<'_>) -> Result<Vec<Row>, Error> {
        let run = async {
            let statement = self.link.statement(text).await?;
            self.link.client.query(&statement, values).await
        };
        run.await.map_err(|error| failed("commit", error))
    }

    async fn execute(&self, text: &'static str, values: Values<'_>) -> Result<u64, Error> {
        let run = async {
            let statement = self.link.statement(text).await?;
            self.link.client.execute(&statement, values).await
        };
        run.await.map_err(|error| failed("commit", error))
    }

    async fn read_gates(&self, lock: bool) -> Result<Gates, Error> {
        let text = if lock {
            "SELECT grp, spec, booked FROM tq_limit ORDER BY grp FOR UPDATE"
        } else {
            "SELECT grp, spec, booked FROM tq_limit"
        };
        let mut gates = Gates::new();
        for row in self.query(text, &[]).await? {
            let spec: String = get(&row, 1)?;
            // A cap that nobody can read holds everything back until it is set anew.
            let limit = serde_json::from_str(&spec).unwrap_or(Limit { max_running: Some(0), rate: None });
            gates.insert(get(&row, 0)?, (limit, Timestamp(get(&row, 2)?)));
        }
        Ok(gates)
    }

    async fn run(&mut self) -> Result<Outcome, Error> {
        let batch = self.batch;
        let (enqueued, finished) = tokio::join!(self.enqueue_all(), self.finish_all());
        let mut outcome =
            Outcome { now: self.now, enqueued: enqueued?, finished: finished?, ..Outcome::default() };
        for control in &batch.control {
            outcome.controlled.push(self.control(control).await?);
        }
        if !batch.beat.is_empty() {
            outcome.beats = self.beat_all().await?;
        }
        if batch.sweep {
            outcome.swept = self.sweep().await?;
        }
        for claim in &batch.claim {
            outcome.claimed.push(self.claim(claim).await?);
        }
        if batch.sweep {
            let next = self.query(sql::NEXT_DUE, &[]).await?;
            outcome.next_due =
                next.first().map(|row| get::<Option<i64>>(row, 0)).transpose()?.flatten().map(Timestamp);
        }
        outcome.capped = !self.gates.is_empty();
        Ok(outcome)
    }

    async fn enqueue_all(&self) -> Result<Vec<Placed>, Error> {
        self.enqueue(&self.batch.enqueue.iter().collect::<Vec<_>>()).await
    }

    async fn enqueue(&self, tasks: &[&NewTask]) -> Result<Vec<Placed>, Error> {
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.now;
        // In one order everywhere, so that two inserts of the same keys wait for each other and not in a circle.
        let mut order: Vec<&NewTask> = tasks.to_vec();
        order.sort_by(|a, b| (&a.unique_key, a.id).cmp(&(&b.unique_key, b.id)));
        let at = |task: &NewTask| task.run_at.unwrap_or(now);
        let waits = |task: &NewTask| if at(task) > now { State::Delayed } else { State::Ready };
        let column =
            |pick: &dyn Fn(&NewTask) -> i64| order.iter().map(|task| pick(task)).collect::<Vec<i64>>();
        let short =
            |pick: &dyn Fn(&NewTask) -> i64| column(pick).iter().map(|n| *n as i16).collect::<Vec<i16>>();
        let number = |pick: &dyn Fn(&NewTask) -> u32| {
            order.iter().map(|task| i32::try_from(pick(task)).unwrap_or(i32::MAX)).collect::<Vec<i32>>()
        };
        let rows = self
            .query(
                sql::INSERT,
                &[
                    &column(&|task| integer(task.id.0)),
                    &short(&|task| waits(task).code()),
                    &order.iter().map(|task| task.queue.as_str()).collect::<Vec<_>>(),
                    &column(&|task| task.priority.rank(at(task), self.batch.aging)),
                    &order.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(),
                    &number(&|task| task.version),
                    &short(&|task| task.priority.index() as i64),
                    &column(&|task| at(task).0),
                    &number(&|task| task.max_retries),
                    &column(&|task| i64::try_from(task.timeout.as_millis()).unwrap_or(i64::MAX)),
                    &order.iter().map(|task| task.unique_key.as_deref()).collect::<Vec<_>>(),
                    &order.iter().map(|task| task.group.as_deref()).collect::<Vec<_>>(),
                    &order
                        .iter()
                        .map(|task| task.group.as_deref().filter(|group| self.gates.contains_key(*group)))
                        .collect::<Vec<_>>(),
                    &now.0,
                    &order.iter().map(|task| task.payload.as_str()).collect::<Vec<_>>(),
                ],
            )
            .await?;
        let mut kept = HashSet::new();
        for row in &rows {
            kept.insert(unsigned(get(row, 0)?));
        }
        let mut placed = Vec::with_capacity(tasks.len());
        for task in tasks {
            let mut id = task.id;
            if !kept.contains(&task.id.0)
                && let Some(key) = &task.unique_key
            {
                let holder = self.query(sql::HOLDER, &[&task.name, key]).await?;
                let Some(row) = holder.first() else {
                    // It ended in between: the same batch again finds the key free.
                    return Err(Error::unavailable(
                        "keep a task whose key was just freed",
                        "asked too early",
                    ));
                };
                id = TaskId(unsigned(get(row, 0)?));
            }
            // Without a holder it is this very task, asked for twice.
            placed.push(Placed { id, fresh: id == task.id });
        }
        Ok(placed)
    }

    async fn finish_all(&self) -> Result<Vec<Result<(), Refusal>>, Error> {
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
                        self.wait(finish.id, priority, self.now.after(*delay), attempt, failures).await?;
                        accepted.insert((finish.id, finish.token));
                    }
                    None => {}
                },
                End::Released(delay) => match self.current(finish).await? {
                    Some(run) if run.cancel => ending.push(end(State::Cancelled)),
                    Some(run) => {
                        let attempt = run.attempt.saturating_sub(1);
                        self.wait(finish.id, run.priority, self.now.after(*delay), attempt, None).await?;
                        accepted.insert((finish.id, finish.token));
                    }
                    None => {}
                },
            }
        }
        self.end_runs(&ending, &mut accepted).await?;
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
        if ending.is_empty() {
            return Ok(());
        }
        let rows = self
            .query(
                sql::END_RUNS,
                &[
                    &ending.iter().map(|end| integer(end.finish.id.0)).collect::<Vec<_>>(),
                    &ending.iter().map(|end| integer(end.finish.token.0)).collect::<Vec<_>>(),
                    &ending.iter().map(|end| end.finish.owner.as_str()).collect::<Vec<_>>(),
                    &ending.iter().map(|end| end.state.code() as i16).collect::<Vec<_>>(),
                    &ending.iter().map(|end| end.result).collect::<Vec<_>>(),
                    &ending.iter().map(|end| end.reason.as_deref()).collect::<Vec<_>>(),
                    &ending.iter().map(|end| end.failures.as_deref()).collect::<Vec<_>>(),
                    &self.now.0,
                ],
            )
            .await?;
        for row in &rows {
            let run = (TaskId(unsigned(get(row, 0)?)), Token(unsigned(get(row, 1)?)));
            accepted.insert(run);
        }
        Ok(())
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

    fn note(&self, mut run: Run, error: &str) -> String {
        let failure = Failure { attempt: run.attempt, at: self.now, error: cut(error.to_owned()) };
        remember(&mut run.failures, failure);
        failures_text(&run.failures)
    }

    async fn wait(
        &self,
        id: TaskId,
        priority: Priority,
        run_at: Timestamp,
        attempt: u32,
        failures: Option<String>,
    ) -> Result<(), Error> {
        let state = if run_at > self.now { State::Delayed } else { State::Ready };
        let rank = priority.rank(run_at, self.batch.aging);
        let attempt = i32::try_from(attempt).unwrap_or(i32::MAX);
        let values: Values<'_> =
            &[&integer(id.0), &(state.code() as i16), &rank, &run_at.0, &attempt, &failures];
        self.execute(sql::WAIT, values).await.map(drop)
    }

    async fn refusal(&self, finish: &Finish) -> Result<Result<(), Refusal>, Error> {
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

    async fn bury(
        &self,
        id: TaskId,
        state: State,
        reason: Option<&str>,
        failures: Option<String>,
    ) -> Result<(), Error> {
        let values: Values<'_> = &[&integer(id.0), &(state.code() as i16), &self.now.0, &reason, &failures];
        self.execute(sql::BURY, values).await.map(drop)
    }

    async fn control(&mut self, control: &Control) -> Result<Answer, Error> {
        let done = |_| Answer::Done;
        match control {
            Control::Cancel(id) => self.cancel(*id).await,
            Control::Replay(id) => self.replay(*id).await,
            Control::Pause(queue, true) => {
                let text = "INSERT INTO tq_paused (queue) VALUES ($1) ON CONFLICT DO NOTHING";
                self.execute(text, &[queue]).await.map(done)
            }
            Control::Pause(queue, false) => {
                self.execute("DELETE FROM tq_paused WHERE queue = $1", &[queue]).await.map(done)
            }
            Control::Limit(group, limit) => self.limit(group, *limit).await,
            Control::Purge { done, dead } => {
                let mut gone = 0;
                for (state, before) in [(State::Done, done), (State::Dead, dead), (State::Cancelled, dead)] {
                    let left = integer((SWEEP as u64).saturating_sub(gone));
                    gone += self.execute(sql::PURGE, &[&(state.code() as i16), &before.0, &left]).await?;
                }
                Ok(Answer::Purged(gone))
            }
            Control::PutSchedule(row) => {
                let text = "INSERT INTO tq_schedule (name, spec, next, paused) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (name) DO UPDATE SET spec = $2, next = $3, paused = $4";
                let next = row.next.map(|at| at.0);
                self.execute(text, &[&row.name, &row.spec, &next, &row.paused]).await.map(done)
            }
            Control::DropSchedule(name) => {
                let gone = self.execute("DELETE FROM tq_schedule WHERE name = $1", &[name]).await?;
                Ok(if gone == 1 { Answer::Done } else { Answer::Unknown })
            }
            Control::Fire(fire) => self.fire(fire).await,
        }
    }

    async fn cancel(&self, id: TaskId) -> Result<Answer, Error> {
        let text = "UPDATE tq_task SET cancel = (state = 2) WHERE id = $1 RETURNING state";
        let live = self.query(text, &[&integer(id.0)]).await?;
        if let Some(row) = live.first() {
            if i64::from(get::<i16>(row, 0)?) == State::Running.code() {
                return Ok(Answer::Asked);
            }
            self.bury(id, State::Cancelled, None, None).await?;
            return Ok(Answer::Done);
        }
        Ok(match self.done_state(id).await? {
            None => Answer::Unknown,
            Some(State::Cancelled) => Answer::Done,
            Some(state) => Answer::Not(state),
        })
    }

    async fn done_state(&self, id: TaskId) -> Result<Option<State>, Error> {
        let rows =
            self.query("SELECT state FROM tq_done WHERE id = $1 FOR UPDATE", &[&integer(id.0)]).await?;
        let code = rows.first().map(|row| get::<i16>(row, 0)).transpose()?;
        Ok(code.and_then(|code| State::from_code(i64::from(code))))
    }

    async fn replay(&self, id: TaskId) -> Result<Answer, Error> {
        let key = integer(id.0);
        match self.done_state(id).await? {
            Some(State::Dead | State::Cancelled) => {}
            Some(state) => return Ok(Answer::Not(state)),
            None => {
                let live = self.query("SELECT state FROM tq_task WHERE id = $1", &[&key]).await?;
                let code = live.first().map(|row| get::<i16>(row, 0)).transpose()?;
                let state = code.and_then(|code| State::from_code(i64::from(code)));
                return Ok(state.map_or(Answer::Unknown, Answer::Not));
            }
        }
        let text = "INSERT INTO tq_task (id, state, queue, rank, token, attempt, owner, name, version, priority, run_at, \
             max_retries, timeout_ms, unique_key, grp, gate, cancel, enqueued_at, started_at, fraction, message, failures, \
             payload) SELECT d.id, 0, d.queue, $2 + d.priority * $3::BIGINT, d.token, 0, d.owner, d.name, d.version, d.priority, \
             $2, d.max_retries, d.timeout_ms, d.unique_key, d.grp, l.grp, false, d.enqueued_at, d.started_at, d.fraction, \
             d.message, d.failures, d.payload FROM tq_done d LEFT JOIN tq_limit l ON l.grp = d.grp WHERE d.id = $1 \
             ON CONFLICT DO NOTHING";
        let moved = self.execute(text, &[&key, &self.now.0, &micros(self.batch.aging)]).await?;
        if moved == 0 {
            return Ok(Answer::Missed);
        }
        self.execute("DELETE FROM tq_done WHERE id = $1", &[&key]).await?;
        Ok(Answer::Done)
    }

    async fn limit(&mut self, group: &String, limit: Option<Limit>) -> Result<Answer, Error> {
        let known = self.gates.contains_key(group);
        match limit {
            Some(limit) => {
                let spec = serde_json::to_string(&limit).unwrap_or_default();
                let text = "INSERT INTO tq_limit (grp, spec, booked) VALUES ($1, $2, $3) \
                     ON CONFLICT (grp) DO UPDATE SET spec = $2";
                self.execute(text, &[group, &spec, &self.now.0]).await?;
                let booked = self.gates.get(group).map_or(self.now, |(_, booked)| *booked);
                self.gates.insert(group.clone(), (limit, booked));
            }
            None => {
                self.execute("DELETE FROM tq_limit WHERE grp = $1", &[group]).await?;
                self.gates.remove(group);
            }
        }
        if known != limit.is_some() {
            let gate = limit.map(|_| group.as_str());
            self.execute("UPDATE tq_task SET gate = $2 WHERE grp = $1", &[group, &gate]).await?;
        }
        Ok(if known || limit.is_some() { Answer::Done } else { Answer::Unknown })
    }

    async fn fire(&self, fire: &Fire) -> Result<Answer, Error> {
        let text = "SELECT name, spec, next, paused, last_due, last_task FROM tq_schedule WHERE name = $1 FOR UPDATE";
        let rows = self.query(text, &[&fire.name]).await?;
        let Some(row) = rows.first().map(rows::schedule).transpose()? else { return Ok(Answer::Unknown) };
        if row.paused || row.next != Some(fire.due) {
            let ours = fire.task.as_ref().is_some_and(|task| row.last_task == Some(task.id));
            let Some(id) = row.last_task.filter(|_| ours) else { return Ok(Answer::Missed) };
            return Ok(Answer::Fired(Placed { id, fresh: true }));
        }
        let placed = match &fire.task {
            Some(task) => self.enqueue(&[task]).await?.pop(),
            None => None,
        };
        if fire.wait && placed.is_some_and(|placed| !placed.fresh) {
            return Ok(Answer::Missed);
        }
        let next = fire.next.map(|at| at.0);
        match placed {
            Some(placed) => {
                let text = "UPDATE tq_schedule SET next = $2, last_due = $3, last_task = $4 WHERE name = $1";
                self.execute(text, &[&fire.name, &next, &fire.due.0, &integer(placed.id.0)]).await?;
                Ok(Answer::Fired(placed))
            }
            None => {
                self.execute("UPDATE tq_schedule SET next = $2 WHERE name = $1", &[&fire.name, &next])
                    .await?;
                Ok(Answer::Done)
            }
        }
    }

    async fn beat_all(&self) -> Result<Vec<Pulse>, Error> {
        let beats = &self.batch.beat;
        let said = |pick: &dyn Fn(&crate::record::Progress) -> f64| {
            beats.iter().map(|beat| beat.progress.as_ref().map(pick)).collect::<Vec<Option<f64>>>()
        };
        let rows = self
            .query(
                sql::BEAT,
                &[
                    &beats.iter().map(|beat| integer(beat.id.0)).collect::<Vec<_>>(),
                    &beats.iter().map(|beat| integer(beat.token.0)).collect::<Vec<_>>(),
                    &beats.iter().map(|beat| beat.owner.as_str()).collect::<Vec<_>>(),
                    &beats.iter().map(|beat| micros(beat.lease)).collect::<Vec<_>>(),
                    &said(&|progress| progress.fraction),
                    &self.now.0,
                    &beats
                        .iter()
                        .map(|beat| beat.progress.as_ref().map(|progress| progress.message.as_str()))
                        .collect::<Vec<_>>(),
                ],
            )
            .await?;
        let mut heard: HashMap<u64, bool> = HashMap::new();
        for row in &rows {
            heard.insert(unsigned(get(row, 0)?), get(row, 1)?);
        }
        Ok(beats
            .iter()
            .map(|beat| match heard.get(&beat.id.0) {
                None => Pulse::Lost,
                Some(true) => Pulse::Cancel,
                Some(false) => Pulse::Held,
            })
            .collect())
    }

    async fn sweep(&self) -> Result<Swept, Error> {
        let now = self.now;
        let aging = micros(self.batch.aging);
        let due = self.execute(sql::DUE, &[&now.0, &aging, &(SWEEP as i64)]).await?;
        let mut swept = Swept { due, more: due >= SWEEP as u64, ..Swept::default() };
        let expired = self.query(sql::EXPIRED, &[&now.0, &(SWEEP as i64)]).await?;
        swept.more |= expired.len() >= SWEEP;
        for row in &expired {
            let id = TaskId(unsigned(get(row, 0)?));
            let max_retries = small(i64::from(get::<i32>(row, 2)?));
            let run = Run {
                attempt: small(i64::from(get::<i32>(row, 1)?)),
                cancel: get(row, 3)?,
                priority: rows::priority(row, 4)?,
                failures: schema::failures(id, get(row, 5)?).unwrap_or_default(),
            };
            let (attempt, priority, cancel) = (run.attempt, run.priority, run.cancel);
            let failures = Some(self.note(run, EXPIRED));
            match rules::after_expiry(attempt, max_retries) {
                _ if cancel => self.bury(id, State::Cancelled, None, failures).await?,
                Verdict::Retry(delay) => {
                    self.wait(id, priority, now.after(delay), attempt, failures).await?;
                    swept.reclaimed.push(id);
                }
                Verdict::Dead(reason) => {
                    self.bury(id, State::Dead, Some(&reason), failures).await?;
                    swept.dead.push(id);
                }
            }
        }
        // The server's clock was set back since these were claimed.
        let cut = "UPDATE tq_task SET lease_until = $1 + lease_us WHERE state = 2 AND lease_until > $1 + 86400000000 \
             AND lease_until > $1 + lease_us";
        self.execute(cut, &[&now.0]).await?;
        Ok(swept)
    }

    async fn claim(&mut self, claim: &Claim) -> Result<Vec<Claimed>, Error> {
        let open: Vec<&str> =
            claim.queues.iter().map(String::as_str).filter(|queue| !self.paused.contains(*queue)).collect();
        let limit = i64::try_from(claim.limit).unwrap_or(i64::MAX);
        let (owner, lease) = (claim.owner.as_str(), micros(claim.lease));
        if open.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let rows = if let ([queue], true) = (&open[..], self.gates.is_empty()) {
            self.query(sql::CLAIM_FIRST, &[&self.now.0, &owner, &lease, queue, &limit]).await?
        } else {
            let chosen = self.choose(&open, claim.limit).await?;
            if chosen.is_empty() {
                return Ok(Vec::new());
            }
            self.query(sql::CLAIM_CHOSEN, &[&self.now.0, &owner, &lease, &chosen]).await?
        };
        let mut taken = rows.iter().map(rows::claimed).collect::<Result<Vec<_>, _>>()?;
        taken.sort_by_key(|(rank, task)| (*rank, task.id));
        let taken: Vec<Claimed> = taken.into_iter().map(|(_, task)| task).collect();
        self.book(&taken).await?;
        Ok(taken)
    }

    /// The first by rank over several queues and over what each capped group has room for.
    async fn choose(&self, queues: &[&str], limit: usize) -> Result<Vec<i64>, Error> {
        let pair = |row: &Row| Ok::<_, Error>((get::<i64>(row, 0)?, unsigned(get(row, 1)?)));
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut candidates: Vec<(i64, u64)> = Vec::new();
        for queue in queues {
            for row in self.query(sql::FREE, &[queue, &most]).await? {
                candidates.push(pair(&row)?);
            }
        }
        for (group, (cap, booked)) in &self.gates {
            let running = self.query(sql::GATE_RUNNING, &[group]).await?;
            let running = running.first().map(|row| get::<i64>(row, 0)).transpose()?.unwrap_or(0);
            let room = cap.room(small(running), *booked, self.now).min(limit);
            if room == 0 {
                continue;
            }
            let mut gated = Vec::new();
            for queue in queues {
                for row in self.query(sql::GATED, &[group, queue, &(room as i64)]).await? {
                    gated.push(pair(&row)?);
                }
            }
            gated.sort_unstable();
            gated.truncate(room);
            candidates.append(&mut gated);
        }
        Ok(rules::first_by_rank(candidates, limit).into_iter().map(integer).collect())
    }

    /// Moves the virtual schedules of the groups whose tasks start.
    async fn book(&mut self, taken: &[Claimed]) -> Result<(), Error> {
        let mut started: HashMap<&str, usize> = HashMap::new();
        for group in taken.iter().filter_map(|task| task.group.as_deref()) {
            *started.entry(group).or_default() += 1;
        }
        for (group, count) in started {
            let Some((limit, booked)) = self.gates.get_mut(group) else { continue };
            *booked = limit.book(*booked, self.now, count);
            let booked = booked.0;
            self.execute("UPDATE tq_limit SET booked = $2 WHERE grp = $1", &[&group, &booked]).await?;
        }
        Ok(())
    }
}

/// What the end of a run needs to know of it.
struct Run {
    attempt: u32,
    priority: Priority,
    cancel: bool,
    failures: Vec<Failure>,
}

/// A run that moves out.
struct Ending<'a> {
    finish: &'a Finish,
    state: State,
    result: Option<&'a String>,
    reason: Option<String>,
    failures: Option<String>,
}
