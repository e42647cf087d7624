//! What operators and schedules ask for.

use super::super::queries as sql;
use super::super::rows::{self, get};
use super::Work;
use crate::error::Error;
use crate::id::TaskId;
use crate::limit::Limit;
use crate::memory::SWEEP;
use crate::record::State;
use crate::schema::integer;
use crate::store::{Answer, Control, Fire, Placed};
use crate::timestamp::micros;

impl Work<'_> {
    pub(super) async fn control(&mut self, control: &Control) -> Result<Answer, Error> {
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
}
