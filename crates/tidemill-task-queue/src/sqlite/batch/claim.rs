//! Workers take tasks: the first by rank that no pause and no cap holds back.

use std::collections::{HashMap, HashSet};

use rusqlite::{OptionalExtension, params};

use super::super::queries as sql;
use super::super::rows;
use super::{Sql, Work};
use crate::rules;
use crate::schema::{integer, small, unsigned};
use crate::store::{Claim, Claimed};
use crate::timestamp::micros;

impl Work<'_> {
    pub(super) fn paused(&self) -> Sql<HashSet<String>> {
        let mut statement = self.sql.prepare_cached("SELECT queue FROM tq_paused")?;
        statement.query_map((), |row| row.get(0))?.collect()
    }

    pub(super) fn claim(&mut self, claim: &Claim, paused: &HashSet<String>) -> Sql<Vec<Claimed>> {
        let open: Vec<&str> =
            claim.queues.iter().map(String::as_str).filter(|queue| !paused.contains(*queue)).collect();
        let now = self.batch.now;
        let (until, lease) = (now.after(claim.lease).0, micros(claim.lease));
        let limit = i64::try_from(claim.limit).unwrap_or(i64::MAX);
        let mut taken = Vec::new();
        if let ([queue], true) = (&open[..], self.gates.is_empty()) {
            let mut first = self.sql.prepare_cached(self.claim_first)?;
            let values = params![now.0, claim.owner.as_str(), until, lease, queue, limit];
            for row in first.query_map(values, rows::claimed)? {
                taken.push(row?);
            }
        } else {
            let mut one = self.sql.prepare_cached(self.claim_one)?;
            for id in self.choose(&open, claim.limit)? {
                let values = params![now.0, claim.owner.as_str(), until, lease, integer(id)];
                taken.extend(one.query_row(values, rows::claimed).optional()?);
            }
        }
        taken.sort_by_key(|(rank, task)| (*rank, task.id));
        let taken: Vec<Claimed> = taken.into_iter().map(|(_, task)| task).collect();
        self.book(&taken)?;
        Ok(taken)
    }

    /// The first by rank over several queues and over what each capped group has room for.
    fn choose(&self, queues: &[&str], limit: usize) -> Sql<Vec<u64>> {
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let pair = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, unsigned(row.get(1)?)));
        let mut candidates: Vec<(i64, u64)> = Vec::new();
        for queue in queues {
            let mut free = self.sql.prepare_cached(sql::FREE)?;
            candidates.extend(free.query_map(params![queue, most], pair)?.collect::<Sql<Vec<_>>>()?);
        }
        for (group, (cap, booked)) in &self.gates {
            let running: i64 =
                self.sql.prepare_cached(sql::GATE_RUNNING)?.query_row([group], |row| row.get(0))?;
            let room = cap.room(small(running), *booked, self.batch.now).min(limit);
            if room == 0 {
                continue;
            }
            let mut gated = Vec::new();
            for queue in queues {
                let mut waiting = self.sql.prepare_cached(sql::GATED)?;
                let values = params![group, queue, room as i64];
                gated.extend(waiting.query_map(values, pair)?.collect::<Sql<Vec<_>>>()?);
            }
            gated.sort_unstable();
            gated.truncate(room);
            candidates.append(&mut gated);
        }
        Ok(rules::first_by_rank(candidates, limit))
    }

    /// Moves the virtual schedules of the groups whose tasks start.
    fn book(&mut self, taken: &[Claimed]) -> Sql<()> {
        if self.gates.is_empty() {
            return Ok(());
        }
        let mut started: HashMap<&str, usize> = HashMap::new();
        for group in taken.iter().filter_map(|task| task.group.as_deref()) {
            *started.entry(group).or_default() += 1;
        }
        for (group, count) in started {
            if let Some((limit, booked)) = self.gates.get_mut(group) {
                *booked = limit.book(*booked, self.batch.now, count);
                self.sql
                    .prepare_cached("UPDATE tq_limit SET booked = ?2 WHERE grp = ?1")?
                    .execute(params![group, booked.0])?;
            }
        }
        Ok(())
    }
}
