//! The plain batch, in one round trip: all of its statements are on their way before the first is answered.
//!
//! It is plain when no statement needs the answer of another: tasks without group, key or time, ends that succeed or are
//! cancelled, heartbeats, claims of one queue while no group has a cap. A statement that fails spoils those behind it,
//! and the `COMMIT` among them becomes a rollback.
//!
//! Where one worker wants tasks of the queue that new ones go to, they are kept as its own: see [`sql::INSERT_GIVEN`].

use std::collections::HashSet;

use futures_util::future::join_all;
use tokio_postgres::types::ToSql;

use super::super::failed;
use super::super::link::Link;
use super::super::queries as sql;
use super::super::rows::{self, get};
use super::{Work, rounds};
use crate::error::Error;
use crate::id::{TaskId, Token};
use crate::schema::{integer, unsigned};
use crate::store::{Batch, Claim, Claimed, End, NewTask, Outcome, Placed};
use crate::timestamp::{Timestamp, micros};

/// More claims, ends or heartbeats in one batch go the long way, so that all are surely sent before the `COMMIT`.
const CLAIMS: usize = 16;
const ROUNDS: usize = 16;

/// Whether no statement needs the answer of another.
pub(super) fn is_plain(batch: &Batch) -> bool {
    let task = |task: &NewTask| task.group.is_none() && task.unique_key.is_none() && task.run_at.is_none();
    let claim = |claim: &Claim| claim.queues.len() == 1 && claim.limit > 0;
    !batch.again
        && batch.control.is_empty()
        && !batch.sweep
        && batch.claim.len() <= CLAIMS
        && rounds(&batch.finish, |finish| (finish.id, &finish.owner)).len() <= ROUNDS
        && rounds(&batch.beat, |beat| (beat.id, &beat.owner)).len() <= ROUNDS
        && batch.claim.iter().all(claim)
        && batch.enqueue.iter().all(task)
        && batch.finish.iter().all(|finish| matches!(finish.end, End::Done(_) | End::Cancelled))
}

/// Commits a plain batch; on an error the connection must not be used again. It is `capped` when a claim found nothing and
/// caps may be why. With it comes whether others may find something to do now.
pub(super) async fn commit(link: &Link, batch: &Batch) -> Result<(Outcome, bool), Error> {
    let failed = |error| failed("commit", error);
    let work = Work::new(link, batch, None);
    let given = given(batch);
    let claim = if batch.is_soft() && batch.beat.is_empty() && batch.claim.len() == 1 {
        sql::CLAIM_FIRST_SOFT
    } else {
        sql::CLAIM_FIRST
    };
    let mut statements = 0;
    for (text, needed) in [
        (sql::INSERT_GIVEN, usize::from(given.is_some())),
        (sql::INSERT_PLAIN, usize::from(given.is_none() && !batch.enqueue.is_empty())),
        (sql::END_RUNS, rounds(&batch.finish, |finish| (finish.id, &finish.owner)).len()),
        (sql::BEAT, rounds(&batch.beat, |beat| (beat.id, &beat.owner)).len()),
        (claim, if given.is_some() { 0 } else { batch.claim.len() }),
    ] {
        // Prepared before, or it would come too late.
        if needed > 0 {
            link.statement(text).await.map_err(failed)?;
        }
        statements += needed;
    }
    // One statement alone is a transaction by itself.
    let one = statements == 1 && (!batch.is_soft() || claim == sql::CLAIM_FIRST_SOFT);
    let begin = match (one, batch.is_soft()) {
        (true, _) => "",
        (false, false) => "BEGIN",
        (false, true) => "BEGIN; SET LOCAL synchronous_commit = off",
    };
    let say = async |text: &str| {
        if text.is_empty() { Ok(()) } else { link.client.batch_execute(text).await }
    };
    let enqueue = async {
        match given {
            Some(wish) => work.enqueue_given(wish).await.map(Some),
            None => work.enqueue_plain().await.map(|()| None),
        }
    };
    let wishes = if given.is_some() { &[][..] } else { &batch.claim };
    let claims = join_all(wishes.iter().map(|wish| work.claim_by(claim, wish, &wish.queues[0])));
    let (begun, kept, accepted, beats, claimed, committed) = tokio::join!(
        biased;
        say(begin),
        enqueue,
        work.end_plain(),
        work.beat_all(),
        claims,
        say(if one { "" } else { "COMMIT" }),
    );
    begun.map_err(failed)?;
    let (kept, accepted, beats) = (kept?, accepted?, beats?);
    let mut claimed = claimed.into_iter().collect::<Result<Vec<_>, _>>()?;
    claimed.extend(kept);
    committed.map_err(failed)?;
    let enqueued = batch.enqueue.iter().map(|task| Placed { id: task.id, fresh: true }).collect();
    let finished = work.answers(&accepted).await?;
    let mut outcome = Outcome { now: batch.now, enqueued, finished, beats, claimed, ..Outcome::default() };
    if outcome.claimed.iter().any(Vec::is_empty) {
        let capped = work.query(sql::CAPPED, &[]).await?;
        outcome.capped = capped.first().map(|row| get(row, 0)).transpose()?.unwrap_or(false);
    }
    // When all were given away at once there are no caps either, so that no end makes room for others.
    let given_all = given.is_some_and(|_| {
        let taken: HashSet<TaskId> = outcome.claimed.iter().flatten().map(|task| task.id).collect();
        batch.enqueue.iter().all(|task| taken.contains(&task.id))
    });
    let frees = !given_all && batch.frees(&outcome);
    Ok((outcome, frees))
}

/// The one worker that new tasks of the batch may be born for.
fn given(batch: &Batch) -> Option<&Claim> {
    let [wish] = &batch.claim[..] else { return None };
    batch.enqueue.iter().any(|task| task.queue == wish.queues[0]).then_some(wish)
}

impl Work<'_> {
    async fn enqueue_plain(&self) -> Result<(), Error> {
        if self.batch.enqueue.is_empty() {
            return Ok(());
        }
        let columns = Columns::of(self.batch.enqueue.iter());
        self.execute(sql::INSERT_PLAIN, &columns.values(&micros(self.batch.aging))).await.map(drop)
    }

    /// What a worker gets: tasks that waited, and where it has room for more, new ones.
    async fn enqueue_given(&self, wish: &Claim) -> Result<Vec<Claimed>, Error> {
        let aging = micros(self.batch.aging);
        let queue = &wish.queues[0];
        let mut tasks: Vec<&NewTask> = self.batch.enqueue.iter().collect();
        tasks.sort_by_key(|task| (task.queue != *queue, task.priority, task.id));
        let places =
            (1..).zip(&tasks).map(|(place, task)| if task.queue == *queue { place } else { i64::MAX });
        let places: Vec<i64> = places.collect();
        let columns = Columns::of(tasks.iter().copied());
        let limit = i64::try_from(wish.limit).unwrap_or(i64::MAX);
        let (owner, lease) = (wish.owner.as_str(), micros(wish.lease));
        let mut values = columns.values(&aging).to_vec();
        values.extend([&places as &(dyn ToSql + Sync), &owner, &lease, queue, &limit]);
        let rows = self.query(sql::INSERT_GIVEN, &values).await?;
        let (mut taken, mut room, mut now) = (Vec::new(), 0, 0);
        for row in &rows {
            (room, now) = (get(row, 15)?, get(row, 16)?);
            if get::<Option<i64>>(row, 0)?.is_some() {
                taken.push(rows::claimed(row)?);
            }
        }
        let born = tasks.iter().zip(&places).filter(|(_, place)| **place <= room);
        taken.extend(
            born.map(|(task, _)| (task.priority.rank(Timestamp(now), self.batch.aging), born_at(task, now))),
        );
        Ok(rows::in_order(taken))
    }
}

/// A task that is claimed in the moment it is kept.
fn born_at(task: &NewTask, now: i64) -> Claimed {
    let now = Timestamp(now);
    Claimed {
        id: task.id,
        token: Token(unsigned(now.0)),
        queue: task.queue.clone(),
        name: task.name.clone(),
        version: task.version,
        payload: task.payload.clone(),
        priority: task.priority,
        attempt: 1,
        max_retries: task.max_retries,
        timeout: task.timeout,
        group: None,
        cancel: false,
        run_at: now,
        enqueued_at: now,
    }
}

/// New tasks as an array a column.
struct Columns<'a> {
    ids: Vec<i64>,
    queues: Vec<&'a str>,
    names: Vec<&'a str>,
    versions: Vec<i32>,
    priorities: Vec<i16>,
    retries: Vec<i32>,
    timeouts: Vec<i64>,
    payloads: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(tasks: impl Iterator<Item = &'a NewTask> + Clone) -> Self {
        let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let millis = |task: &NewTask| i64::try_from(task.timeout.as_millis()).unwrap_or(i64::MAX);
        Self {
            ids: tasks.clone().map(|task| integer(task.id.0)).collect(),
            queues: tasks.clone().map(|task| task.queue.as_str()).collect(),
            names: tasks.clone().map(|task| task.name.as_str()).collect(),
            versions: tasks.clone().map(|task| number(task.version)).collect(),
            priorities: tasks.clone().map(|task| task.priority as i16).collect(),
            retries: tasks.clone().map(|task| number(task.max_retries)).collect(),
            timeouts: tasks.clone().map(millis).collect(),
            payloads: tasks.map(|task| task.payload.as_str()).collect(),
        }
    }

    fn values<'b>(&'b self, aging: &'b i64) -> [&'b (dyn ToSql + Sync); 9] {
        [
            &self.ids,
            &self.queues,
            &self.names,
            &self.versions,
            &self.priorities,
            &self.retries,
            &self.timeouts,
            aging,
            &self.payloads,
        ]
    }
}
