//! What operators and schedules ask for.

use rusqlite::{OptionalExtension, params};

use super::super::queries as sql;
use super::super::rows;
use super::{Sql, Work};
use crate::id::TaskId;
use crate::limit::Limit;
use crate::memory::SWEEP;
use crate::priority::Priority;
use crate::record::State;
use crate::schema::integer;
use crate::store::{Answer, Control, Fire, Placed, ScheduleRow};

impl Work<'_> {
    pub(super) fn control(&mut self, control: &Control) -> Sql<Answer> {
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
}
