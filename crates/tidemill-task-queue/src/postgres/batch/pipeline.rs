//! The plain batch, in one round trip: all of its statements are on their way before the first is answered.
//!
//! It is plain when no statement needs the answer of another: tasks without group, key or time, ends that succeed or are
//! cancelled, heartbeats, claims of one queue while no group has a cap. A statement that fails spoils those behind it,
//! and the `COMMIT` among them becomes a rollback.

use futures_util::future::join_all;

use super::super::failed;
use super::super::link::Link;
use super::super::queries as sql;
use super::super::rows::get;
use super::{Work, rounds};
use crate::error::Error;
use crate::schema::integer;
use crate::store::{Batch, Claim, End, NewTask, Outcome, Placed};
use crate::timestamp::micros;

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
        && rounds(&batch.finish, |finish| finish.id).len() <= ROUNDS
        && rounds(&batch.beat, |beat| beat.id).len() <= ROUNDS
        && batch.claim.iter().all(claim)
        && batch.enqueue.iter().all(task)
        && batch.finish.iter().all(|finish| matches!(finish.end, End::Done(_) | End::Cancelled))
}

/// Commits a plain batch; on an error the connection must not be used again. It is `capped` when a claim found nothing and
/// caps may be why.
pub(super) async fn commit(link: &Link, batch: &Batch) -> Result<Outcome, Error> {
    let failed = |error| failed("commit", error);
    let work = Work::new(link, batch, None);
    let claim = if batch.is_soft() && batch.beat.is_empty() && batch.claim.len() == 1 {
        sql::CLAIM_FIRST_SOFT
    } else {
        sql::CLAIM_FIRST
    };
    let mut statements = 0;
    for (text, needed) in [
        (sql::INSERT_PLAIN, usize::from(!batch.enqueue.is_empty())),
        (sql::END_RUNS, rounds(&batch.finish, |finish| finish.id).len()),
        (sql::BEAT, rounds(&batch.beat, |beat| beat.id).len()),
        (claim, batch.claim.len()),
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
    let claims = join_all(batch.claim.iter().map(|wish| work.claim_by(claim, wish, &wish.queues[0])));
    let (begun, enqueued, accepted, beats, claimed, committed) = tokio::join!(
        biased;
        say(begin),
        work.enqueue_plain(),
        work.end_plain(),
        work.beat_all(),
        claims,
        say(if one { "" } else { "COMMIT" }),
    );
    begun.map_err(failed)?;
    let (enqueued, accepted, beats) = (enqueued?, accepted?, beats?);
    let claimed = claimed.into_iter().collect::<Result<Vec<_>, _>>()?;
    committed.map_err(failed)?;
    let finished = work.answers(&accepted).await?;
    let mut outcome = Outcome { now: batch.now, enqueued, finished, beats, claimed, ..Outcome::default() };
    if outcome.claimed.iter().any(Vec::is_empty) {
        let capped = work.query(sql::CAPPED, &[]).await?;
        outcome.capped = capped.first().map(|row| get(row, 0)).transpose()?.unwrap_or(false);
    }
    Ok(outcome)
}

impl Work<'_> {
    async fn enqueue_plain(&self) -> Result<Vec<Placed>, Error> {
        let tasks = &self.batch.enqueue;
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        self.execute(
            sql::INSERT_PLAIN,
            &[
                &tasks.iter().map(|task| integer(task.id.0)).collect::<Vec<_>>(),
                &tasks.iter().map(|task| task.queue.as_str()).collect::<Vec<_>>(),
                &tasks.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(),
                &tasks.iter().map(|task| number(task.version)).collect::<Vec<_>>(),
                &tasks.iter().map(|task| task.priority as i16).collect::<Vec<_>>(),
                &tasks.iter().map(|task| number(task.max_retries)).collect::<Vec<_>>(),
                &tasks
                    .iter()
                    .map(|task| i64::try_from(task.timeout.as_millis()).unwrap_or(i64::MAX))
                    .collect::<Vec<_>>(),
                &micros(self.batch.aging),
                &tasks.iter().map(|task| task.payload.as_str()).collect::<Vec<_>>(),
            ],
        )
        .await?;
        Ok(tasks.iter().map(|task| Placed { id: task.id, fresh: true }).collect())
    }
}
