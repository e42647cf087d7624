//! Workers take tasks: the first by rank that no pause and no cap holds back.

use std::collections::HashMap;

use tokio_postgres::Row;

use super::super::queries as sql;
use super::super::rows::{self, get};
use super::Work;
use crate::error::Error;
use crate::rules;
use crate::schema::{integer, small, unsigned};
use crate::store::{Claim, Claimed};
use crate::timestamp::micros;

impl Work<'_> {
    pub(super) async fn claim(&mut self, claim: &Claim) -> Result<Vec<Claimed>, Error> {
        let open: Vec<&str> =
            claim.queues.iter().map(String::as_str).filter(|queue| !self.paused.contains(*queue)).collect();
        if open.is_empty() || claim.limit == 0 {
            return Ok(Vec::new());
        }
        if let ([queue], true) = (&open[..], self.gates.is_empty()) {
            return self.claim_first(claim, queue).await;
        }
        let chosen = self.choose(&open, claim.limit).await?;
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        let (owner, lease) = (claim.owner.as_str(), micros(claim.lease));
        let taken =
            rows::all_claimed(&self.query(sql::CLAIM_CHOSEN, &[&self.told, &owner, &lease, &chosen]).await?)?;
        self.book(&taken).await?;
        Ok(taken)
    }

    /// From one queue, while no group has a cap.
    pub(super) async fn claim_first(&self, claim: &Claim, queue: &str) -> Result<Vec<Claimed>, Error> {
        self.claim_by(sql::CLAIM_FIRST, claim, queue).await
    }

    /// By one of the two texts for that.
    pub(super) async fn claim_by(
        &self,
        text: &'static str,
        claim: &Claim,
        queue: &str,
    ) -> Result<Vec<Claimed>, Error> {
        let limit = i64::try_from(claim.limit).unwrap_or(i64::MAX);
        let (owner, lease) = (claim.owner.as_str(), micros(claim.lease));
        rows::all_claimed(&self.query(text, &[&self.told, &owner, &lease, &queue, &limit]).await?)
    }

    /// The first by rank over several queues and over what each capped group has room for.
    async fn choose(&self, queues: &[&str], limit: usize) -> Result<Vec<i64>, Error> {
        let pair = |row: &Row| Ok::<_, Error>((get::<i64>(row, 0)?, unsigned(get(row, 1)?)));
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut candidates: Vec<(i64, u64)> = Vec::new();
        for queue in queues {
            for row in self.query(sql::FREE, &[queue, &most]).await? {
                candidates.push(pair(&row)?);
            }
        }
        for (group, (cap, booked)) in &self.gates {
            let running = self.query(sql::GATE_RUNNING, &[group]).await?;
            let running = running.first().map(|row| get::<i64>(row, 0)).transpose()?.unwrap_or(0);
            let room = cap.room(small(running), *booked, self.now).min(limit);
            if room == 0 {
                continue;
            }
            let mut gated = Vec::new();
            for queue in queues {
                for row in self.query(sql::GATED, &[group, queue, &(room as i64)]).await? {
                    gated.push(pair(&row)?);
                }
            }
            gated.sort_unstable();
            gated.truncate(room);
            candidates.append(&mut gated);
        }
        Ok(rules::first_by_rank(candidates, limit).into_iter().map(integer).collect())
    }

    /// Moves the virtual schedules of the groups whose tasks start.
    async fn book(&mut self, taken: &[Claimed]) -> Result<(), Error> {
        let mut started: HashMap<&str, usize> = HashMap::new();
        for group in taken.iter().filter_map(|task| task.group.as_deref()) {
            *started.entry(group).or_default() += 1;
        }
        for (group, count) in started {
            let Some((limit, booked)) = self.gates.get_mut(group) else { continue };
            *booked = limit.book(*booked, self.now, count);
            let booked = booked.0;
            self.execute("UPDATE tq_limit SET booked = $2 WHERE grp = $1", &[&group, &booked]).await?;
        }
        Ok(())
    }
}
