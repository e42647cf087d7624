//! Schedules: named tasks that come again, by cron or by the hours of a market, each fired once over all processes.

mod cron;
mod market;

use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::{Cause, Error};
use crate::id::{TaskId, check_name};
use crate::queue::TaskQueue;
use crate::record::Record;
use crate::store::{Answer, Control, Fire, Placed, ScheduleRow};
use crate::task::Draft;
use crate::timestamp::Timestamp;
use cron::Cron;
pub use market::{MarketHours, Moment};

/// A task that comes again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// When.
    pub when: When,
    /// What is done about times at which no process was there. Default: once.
    #[serde(default)]
    pub missed: Missed,
    /// Whether one is enqueued while the one before has not ended. Default no.
    #[serde(default)]
    pub overlap: bool,
    /// What is enqueued; its unique key, if any, is replaced unless it may overlap.
    pub task: Draft,
}

/// When a schedule is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// By a pattern of five fields in a zone: `0 9 * * mon-fri` in `Europe/Berlin`.
    Cron {
        /// Minute, hour, day of the month, month, day of the week.
        pattern: String,
        /// A name of the time zone database.
        zone: String,
    },
    /// By the sessions of a market.
    Market {
        /// Its hours.
        hours: MarketHours,
        /// When within each session.
        moment: Moment,
    },
}

/// What is done about times at which no process was there to fire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// Nothing: a time more than a minute ago is left out.
    Skip,
    /// One run stands for all of them.
    #[default]
    Once,
    /// Each gets its run, the oldest first, one after the other unless they may overlap.
    All,
}

/// A schedule as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scheduled {
    /// Its name.
    pub name: String,
    /// What it does.
    pub schedule: Schedule,
    /// When it is due next.
    pub next: Option<Timestamp>,
    /// Nothing is fired for now.
    pub paused: bool,
    /// When it was due last.
    pub last_due: Option<Timestamp>,
    /// The task of that: its result is the schedule's last.
    pub last_task: Option<TaskId>,
}

/// How late a time may be and still count as met.
const LATE: Duration = Duration::from_secs(60);
/// The most schedules.
const MOST: usize = 10_000;

impl Schedule {
    /// The first time after `after`; `None`: never again.
    ///
    /// # Errors
    /// `Input` when it is no schedule; the text says why.
    pub fn next(&self, after: Timestamp) -> Result<Option<Timestamp>, Error> {
        let wrong = |what: &str, why| Error::from(Cause::Schedule { what: what.to_owned(), why });
        match &self.when {
            When::Cron { pattern, zone } => {
                let cron = Cron::parse(pattern).map_err(|why| wrong(pattern, why))?;
                let zone = TimeZone::get(zone).map_err(|error| wrong(zone, error.to_string()))?;
                Ok(cron.next(after, &zone))
            }
            When::Market { hours, moment } => {
                let market = hours.read(*moment).map_err(|why| wrong(&hours.zone, why))?;
                Ok(market.next(after, *moment))
            }
        }
    }

    /// What is to be done at `now` about a time that was due: whether it runs, and when it is due next.
    fn decide(&self, due: Timestamp, now: Timestamp) -> Result<(bool, Option<Timestamp>), Error> {
        let next = self.next(due)?;
        let behind = next.is_some_and(|next| next <= now);
        Ok(match self.missed {
            // This one stands for those that are over as well.
            Missed::Once if behind => (true, self.next(now)?),
            Missed::Skip if now.since(due) > LATE => (false, self.next(Timestamp(now.0 - 1))?),
            Missed::All | Missed::Once | Missed::Skip => (true, next),
        })
    }

    fn draft(&self, name: &str, due: Timestamp) -> Draft {
        let draft = self.task.clone().run_at(due);
        if self.overlap { draft } else { draft.unique_key(key(name)) }
    }
}

/// Two schedules of one task must not hold each other back.
fn key(name: &str) -> String {
    format!("schedule/{name}")
}

/// The schedules of a queue.
#[derive(Debug, Clone)]
pub struct Schedules {
    queue: TaskQueue,
}

impl Schedules {
    pub(crate) fn new(queue: TaskQueue) -> Self {
        Self { queue }
    }

    /// Keeps a schedule, new or changed. One that is there unchanged goes on as it was, also what it missed and its pause, so
    /// that a program may put its schedules at each start.
    ///
    /// # Errors
    /// `Input`, `Unavailable`, `Closed`.
    pub async fn put(&self, name: &str, schedule: &Schedule) -> Result<(), Error> {
        check_name("schedule", name)?;
        if name.len() > 100 {
            return Err(Cause::Input { what: "schedule", why: "must have at most 100 bytes" }.into());
        }
        let next = schedule.next(self.queue.now())?;
        self.queue.admit(schedule.draft(name, Timestamp(0)))?;
        let spec = serde_json::to_string(schedule)
            .map_err(|error| Error::unavailable("write the schedule as JSON", error))?;
        let rows = self.queue.store().schedules().await?;
        let known = rows.iter().find(|row| row.name == name);
        if known.is_some_and(|row| row.spec == spec) {
            return Ok(());
        }
        if known.is_none() && rows.len() >= MOST {
            return Err(Cause::Input { what: "schedule", why: "is one more than 10000" }.into());
        }
        let paused = known.is_some_and(|row| row.paused);
        let row = ScheduleRow { name: name.to_owned(), spec, next, paused, last_due: None, last_task: None };
        self.queue.control(Control::PutSchedule(row)).await.map(drop)
    }

    /// Forgets a schedule; what it enqueued runs.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`, `Closed`.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        match self.queue.control(Control::DropSchedule(name.to_owned())).await? {
            Answer::Done => Ok(()),
            _ => Err(Cause::NoSchedule { name: name.to_owned() }.into()),
        }
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// `Unavailable`, `Schema`.
    pub async fn list(&self) -> Result<Vec<Scheduled>, Error> {
        self.queue.store().schedules().await?.into_iter().map(read).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`, `Schema`.
    pub async fn get(&self, name: &str) -> Result<Scheduled, Error> {
        let found = self.list().await?.into_iter().find(|scheduled| scheduled.name == name);
        found.ok_or_else(|| Cause::NoSchedule { name: name.to_owned() }.into())
    }

    /// Its next times, at most 1000.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`, `Schema`.
    pub async fn next_runs(&self, name: &str, count: usize) -> Result<Vec<Timestamp>, Error> {
        let Scheduled { schedule, next, .. } = self.get(name).await?;
        let mut runs = Vec::new();
        let mut at = next;
        while let (Some(time), true) = (at, runs.len() < count.min(1000)) {
            runs.push(time);
            at = schedule.next(time)?;
        }
        Ok(runs)
    }

    /// The record of the task it fired last, with its result.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`, `Schema`.
    pub async fn last_run(&self, name: &str) -> Result<Option<Record>, Error> {
        match self.get(name).await?.last_task {
            Some(id) => self.queue.get(id).await,
            None => Ok(None),
        }
    }

    /// Enqueues its task now, beside its times; if it may not overlap and one has not ended, that one's id.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`, `Closed`.
    pub async fn run_now(&self, name: &str) -> Result<Placed, Error> {
        let Scheduled { schedule, .. } = self.get(name).await?;
        let mut draft = schedule.draft(name, Timestamp(0));
        draft.run_at = None;
        self.queue.submit(draft).await
    }

    /// Fires nothing from now on; what becomes due in between is missed.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`, `Closed`.
    pub async fn pause(&self, name: &str) -> Result<(), Error> {
        self.set_paused(name, true).await
    }

    /// Ends a pause; what was missed is treated as the schedule says.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`, `Closed`.
    pub async fn resume(&self, name: &str) -> Result<(), Error> {
        self.set_paused(name, false).await
    }

    async fn set_paused(&self, name: &str, paused: bool) -> Result<(), Error> {
        let rows = self.queue.store().schedules().await?;
        let row = rows.into_iter().find(|row| row.name == name);
        let row = row.ok_or_else(|| Error::from(Cause::NoSchedule { name: name.to_owned() }))?;
        self.queue.control(Control::PutSchedule(ScheduleRow { paused, ..row })).await.map(drop)
    }

    /// Fires what is due until it is closed: a task of this process. Any number of processes may do so.
    pub fn start(&self) -> Scheduler {
        let (stop, told) = watch::channel(false);
        Scheduler { stop, task: Some(tokio::spawn(keep(self.queue.clone(), told))) }
    }
}

/// A running scheduler. Dropped, it stops.
#[derive(Debug)]
pub struct Scheduler {
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Scheduler {
    /// Fires nothing more. Says whether it ended by the deadline.
    pub async fn close(mut self, deadline: Duration) -> bool {
        _ = self.stop.send(true);
        let Some(task) = self.task.take() else { return true };
        tokio::time::timeout(deadline, task).await.is_ok()
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        _ = self.stop.send(true);
    }
}

async fn keep(queue: TaskQueue, mut told: watch::Receiver<bool>) {
    while !*told.borrow_and_update() {
        // A store that does not answer, or a schedule nobody can read, is looked at again in a while.
        let soon = fire_due(&queue).await.unwrap_or(None);
        let sweep = queue.config().sweep;
        let pause = soon.map_or(sweep, |due| due.since(queue.now()).min(sweep)).max(Duration::from_millis(1));
        _ = tokio::time::timeout(pause, told.changed()).await;
    }
}

/// Fires all that is due; when the next one is.
async fn fire_due(queue: &TaskQueue) -> Result<Option<Timestamp>, Error> {
    let mut soon: Option<Timestamp> = None;
    for row in queue.store().schedules().await? {
        let (Some(due), false) = (row.next, row.paused) else { continue };
        let now = queue.now();
        if due > now {
            soon = Some(soon.map_or(due, |known| known.min(due)));
            continue;
        }
        let Ok(schedule) = serde_json::from_str::<Schedule>(&row.spec) else { continue };
        let Ok((run, next)) = schedule.decide(due, now) else { continue };
        let task = if run { Some(queue.admit(schedule.draft(&row.name, due))?) } else { None };
        let wait = schedule.missed == Missed::All && !schedule.overlap;
        queue.control(Control::Fire(Fire { name: row.name, due, next, task, wait })).await?;
        // What comes next may be due as well, but one that waits for its turn is not asked at once.
        if !wait && let Some(next) = next {
            soon = Some(soon.map_or(next, |known| known.min(next)));
        }
    }
    Ok(soon)
}

fn read(row: ScheduleRow) -> Result<Scheduled, Error> {
    let schedule = serde_json::from_str(&row.spec)
        .map_err(|_| Error::schema(format!("holds a broken schedule `{}`; repair or remove it", row.name)))?;
    Ok(Scheduled {
        name: row.name,
        schedule,
        next: row.next,
        paused: row.paused,
        last_due: row.last_due,
        last_task: row.last_task,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hourly(missed: Missed) -> Schedule {
        let when = When::Cron { pattern: "0 * * * *".into(), zone: "UTC".into() };
        Schedule { when, missed, overlap: false, task: Draft::raw("t", 1, "null") }
    }

    #[test]
    fn what_was_missed_is_left_out_or_done_once_or_all() {
        let hour = |n: i64| Timestamp(n * 3_600_000_000);
        let late = Timestamp(hour(5).0 + 1_800_000_000);
        let decide = |missed, now| hourly(missed).decide(hour(2), now).unwrap();
        assert_eq!(decide(Missed::Skip, late), (false, Some(hour(6))));
        assert_eq!(decide(Missed::Once, late), (true, Some(hour(6))));
        assert_eq!(decide(Missed::All, late), (true, Some(hour(3))));
        for missed in [Missed::Skip, Missed::Once, Missed::All] {
            assert_eq!(decide(missed, hour(2).after(Duration::from_secs(1))), (true, Some(hour(3))));
        }
    }

    #[test]
    fn a_schedule_is_plain_data() {
        let text = r#"{"when":{"market":{"hours":{"zone":"America/New_York","open":"09:30","close":"16:00"},
            "moment":{"after_close":15}}},"task":{"name":"close","payload":"{}","queue":"eod"}}"#;
        let schedule: Schedule = serde_json::from_str(text).unwrap();
        assert_eq!(schedule.missed, Missed::Once);
        let again: Schedule = serde_json::from_str(&serde_json::to_string(&schedule).unwrap()).unwrap();
        assert_eq!(again, schedule);
        assert!(schedule.next(Timestamp(0)).unwrap().is_some());
    }
}
