//! The tables of a PostgreSQL store, step by step.

use tokio_postgres::Client;

use super::failed;
use crate::error::Error;
use crate::schema;

/// What a task has wherever it stands. Wide columns of fixed length first, so that no room is lost between them.
macro_rules! kept {
    () => {
        "token       BIGINT  NOT NULL,
        run_at      BIGINT  NOT NULL,
        enqueued_at BIGINT  NOT NULL,
        timeout_ms  BIGINT  NOT NULL,
        started_at  BIGINT,
        fraction    DOUBLE PRECISION,
        attempt     INTEGER NOT NULL,
        version     INTEGER NOT NULL,
        max_retries INTEGER NOT NULL,
        state       SMALLINT NOT NULL,
        priority    SMALLINT NOT NULL,
        cancel      BOOLEAN NOT NULL,
        queue       TEXT    NOT NULL,
        name        TEXT    NOT NULL,
        owner       TEXT,
        unique_key  TEXT,
        grp         TEXT,
        message     TEXT,
        failures    TEXT,"
    };
}

/// What leads from an empty schema to the newest; a step that was published never changes. Columns are those of the SQLite
/// tables. `tq_task` is emptied as fast as it is filled, so it is vacuumed early and leaves room in its pages.
const STEPS: [&str; schema::VERSION as usize] = [concat!(
    "
    CREATE TABLE tq_task (
        id          BIGINT  NOT NULL PRIMARY KEY,
        rank        BIGINT  NOT NULL,
        lease_until BIGINT,
        lease_us    BIGINT,
        ",
    kept!(),
    "
        gate        TEXT,
        payload     TEXT    NOT NULL
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);
    CREATE INDEX tq_ready ON tq_task (queue, rank, id) WHERE state = 0 AND gate IS NULL;
    CREATE INDEX tq_gated ON tq_task (gate, queue, rank, id) WHERE state = 0 AND gate IS NOT NULL;
    CREATE INDEX tq_delayed ON tq_task (run_at, id) WHERE state = 1;
    CREATE INDEX tq_leased ON tq_task (lease_until, id) WHERE state = 2;
    CREATE INDEX tq_gate_running ON tq_task (gate) WHERE state = 2 AND gate IS NOT NULL;
    CREATE UNIQUE INDEX tq_unique ON tq_task (name, unique_key) WHERE unique_key IS NOT NULL;
    CREATE TABLE tq_done (
        id          BIGINT  NOT NULL PRIMARY KEY,
        finished_at BIGINT  NOT NULL,
        ",
    kept!(),
    "
        reason      TEXT,
        payload     TEXT    NOT NULL,
        result      TEXT
    );
    CREATE INDEX tq_done_at ON tq_done (state, finished_at);
    CREATE TABLE tq_paused (queue TEXT NOT NULL PRIMARY KEY);
    CREATE TABLE tq_limit (grp TEXT NOT NULL PRIMARY KEY, spec TEXT NOT NULL, booked BIGINT NOT NULL);
    CREATE TABLE tq_schedule (
        name        TEXT    NOT NULL PRIMARY KEY,
        spec        TEXT    NOT NULL,
        next        BIGINT,
        paused      BOOLEAN NOT NULL,
        last_due    BIGINT,
        last_task   BIGINT
    );
    CREATE SEQUENCE tq_next AS BIGINT;
"
)];

/// Two programs that bring the schema up to date do it one after the other.
const LOCK: i64 = 0x7469_6465_7471_7363;

/// In one transaction, behind an advisory lock.
pub(super) async fn migrate(client: &Client) -> Result<(), Error> {
    let failed = |error| failed("bring its schema up to date", error);
    let known = "SELECT to_regclass('tq_schema') IS NOT NULL";
    let version = "SELECT coalesce(max(version), 0) FROM tq_schema";
    let known: bool = client.query_one(known, &[]).await.map_err(failed)?.get(0);
    if known {
        let found: i64 = client.query_one(version, &[]).await.map_err(failed)?.get(0);
        if schema::pending(found, &STEPS)?.is_empty() {
            return Ok(());
        }
    }
    client
        .batch_execute(&format!(
            "BEGIN; SELECT pg_advisory_xact_lock({LOCK}); CREATE TABLE IF NOT EXISTS tq_schema (version BIGINT NOT NULL)"
        ))
        .await
        .map_err(failed)?;
    // Another program may have been faster.
    let found: i64 = client.query_one(version, &[]).await.map_err(failed)?.get(0);
    let mut text = schema::pending(found, &STEPS)?.concat();
    if !text.is_empty() {
        text += &format!("DELETE FROM tq_schema; INSERT INTO tq_schema VALUES ({});", schema::VERSION);
    }
    // An error on the way closes the connection, and the transaction with it.
    client.batch_execute(&format!("{text} COMMIT")).await.map_err(failed)
}
