//! One batch as one transaction: many callers, one wait for the disk.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::queries as sql;
use super::rows;
use super::tables;
use crate::id::TaskId;
use crate::limit::Limit;
use crate::memory::{EXPIRED, SWEEP, end_state};
use crate::priority::Priority;
use crate::record::{Failure, State, cut, remember};
use crate::rules::{self, Verdict};
use crate::schema::{failures_text, integer, small, unsigned};
use crate::store::{
    Answer, Batch, Beat, Claim, Claimed, Control, End, Finish, Fire, NewTask, Outcome, Placed, Pulse,
    Refusal, ScheduleRow, Swept,
};
use crate::timestamp::{Timestamp, micros};

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
        let now = self.batch.now;
        let run_at = task.run_at.unwrap_or(now);
        let state = if run_at > now { State::Delayed } else { State::Ready };
        let gate = task.group.as_ref().filter(|group| self.gates.contains_key(*group));
        let inserted = self.sql.prepare_cached(sql::INSERT)?.execute(params![
            integer(task.id.0),
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

    fn finish(&self, finish: &Finish) -> Sql<Result<(), Refusal>> {
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
                    self.wait(id, &run, now.after(*delay), run.attempt)?;
                    true
                }
                None => false,
            },
            End::Released(delay) => match self.current(finish)? {
                Some(run) if run.cancel => bury(State::Cancelled, None, None)?,
                Some(run) => {
                    self.wait(id, &run, now.after(*delay), run.attempt.saturating_sub(1))?;
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

    fn note(&self, id: i64, mut run: Run, error: &str) -> Sql<()> {
        let failure = Failure { attempt: run.attempt, at: self.batch.now, error: cut(error.to_owned()) };
        remember(&mut run.failures, failure);
        self.sql
            .prepare_cached("UPDATE tq_task SET failures = ?2 WHERE id = ?1")?
            .execute(params![id, failures_text(&run.failures)])?;
        Ok(())
    }

    fn wait(&self, id: i64, run: &Run, run_at: Timestamp, attempt: u32) -> Sql<()> {
        let state = if run_at > self.batch.now { State::Delayed } else { State::Ready };
        let failures = (!run.failures.is_empty()).then(|| failures_text(&run.failures));
        self.sql.prepare_cached(sql::WAIT)?.execute(params![
            id,
            state.code(),
            run.priority.rank(run_at, self.batch.aging),
            run_at.0,
            attempt,
            failures,
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

    fn bury(&self, id: i64, state: State, reason: Option<&str>) -> Sql<()> {
        self.sql.prepare_cached(sql::BURY)?.execute(params![state.code(), self.batch.now.0, reason, id])?;
        self.sql.prepare_cached(sql::FORGET)?.execute([id])?;
        Ok(())
    }

    fn control(&mut self, control: &Control) -> Sql<Answer> {
        match control {
            Control::Cancel(id) => self.cancel(*id),
            Control::Replay(id) => self.replay(*id),
            Control::Pause(queue, true) => {
                self.sql
                    .execute("INSERT INTO tq_paused (queue) VALUES (?1) ON CONFLICT DO NOTHING", [queue])?;
                Ok(Answer::Done)
            }
            Control::Pause(queue, false) => {
                self.sql.execute("DELETE FROM tq_paused WHERE queue = ?1", [queue])?;
                Ok(Answer::Done)
            }
            Control::Limit(group, limit) => self.limit(group, *limit),
            Control::Purge { done, dead } => {
                let mut gone = 0;
                for (state, before) in [(State::Done, done), (State::Dead, dead), (State::Cancelled, dead)] {
                    let left = SWEEP.saturating_sub(gone) as i64;
                    let mut purge = self.sql.prepare_cached(sql::PURGE)?;
                    gone += purge.execute(params![state.code(), before.0, left])?;
                }
                Ok(Answer::Purged(gone as u64))
            }
            Control::PutSchedule(row) => {
                self.sql.execute(
                    "INSERT INTO tq_schedule (name, spec, next, paused) VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT (name) DO UPDATE SET spec = ?2, next = ?3, paused = ?4",
                    params![row.name, row.spec, row.next.map(|at| at.0), row.paused],
                )?;
                Ok(Answer::Done)
            }
            Control::DropSchedule(name) => {
                let gone = self.sql.execute("DELETE FROM tq_schedule WHERE name = ?1", [name])?;
                Ok(if gone == 1 { Answer::Done } else { Answer::Unknown })
            }
            Control::Fire(fire) => self.fire(fire),
        }
    }

    fn cancel(&self, id: TaskId) -> Sql<Answer> {
        let key = integer(id.0);
        let mut asked = self
            .sql
            .prepare_cached("UPDATE tq_task SET cancel = (state = 2) WHERE id = ?1 RETURNING state")?;
        let live: Option<i64> = asked.query_row([key], |row| row.get(0)).optional()?;
        match live {
            Some(state) if state == State::Running.code() => Ok(Answer::Asked),
            Some(_) => {
                self.bury(key, State::Cancelled, None)?;
                Ok(Answer::Done)
            }
            None => Ok(match self.done_state(key)? {
                None => Answer::Unknown,
                Some(State::Cancelled) => Answer::Done,
                Some(state) => Answer::Not(state),
            }),
        }
    }

    fn done_state(&self, id: i64) -> Sql<Option<State>> {
        let mut done = self.sql.prepare_cached("SELECT state FROM tq_done WHERE id = ?1")?;
        let code: Option<i64> = done.query_row([id], |row| row.get(0)).optional()?;
        Ok(code.and_then(State::from_code))
    }

    fn replay(&self, id: TaskId) -> Sql<Answer> {
        let key = integer(id.0);
        match self.done_state(key)? {
            Some(State::Dead | State::Cancelled) => {}
            Some(state) => return Ok(Answer::Not(state)),
            None => {
                let mut live = self.sql.prepare_cached("SELECT state FROM tq_task WHERE id = ?1")?;
                let code: Option<i64> = live.query_row([key], |row| row.get(0)).optional()?;
                return Ok(code.and_then(State::from_code).map_or(Answer::Unknown, Answer::Not));
            }
        }
        let (priority, group): (i64, Option<String>) =
            self.sql.query_row("SELECT priority, grp FROM tq_done WHERE id = ?1", [key], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let now = self.batch.now;
        let rank = Priority::from_index(priority).rank(now, self.batch.aging);
        let gate = group.filter(|group| self.gates.contains_key(group));
        let moved = self.sql.execute(
            "INSERT INTO tq_task (id, state, queue, rank, token, attempt, owner, name, version, priority, run_at,
             max_retries, timeout_ms, unique_key, grp, gate, cancel, enqueued_at, started_at, fraction, message,
             failures, payload) SELECT id, 0, queue, ?2, token, 0, owner, name, version, priority, ?3, max_retries,
             timeout_ms, unique_key, grp, ?4, 0, enqueued_at, started_at, fraction, message, failures, payload
             FROM tq_done WHERE id = ?1 ON CONFLICT DO NOTHING",
            params![key, rank, now.0, gate],
        )?;
        if moved == 0 {
            return Ok(Answer::Missed);
        }
        self.sql.execute("DELETE FROM tq_done WHERE id = ?1", [key])?;
        Ok(Answer::Done)
    }

    fn limit(&mut self, group: &str, limit: Option<Limit>) -> Sql<Answer> {
        let known = self.gates.contains_key(group);
        match limit {
            Some(limit) => {
                let spec = serde_json::to_string(&limit).unwrap_or_default();
                self.sql.execute(
                    "INSERT INTO tq_limit (grp, spec, booked) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (grp) DO UPDATE SET spec = ?2",
                    params![group, spec, self.batch.now.0],
                )?;
                let booked = self.gates.get(group).map_or(self.batch.now, |(_, booked)| *booked);
                self.gates.insert(group.to_owned(), (limit, booked));
            }
            None => {
                self.sql.execute("DELETE FROM tq_limit WHERE grp = ?1", [group])?;
                self.gates.remove(group);
            }
        }
        if known != limit.is_some() {
            let gate = limit.map(|_| group);
            self.sql.execute("UPDATE tq_task SET gate = ?2 WHERE grp = ?1", params![group, gate])?;
        }
        Ok(if known || limit.is_some() { Answer::Done } else { Answer::Unknown })
    }

    fn fire(&self, fire: &Fire) -> Sql<Answer> {
        let mut find = self.sql.prepare_cached(
            "SELECT name, spec, next, paused, last_due, last_task FROM tq_schedule WHERE name = ?1",
        )?;
        let Some(row) = find.query_row([&fire.name], rows::schedule).optional()? else {
            return Ok(Answer::Unknown);
        };
        let ScheduleRow { next, paused, last_task, .. } = row;
        if paused || next != Some(fire.due) {
            let ours = fire.task.as_ref().is_some_and(|task| last_task == Some(task.id));
            let Some(id) = last_task.filter(|_| ours) else { return Ok(Answer::Missed) };
            return Ok(Answer::Fired(Placed { id, fresh: true }));
        }
        let placed = fire.task.as_ref().map(|task| self.enqueue(task)).transpose()?;
        if fire.wait && placed.is_some_and(|placed| !placed.fresh) {
            return Ok(Answer::Missed);
        }
        let next = fire.next.map(|at| at.0);
        match placed {
            Some(placed) => {
                self.sql.execute(
                    "UPDATE tq_schedule SET next = ?2, last_due = ?3, last_task = ?4 WHERE name = ?1",
                    params![fire.name, next, fire.due.0, integer(placed.id.0)],
                )?;
                Ok(Answer::Fired(placed))
            }
            None => {
                self.sql
                    .execute("UPDATE tq_schedule SET next = ?2 WHERE name = ?1", params![fire.name, next])?;
                Ok(Answer::Done)
            }
        }
    }

    fn beat(&self, beat: &Beat) -> Sql<Pulse> {
        let cancel: Option<bool> = self
            .sql
            .prepare_cached(sql::BEAT)?
            .query_row(
                params![
                    integer(beat.id.0),
                    integer(beat.token.0),
                    beat.owner.as_str(),
                    self.batch.now.after(beat.lease).0,
                    micros(beat.lease),
                    beat.progress.as_ref().map(|progress| progress.fraction),
                    beat.progress.as_ref().map(|progress| progress.message.as_str()),
                ],
                |row| row.get(0),
            )
            .optional()?;
        Ok(match cancel {
            None => Pulse::Lost,
            Some(true) => Pulse::Cancel,
            Some(false) => Pulse::Held,
        })
    }

    fn sweep(&self) -> Sql<Swept> {
        let now = self.batch.now;
        let mut swept = Swept::default();
        let due: Vec<(i64, i64, i64)> = self
            .sql
            .prepare_cached(sql::DUE)?
            .query_map(params![now.0, SWEEP as i64 + 1], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Sql<_>>()?;
        swept.more = due.len() > SWEEP;
        for (id, run_at, priority) in due.into_iter().take(SWEEP) {
            let rank = Priority::from_index(priority).rank(Timestamp(run_at), self.batch.aging);
            self.sql.prepare_cached(sql::WAKE)?.execute(params![id, rank])?;
            swept.due += 1;
        }
        let expired: Vec<(i64, u32, Run)> = self
            .sql
            .prepare_cached(sql::EXPIRED)?
            .query_map(params![now.0, SWEEP as i64 + 1], |row| {
                let failures: Option<String> = row.get(5)?;
                let run = Run {
                    attempt: small(row.get(1)?),
                    priority: Priority::from_index(row.get(4)?),
                    cancel: row.get(3)?,
                    failures: failures
                        .map_or_else(Vec::new, |text| serde_json::from_str(&text).unwrap_or_default()),
                };
                Ok((row.get(0)?, small(row.get(2)?), run))
            })?
            .collect::<Sql<_>>()?;
        swept.more |= expired.len() > SWEEP;
        for (id, max_retries, mut run) in expired.into_iter().take(SWEEP) {
            let task = TaskId(unsigned(id));
            match rules::after_expiry(run.attempt, max_retries) {
                Verdict::Retry(delay) if !run.cancel => {
                    let failure = Failure { attempt: run.attempt, at: now, error: EXPIRED.to_owned() };
                    remember(&mut run.failures, failure);
                    self.wait(id, &run, now.after(delay), run.attempt)?;
                    swept.reclaimed.push(task);
                }
                verdict => {
                    let reason = match verdict {
                        Verdict::Dead(reason) if !run.cancel => Some(reason),
                        _ => None,
                    };
                    let state = if run.cancel { State::Cancelled } else { State::Dead };
                    self.note(id, run, EXPIRED)?;
                    self.bury(id, state, reason.as_deref())?;
                    if state == State::Dead {
                        swept.dead.push(task);
                    }
                }
            }
        }
        Ok(swept)
    }

    fn paused(&self) -> Sql<HashSet<String>> {
        let mut statement = self.sql.prepare_cached("SELECT queue FROM tq_paused")?;
        statement.query_map((), |row| row.get(0))?.collect()
    }

    fn claim(&mut self, claim: &Claim, paused: &HashSet<String>) -> Sql<Vec<Claimed>> {
        let open: Vec<&str> =
            claim.queues.iter().map(String::as_str).filter(|queue| !paused.contains(*queue)).collect();
        let now = self.batch.now;
        let (until, lease) = (now.after(claim.lease).0, micros(claim.lease));
        let limit = i64::try_from(claim.limit).unwrap_or(i64::MAX);
        let mut taken = Vec::new();
        if let ([queue], true) = (&open[..], self.gates.is_empty()) {
            let mut first = self.sql.prepare_cached(self.claim_first)?;
            let values = params![now.0, claim.owner.as_str(), until, lease, queue, limit];
            for row in first.query_map(values, rows::claimed)? {
                taken.push(row?);
            }
        } else {
            let mut one = self.sql.prepare_cached(self.claim_one)?;
            for id in self.choose(&open, claim.limit)? {
                let values = params![now.0, claim.owner.as_str(), until, lease, integer(id)];
                taken.extend(one.query_row(values, rows::claimed).optional()?);
            }
        }
        taken.sort_by_key(|(rank, task)| (*rank, task.id));
        let taken: Vec<Claimed> = taken.into_iter().map(|(_, task)| task).collect();
        self.book(&taken)?;
        Ok(taken)
    }

    /// The first by rank over several queues and over what each capped group has room for.
    fn choose(&self, queues: &[&str], limit: usize) -> Sql<Vec<u64>> {
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let pair = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, unsigned(row.get(1)?)));
        let mut candidates: Vec<(i64, u64)> = Vec::new();
        for queue in queues {
            let mut free = self.sql.prepare_cached(sql::FREE)?;
            candidates.extend(free.query_map(params![queue, most], pair)?.collect::<Sql<Vec<_>>>()?);
        }
        for (group, (cap, booked)) in &self.gates {
            let running: i64 =
                self.sql.prepare_cached(sql::GATE_RUNNING)?.query_row([group], |row| row.get(0))?;
            let room = cap.room(small(running), *booked, self.batch.now).min(limit);
            if room == 0 {
                continue;
            }
            let mut gated = Vec::new();
            for queue in queues {
                let mut waiting = self.sql.prepare_cached(sql::GATED)?;
                let values = params![group, queue, room as i64];
                gated.extend(waiting.query_map(values, pair)?.collect::<Sql<Vec<_>>>()?);
            }
            gated.sort_unstable();
            gated.truncate(room);
            candidates.append(&mut gated);
        }
        Ok(rules::first_by_rank(candidates, limit))
    }

    /// Moves the virtual schedules of the groups whose tasks start.
    fn book(&mut self, taken: &[Claimed]) -> Sql<()> {
        if self.gates.is_empty() {
            return Ok(());
        }
        let mut started: HashMap<&str, usize> = HashMap::new();
        for group in taken.iter().filter_map(|task| task.group.as_deref()) {
            *started.entry(group).or_default() += 1;
        }
        for (group, count) in started {
            if let Some((limit, booked)) = self.gates.get_mut(group) {
                *booked = limit.book(*booked, self.batch.now, count);
                self.sql
                    .prepare_cached("UPDATE tq_limit SET booked = ?2 WHERE grp = ?1")?
                    .execute(params![group, booked.0])?;
            }
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

fn timeout_ms(task: &NewTask) -> i64 {
    i64::try_from(task.timeout.as_millis()).unwrap_or(i64::MAX)
}

/// A connection beside the writer.
pub(super) fn second(path: &std::path::Path, config: &super::SqliteConfig) -> Sql<Connection> {
    tables::connect(path, config)
}
