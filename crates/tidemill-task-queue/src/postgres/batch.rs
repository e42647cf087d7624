//! One batch as one transaction of few round trips.

mod claim;
mod control;
mod enqueue;
mod finish;
mod lease;
mod pipeline;

use std::collections::{HashMap, HashSet};

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::failed;
use super::link::Link;
use super::queries as sql;
use super::rows::get;
use crate::error::Error;
use crate::id::{Owner, TaskId};
use crate::limit::Limit;
use crate::store::{Batch, Control, Outcome};
use crate::timestamp::Timestamp;

type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Setting a group's caps waits for enqueues into groups, which would not know of them.
const GATES: i64 = 0x7469_6465_7471_6761;

/// Groups with a cap and where their virtual schedules stand.
type Gates = HashMap<String, (Limit, Timestamp)>;

pub(super) struct Work<'a> {
    link: &'a Link,
    batch: &'a Batch,
    now: Timestamp,
    told: Option<i64>,
    paused: HashSet<String>,
    gates: Gates,
}

/// How a transaction begins.
mod transaction {
    pub(super) const HARD: &str = "BEGIN; SET LOCAL synchronous_commit = on";
    /// A claim that a crash of the server forgets comes again; its token is above, as the clock ran on.
    pub(super) const SOFT: &str = "BEGIN; SET LOCAL synchronous_commit = off";
}

/// In rounds of [`sql::ROUND`] at most, of one owner each, in which no task stands twice, in their order.
fn rounds<T>(all: &[T], of: impl Fn(&T) -> (TaskId, &Owner)) -> Vec<Vec<&T>> {
    let (mut rounds, mut seen, mut whose) = (Vec::<Vec<&T>>::new(), HashSet::new(), None);
    for one in all {
        let (id, owner) = of(one);
        let is_full = rounds.last().is_none_or(|round| round.len() >= sql::ROUND);
        if is_full || whose != Some(owner) || !seen.insert(id) {
            rounds.push(Vec::new());
            whose = Some(owner);
            seen.clear();
            seen.insert(id);
        }
        if let Some(round) = rounds.last_mut() {
            round.push(one);
        }
    }
    rounds
}

/// Commits a batch, and says whether others may find something to do now; on an error the transaction is left open and the
/// connection must not be used again.
pub(super) async fn commit(link: &Link, batch: &Batch) -> Result<(Outcome, bool), Error> {
    if !pipeline::is_plain(batch) {
        let outcome = step_by_step(link, batch).await?;
        let frees = batch.frees(&outcome);
        return Ok((outcome, frees));
    }
    let (mut outcome, frees) = pipeline::commit(link, batch).await?;
    if outcome.capped {
        // Which tasks the caps leave takes more than one question.
        let (at, claim): (Vec<usize>, Vec<_>) = batch
            .claim
            .iter()
            .enumerate()
            .filter(|(at, _)| outcome.claimed[*at].is_empty())
            .map(|(at, claim)| (at, claim.clone()))
            .unzip();
        let claims = Batch { now: batch.now, aging: batch.aging, claim, ..Batch::default() };
        for (at, claimed) in at.into_iter().zip(step_by_step(link, &claims).await?.claimed) {
            outcome.claimed[at] = claimed;
        }
    }
    Ok((outcome, frees))
}

async fn step_by_step(link: &Link, batch: &Batch) -> Result<Outcome, Error> {
    let grouped = batch.enqueue.iter().any(|task| task.group.is_some())
        || batch.control.iter().any(|control| matches!(control, Control::Limit(..) | Control::Replay(_)));
    let exclusive = batch.control.iter().any(|control| matches!(control, Control::Limit(..)));
    let begin = match (batch.is_soft(), grouped, exclusive) {
        (true, ..) => transaction::SOFT.to_owned(),
        (false, true, false) => {
            format!("{}; SELECT pg_advisory_xact_lock_shared({GATES})", transaction::HARD)
        }
        (false, true, true) => format!("{}; SELECT pg_advisory_xact_lock({GATES})", transaction::HARD),
        (false, false, _) => transaction::HARD.to_owned(),
    };
    let facts = link.statement(sql::FACTS).await.map_err(|error| failed("commit", error))?;
    // Both at once: the second is on its way before the first is answered.
    let (begun, facts) =
        tokio::join!(biased; link.client.batch_execute(&begin), link.client.query_one(&facts, &[]));
    begun.map_err(|error| failed("begin", error))?;
    let facts = facts.map_err(|error| failed("begin", error))?;
    let paused: Vec<String> = get(&facts, 1)?;
    let mut work = Work::new(link, batch, Some(Timestamp(get(&facts, 0)?)));
    work.paused = paused.into_iter().collect();
    if get::<i64>(&facts, 2)? > 0 {
        let lock = !batch.claim.is_empty() || exclusive;
        work.gates = work.read_gates(lock).await?;
    }
    let outcome = work.run().await?;
    link.client.batch_execute("COMMIT").await.map_err(|error| failed("commit", error))?;
    Ok(outcome)
}

impl<'a> Work<'a> {
    /// Without a time the statements take that of the begin of their transaction.
    fn new(link: &'a Link, batch: &'a Batch, told: Option<Timestamp>) -> Self {
        let now = told.unwrap_or(batch.now);
        Self { link, batch, now, told: told.map(|at| at.0), paused: HashSet::new(), gates: Gates::new() }
    }
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
        outcome.beats = self.beat_all().await?;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_short_of_one_owner_and_hold_no_task_twice() {
        let [here, there] = ["here", "there"].map(|name| Owner::try_new(name).unwrap());
        let runs = (0..100).chain([99, 99, 5]).map(|id| (TaskId(id), &here));
        let runs: Vec<_> = runs.chain([(TaskId(6), &there), (TaskId(7), &here)]).collect();
        let rounds = rounds(&runs, |run| *run);
        assert_eq!(rounds.iter().map(Vec::len).collect::<Vec<_>>(), [64, 36, 1, 2, 1, 1]);
        assert!(rounds.concat().into_iter().eq(&runs), "in their order");
        assert!(super::rounds(&[] as &[(TaskId, &Owner)], |run| *run).is_empty());
    }
}
