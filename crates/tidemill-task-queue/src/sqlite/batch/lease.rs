//! Signs of life prolong leases; a sweep takes tasks from those that gave none, and wakes what is due.

use rusqlite::{OptionalExtension, params};

use super::super::queries as sql;
use super::finish::Run;
use super::{Sql, Work};
use crate::id::TaskId;
use crate::memory::{EXPIRED, SWEEP};
use crate::priority::Priority;
use crate::record::{Failure, State, remember};
use crate::rules::{self, Verdict};
use crate::schema::{integer, small, unsigned};
use crate::store::{Beat, Pulse, Swept};
use crate::timestamp::{Timestamp, micros};

impl Work<'_> {
    pub(super) fn beat(&self, beat: &Beat) -> Sql<Pulse> {
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

    pub(super) fn sweep(&self) -> Sql<Swept> {
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
                    self.wait(id, &run, now.after(delay), run.attempt, false)?;
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
}
