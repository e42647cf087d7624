//! Signs of life prolong leases; a sweep takes tasks from those that gave none, and wakes what is due.

use std::collections::HashMap;

use futures_util::future::join_all;
use tokio_postgres::Row;

use super::super::queries as sql;
use super::super::rows::{self, get};
use super::finish::Run;
use super::{Work, rounds};
use crate::error::Error;
use crate::id::{TaskId, Token};
use crate::memory::{EXPIRED, SWEEP};
use crate::record::{Progress, State};
use crate::rules::{self, Verdict};
use crate::schema::{self, integer, small, unsigned};
use crate::store::{Beat, Pulse, Swept};
use crate::timestamp::micros;

impl Work<'_> {
    pub(super) async fn beat_all(&self) -> Result<Vec<Pulse>, Error> {
        let beats = &self.batch.beat;
        let mut heard: HashMap<(TaskId, Token), bool> = HashMap::new();
        let rounds = rounds(beats, |beat| (beat.id, &beat.owner));
        for rows in join_all(rounds.iter().map(|round| self.beat_round(round))).await {
            for row in &rows? {
                let run = (TaskId(unsigned(get(row, 0)?)), Token(unsigned(get(row, 1)?)));
                heard.insert(run, get(row, 2)?);
            }
        }
        Ok(beats
            .iter()
            .map(|beat| match heard.get(&(beat.id, beat.token)) {
                None => Pulse::Lost,
                Some(true) => Pulse::Cancel,
                Some(false) => Pulse::Held,
            })
            .collect())
    }

    async fn beat_round(&self, beats: &[&Beat]) -> Result<Vec<Row>, Error> {
        let Some(owner) = beats.first().map(|beat| beat.owner.as_str()) else { return Ok(Vec::new()) };
        let said = |pick: &dyn Fn(&Progress) -> f64| {
            beats.iter().map(|beat| beat.progress.as_ref().map(pick)).collect::<Vec<Option<f64>>>()
        };
        self.query(
            sql::BEAT,
            &[
                &beats.iter().map(|beat| integer(beat.id.0)).collect::<Vec<_>>(),
                &beats.iter().map(|beat| integer(beat.token.0)).collect::<Vec<_>>(),
                &owner,
                &beats.iter().map(|beat| micros(beat.lease)).collect::<Vec<_>>(),
                &said(&|progress| progress.fraction),
                &self.told,
                &beats
                    .iter()
                    .map(|beat| beat.progress.as_ref().map(|progress| progress.message.as_str()))
                    .collect::<Vec<_>>(),
            ],
        )
        .await
    }

    pub(super) async fn sweep(&self) -> Result<Swept, Error> {
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
                    self.wait(id, priority, now.after(delay), attempt, failures, false).await?;
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
}
