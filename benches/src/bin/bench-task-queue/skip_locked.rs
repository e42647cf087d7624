//! What one writes by hand over PostgreSQL's `SKIP LOCKED`: enqueue a batch, claim a batch, end a batch, each on disk before
//! the next.
//!
//! It keeps priorities, attempts, a lease and results. It has no fence (a late end is accepted), no heartbeat, no groups, and
//! its finished rows stay in the table that claims read.

use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, Statement};

use crate::Outcome;

pub(crate) struct Loop {
    client: Client,
    enqueue: Statement,
    claim: Statement,
    end: Statement,
}

impl Loop {
    pub(crate) async fn new(address: &str) -> Outcome<Self> {
        let (client, connection) = tokio_postgres::connect(address, NoTls).await?;
        drop(tokio::spawn(connection));
        client
            .batch_execute(
                "DROP SCHEMA IF EXISTS rival CASCADE; CREATE SCHEMA rival; SET search_path = rival; \
                 CREATE TABLE task (id BIGSERIAL PRIMARY KEY, state SMALLINT NOT NULL DEFAULT 0, priority SMALLINT NOT NULL, \
                 run_at TIMESTAMPTZ NOT NULL DEFAULT now(), attempt INTEGER NOT NULL DEFAULT 0, lease_until TIMESTAMPTZ, \
                 payload TEXT NOT NULL, result TEXT); \
                 CREATE INDEX ready ON task (priority, run_at, id) WHERE state = 0",
            )
            .await?;
        let enqueue = client
            .prepare("INSERT INTO task (priority, payload) SELECT 1, p FROM unnest($1::TEXT[]) p")
            .await?;
        let claim = client
            .prepare(
                "UPDATE task SET state = 2, attempt = attempt + 1, lease_until = now() + interval '60 s' WHERE id IN \
                 (SELECT id FROM task WHERE state = 0 AND run_at <= now() ORDER BY priority, run_at, id LIMIT $1 \
                 FOR UPDATE SKIP LOCKED) RETURNING id, payload, attempt",
            )
            .await?;
        let end = client
            .prepare("UPDATE task SET state = 3, result = '1' WHERE id = ANY($1) AND state = 2")
            .await?;
        Ok(Self { client, enqueue, claim, end })
    }

    /// So many batches, one after the other; how many tasks that were.
    pub(crate) fn cycles(&self, batch: usize, times: usize, runtime: &Runtime) -> Outcome<usize> {
        runtime.block_on(async {
            for _ in 0..times {
                self.cycle(batch).await?;
            }
            Ok(batch * times)
        })
    }

    async fn cycle(&self, batch: usize) -> Outcome<()> {
        let payloads = vec![format!("{{\"n\":1,\"text\":\"{}\"}}", "x".repeat(180)); batch];
        self.client.execute(&self.enqueue, &[&payloads]).await?;
        let claimed = self.client.query(&self.claim, &[&(batch as i64)]).await?;
        let ids: Vec<i64> = claimed.iter().map(|row| row.get(0)).collect();
        if self.client.execute(&self.end, &[&ids]).await? != batch as u64 {
            return Err("the loop lost a task".into());
        }
        Ok(())
    }

    pub(crate) async fn close(self) -> Outcome<()> {
        Ok(self.client.batch_execute("DROP SCHEMA rival CASCADE").await?)
    }
}
