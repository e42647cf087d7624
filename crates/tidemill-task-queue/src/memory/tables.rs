//! The maps, and each rule on them in its shortest form.

use std::collections::{BTreeMap, BTreeSet};

use super::{EXPIRED, SWEEP, end_state};
use crate::id::{TaskId, Token};
use crate::limit::Limit;
use crate::record::{Failure, Record, State, cut, remember};
use crate::rules::{self, Verdict};
use crate::store::{
    Answer, Batch, Beat, Claim, Claimed, Control, End, Finish, Fire, NewTask, Outcome, Placed, Pulse,
    Refusal, ScheduleRow, Swept,
};
use crate::timestamp::{Timestamp, micros};

#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) next_id: u64,
    /// Rises when tasks may have become ready, so that another queue on this store looks.
    pub(super) writes: u64,
    pub(super) tasks: BTreeMap<TaskId, Row>,
    /// What waits, by (rank, id), so that a claim need not look at everything.
    ready: BTreeSet<(i64, TaskId)>,
    pub(super) paused: BTreeSet<String>,
    pub(super) limits: BTreeMap<String, (Limit, Timestamp)>,
    pub(super) schedules: BTreeMap<String, ScheduleRow>,
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) record: Record,
    rank: i64,
    lease_us: i64,
}

impl Tables {
    pub(super) fn commit(&mut self, batch: &Batch) -> Outcome {
        if batch.set_back {
            self.cut_leases(batch.now);
        }
        let mut outcome = Outcome {
            now: batch.now,
            enqueued: batch.enqueue.iter().map(|task| self.enqueue(task, batch)).collect(),
            finished: batch.finish.iter().map(|finish| self.finish(finish, batch)).collect(),
            controlled: batch.control.iter().map(|control| self.control(control, batch)).collect(),
            beats: batch.beat.iter().map(|beat| self.beat(beat, batch.now)).collect(),
            ..Outcome::default()
        };
        if batch.sweep {
            outcome.swept = self.sweep(batch);
        }
        self.writes += u64::from(batch.frees(&outcome));
        outcome.claimed = batch.claim.iter().map(|claim| self.claim(claim, batch.now)).collect();
        if batch.sweep || !batch.claim.is_empty() {
            let delayed = self.tasks.values().filter(|row| row.record.state == State::Delayed);
            outcome.next_due = delayed.map(|row| row.record.run_at).min();
        }
        outcome.capped = !self.limits.is_empty();
        outcome
    }

    fn enqueue(&mut self, task: &NewTask, batch: &Batch) -> Placed {
        if self.tasks.contains_key(&task.id) {
            return Placed { id: task.id, fresh: true };
        }
        if let Some(key) = &task.unique_key
            && let Some(id) = self.holder(&task.name, key)
        {
            return Placed { id, fresh: false };
        }
        let run_at = task.run_at.unwrap_or(batch.now);
        let record = Record {
            id: task.id,
            queue: task.queue.clone(),
            name: task.name.clone(),
            version: task.version,
            state: State::Delayed,
            priority: task.priority,
            run_at,
            attempt: 0,
            max_retries: task.max_retries,
            timeout: task.timeout,
            unique_key: task.unique_key.clone(),
            group: task.group.clone(),
            cancel: false,
            enqueued_at: batch.now,
            started_at: None,
            finished_at: None,
            token: Token(0),
            owner: None,
            lease_until: None,
            progress: None,
            failures: Vec::new(),
            reason: None,
            payload: task.payload.clone(),
            result: None,
        };
        self.tasks.insert(task.id, Row { record, rank: 0, lease_us: 0 });
        self.wait(task.id, run_at, batch);
        Placed { id: task.id, fresh: true }
    }

    fn holder(&self, name: &str, key: &str) -> Option<TaskId> {
        let mut live = self.tasks.values().filter(|row| !row.record.state.is_finished());
        let found = live.find(|row| row.record.name == name && row.record.unique_key.as_deref() == Some(key));
        found.map(|row| row.record.id)
    }

    /// Lets a task wait until `run_at`: ready if that has come.
    fn wait(&mut self, id: TaskId, run_at: Timestamp, batch: &Batch) {
        let Some(row) = self.tasks.get_mut(&id) else { return };
        row.record.run_at = run_at;
        row.record.lease_until = None;
        row.rank = row.record.priority.rank(run_at, batch.aging);
        row.record.state = if run_at > batch.now { State::Delayed } else { State::Ready };
        if row.record.state == State::Ready {
            self.ready.insert((row.rank, id));
        }
    }

    /// A task that was given back at once stands where it stood.
    fn keep_place(&mut self, id: TaskId, place: i64) {
        if let Some(row) = self.tasks.get_mut(&id)
            && self.ready.remove(&(row.rank, id))
        {
            row.rank = row.rank.min(place);
            self.ready.insert((row.rank, id));
        }
    }

    fn end(&mut self, id: TaskId, state: State, now: Timestamp) {
        let Some(row) = self.tasks.get_mut(&id) else { return };
        self.ready.remove(&(row.rank, id));
        row.record.state = state;
        row.record.finished_at = Some(now);
        row.record.lease_until = None;
    }

    fn finish(&mut self, finish: &Finish, batch: &Batch) -> Result<(), Refusal> {
        let Finish { id, token, owner, end } = finish;
        let row = self.tasks.get_mut(id).ok_or(Refusal::Unknown)?;
        let same = row.record.token == *token && row.record.owner.as_deref() == Some(owner.as_str());
        if row.record.state.is_finished() {
            // The same end again, after an answer that was lost.
            return if same && row.record.state == end_state(end) { Ok(()) } else { Err(Refusal::Finished) };
        }
        if row.record.state != State::Running {
            return Err(Refusal::Expired);
        }
        if !same {
            return Err(Refusal::ClaimedAnew);
        }
        let attempt = row.record.attempt;
        let mut fail = |error: &str| {
            let failure = Failure { attempt, at: batch.now, error: cut(error.to_owned()) };
            remember(&mut row.record.failures, failure);
        };
        match end {
            End::Done(result) => {
                row.record.result = Some(result.clone());
                self.end(*id, State::Done, batch.now);
            }
            End::Retry(delay, error) => {
                fail(error);
                if row.record.cancel {
                    self.end(*id, State::Cancelled, batch.now);
                } else {
                    self.wait(*id, batch.now.after(*delay), batch);
                }
            }
            End::Dead(error, reason) => {
                if !error.is_empty() {
                    fail(error);
                }
                row.record.reason = Some(cut(reason.clone()));
                self.end(*id, State::Dead, batch.now);
            }
            End::Cancelled => self.end(*id, State::Cancelled, batch.now),
            End::Released(delay) => {
                row.record.attempt = attempt.saturating_sub(1);
                if row.record.cancel {
                    self.end(*id, State::Cancelled, batch.now);
                } else {
                    let place = row.rank;
                    self.wait(*id, batch.now.after(*delay), batch);
                    self.keep_place(*id, place);
                }
            }
        }
        Ok(())
    }

    fn control(&mut self, control: &Control, batch: &Batch) -> Answer {
        match control {
            Control::Cancel(id) => self.cancel(*id, batch.now),
            Control::Replay(id) => self.replay(*id, batch),
            Control::Pause(queue, paused) => {
                if *paused {
                    self.paused.insert(queue.clone());
                } else {
                    self.paused.remove(queue);
                }
                Answer::Done
            }
            Control::Limit(group, Some(limit)) => {
                let booked = self.limits.get(group).map_or(batch.now, |(_, booked)| *booked);
                self.limits.insert(group.clone(), (*limit, booked));
                Answer::Done
            }
            Control::Limit(group, None) => {
                if self.limits.remove(group).is_some() {
                    Answer::Done
                } else {
                    Answer::Unknown
                }
            }
            Control::Purge { done, dead } => self.purge(*done, *dead),
            Control::PutSchedule(row) => {
                let kept = self.schedules.get(&row.name);
                let (last_due, last_task) = kept.map_or((None, None), |old| (old.last_due, old.last_task));
                self.schedules.insert(row.name.clone(), ScheduleRow { last_due, last_task, ..row.clone() });
                Answer::Done
            }
            Control::DropSchedule(name) => {
                if self.schedules.remove(name).is_some() {
                    Answer::Done
                } else {
                    Answer::Unknown
                }
            }
            Control::Fire(fire) => self.fire(fire, batch),
        }
    }

    fn cancel(&mut self, id: TaskId, now: Timestamp) -> Answer {
        let Some(row) = self.tasks.get_mut(&id) else { return Answer::Unknown };
        match row.record.state {
            State::Ready | State::Delayed => {
                self.end(id, State::Cancelled, now);
                Answer::Done
            }
            State::Running => {
                row.record.cancel = true;
                Answer::Asked
            }
            State::Cancelled => Answer::Done,
            finished => Answer::Not(finished),
        }
    }

    fn replay(&mut self, id: TaskId, batch: &Batch) -> Answer {
        let Some(row) = self.tasks.get(&id) else { return Answer::Unknown };
        if !matches!(row.record.state, State::Dead | State::Cancelled) {
            return Answer::Not(row.record.state);
        }
        if let Some(key) = row.record.unique_key.clone()
            && self.holder(&row.record.name, &key).is_some()
        {
            return Answer::Missed;
        }
        if let Some(row) = self.tasks.get_mut(&id) {
            row.record.attempt = 0;
            row.record.cancel = false;
            row.record.reason = None;
            row.record.finished_at = None;
        }
        self.wait(id, batch.now, batch);
        Answer::Done
    }

    fn purge(&mut self, done: Timestamp, dead: Timestamp) -> Answer {
        let old = |row: &&Row| {
            let before = if row.record.state == State::Done { done } else { dead };
            row.record.finished_at.is_some_and(|at| row.record.state.is_finished() && at < before)
        };
        let gone: Vec<_> = self.tasks.values().filter(old).map(|row| row.record.id).take(SWEEP).collect();
        gone.iter().for_each(|id| _ = self.tasks.remove(id));
        Answer::Purged(gone.len() as u64)
    }

    fn fire(&mut self, fire: &Fire, batch: &Batch) -> Answer {
        let Some(row) = self.schedules.get(&fire.name) else { return Answer::Unknown };
        if row.paused || row.next != Some(fire.due) {
            let ours = fire.task.as_ref().is_some_and(|task| row.last_task == Some(task.id));
            let Some(id) = row.last_task.filter(|_| ours) else { return Answer::Missed };
            return Answer::Fired(Placed { id, fresh: true });
        }
        let placed = fire.task.as_ref().map(|task| self.enqueue(task, batch));
        if fire.wait && placed.is_some_and(|placed| !placed.fresh) {
            return Answer::Missed;
        }
        let Some(row) = self.schedules.get_mut(&fire.name) else { return Answer::Unknown };
        row.next = fire.next;
        match placed {
            Some(placed) => {
                row.last_due = Some(fire.due);
                row.last_task = Some(placed.id);
                Answer::Fired(placed)
            }
            None => Answer::Done,
        }
    }

    fn beat(&mut self, beat: &Beat, now: Timestamp) -> Pulse {
        let Some(row) = self.tasks.get_mut(&beat.id) else { return Pulse::Lost };
        let record = &mut row.record;
        let ours = record.state == State::Running
            && record.token == beat.token
            && record.owner.as_deref() == Some(beat.owner.as_str());
        if !ours {
            return Pulse::Lost;
        }
        record.lease_until = Some(now.after(beat.lease));
        row.lease_us = micros(beat.lease);
        if let Some(progress) = &beat.progress {
            record.progress = Some(progress.clone());
        }
        if record.cancel { Pulse::Cancel } else { Pulse::Held }
    }

    fn cut_leases(&mut self, now: Timestamp) {
        for row in self.tasks.values_mut() {
            let latest = Timestamp(now.0.saturating_add(row.lease_us));
            row.record.lease_until = row.record.lease_until.map(|until| until.min(latest));
        }
    }

    fn sweep(&mut self, batch: &Batch) -> Swept {
        let mut swept = Swept::default();
        let due = |row: &&Row| row.record.state == State::Delayed && row.record.run_at <= batch.now;
        let mut delayed: Vec<_> =
            self.tasks.values().filter(due).map(|row| (row.record.run_at, row.record.id)).collect();
        delayed.sort_unstable();
        swept.more = delayed.len() > SWEEP;
        delayed.truncate(SWEEP);
        swept.due = delayed.len() as u64;
        for (run_at, id) in delayed {
            self.wait(id, run_at, batch);
        }
        let ended = |row: &&Row| {
            row.record.state == State::Running
                && row.record.lease_until.is_some_and(|until| until <= batch.now)
        };
        let mut expired: Vec<_> =
            self.tasks.values().filter(ended).map(|row| (row.record.lease_until, row.record.id)).collect();
        expired.sort_unstable();
        swept.more |= expired.len() > SWEEP;
        expired.truncate(SWEEP);
        for (_, id) in expired {
            let Some(row) = self.tasks.get_mut(&id) else { continue };
            let (attempt, most, cancel) = (row.record.attempt, row.record.max_retries, row.record.cancel);
            let failure = Failure { attempt, at: batch.now, error: EXPIRED.to_owned() };
            remember(&mut row.record.failures, failure);
            match rules::after_expiry(attempt, most) {
                _ if cancel => self.end(id, State::Cancelled, batch.now),
                Verdict::Retry(delay) => {
                    self.wait(id, batch.now.after(delay), batch);
                    swept.reclaimed.push(id);
                }
                Verdict::Dead(reason) => {
                    row.record.reason = Some(reason);
                    self.end(id, State::Dead, batch.now);
                    swept.dead.push(id);
                }
            }
        }
        swept
    }

    fn claim(&mut self, claim: &Claim, now: Timestamp) -> Vec<Claimed> {
        let mut room: BTreeMap<String, usize> = BTreeMap::new();
        for (group, (limit, booked)) in &self.limits {
            let running = self
                .tasks
                .values()
                .filter(|row| row.record.state == State::Running && row.record.group.as_ref() == Some(group));
            room.insert(group.clone(), limit.room(running.count() as u32, *booked, now));
        }
        let mut chosen = Vec::new();
        for (_, id) in &self.ready {
            if chosen.len() >= claim.limit {
                break;
            }
            let Some(row) = self.tasks.get(id) else { continue };
            let record = &row.record;
            if !claim.queues.contains(&record.queue) || self.paused.contains(&record.queue) {
                continue;
            }
            if let Some(left) = record.group.as_ref().and_then(|group| room.get_mut(group)) {
                if *left == 0 {
                    continue;
                }
                *left -= 1;
            }
            chosen.push(*id);
        }
        chosen.into_iter().filter_map(|id| self.start(id, claim, now)).collect()
    }

    fn start(&mut self, id: TaskId, claim: &Claim, now: Timestamp) -> Option<Claimed> {
        let row = self.tasks.get_mut(&id)?;
        self.ready.remove(&(row.rank, id));
        row.lease_us = micros(claim.lease);
        let record = &mut row.record;
        record.state = State::Running;
        record.token = rules::next_token(record.token, now);
        record.owner = Some(claim.owner.as_str().to_owned());
        record.lease_until = Some(now.after(claim.lease));
        record.started_at = Some(now);
        record.attempt += 1;
        let group = record.group.as_ref().and_then(|group| self.limits.get_mut(group));
        if let Some((limit, booked)) = group {
            *booked = limit.book(*booked, now, 1);
        }
        Some(Claimed {
            id,
            token: record.token,
            queue: record.queue.clone(),
            name: record.name.clone(),
            version: record.version,
            payload: record.payload.clone(),
            priority: record.priority,
            attempt: record.attempt,
            max_retries: record.max_retries,
            timeout: record.timeout,
            group: record.group.clone(),
            cancel: record.cancel,
            run_at: record.run_at,
            enqueued_at: record.enqueued_at,
        })
    }
}
