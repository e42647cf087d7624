//! The tables of an SQLite store, step by step, and how a connection is set.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::{SqliteConfig, failed};
use crate::error::Error;
use crate::schema;

/// What leads from an empty file to the newest schema; a step that was published never changes.
///
/// `tq_task` holds what is not finished and stays small; what ends moves to `tq_done`. States are 0 ready, 1 delayed,
/// 2 running, 3 done, 4 dead, 5 cancelled; times are microseconds since 1970. `gate` is the group while it has a cap.
pub(super) const STEPS: [&str; schema::VERSION as usize] = ["
    CREATE TABLE tq_task (
        id          INTEGER NOT NULL PRIMARY KEY,
        state       INTEGER NOT NULL,
        queue       TEXT    NOT NULL,
        rank        INTEGER NOT NULL,
        token       INTEGER NOT NULL,
        attempt     INTEGER NOT NULL,
        lease_until INTEGER,
        lease_us    INTEGER,
        owner       TEXT,
        name        TEXT    NOT NULL,
        version     INTEGER NOT NULL,
        priority    INTEGER NOT NULL,
        run_at      INTEGER NOT NULL,
        max_retries INTEGER NOT NULL,
        timeout_ms  INTEGER NOT NULL,
        unique_key  TEXT,
        grp         TEXT,
        gate        TEXT,
        cancel      INTEGER NOT NULL,
        enqueued_at INTEGER NOT NULL,
        started_at  INTEGER,
        fraction    REAL,
        message     TEXT,
        failures    TEXT,
        payload     TEXT    NOT NULL
    ) STRICT;
    CREATE INDEX tq_ready ON tq_task (queue, rank, id) WHERE state = 0 AND gate IS NULL;
    CREATE INDEX tq_gated ON tq_task (gate, queue, rank, id) WHERE state = 0 AND gate IS NOT NULL;
    CREATE INDEX tq_delayed ON tq_task (run_at, id) WHERE state = 1;
    CREATE INDEX tq_leased ON tq_task (lease_until, id) WHERE state = 2;
    CREATE INDEX tq_gate_running ON tq_task (gate) WHERE state = 2 AND gate IS NOT NULL;
    CREATE UNIQUE INDEX tq_unique ON tq_task (name, unique_key) WHERE unique_key IS NOT NULL;
    CREATE TABLE tq_done (
        id          INTEGER NOT NULL PRIMARY KEY,
        state       INTEGER NOT NULL,
        finished_at INTEGER NOT NULL,
        queue       TEXT    NOT NULL,
        name        TEXT    NOT NULL,
        version     INTEGER NOT NULL,
        priority    INTEGER NOT NULL,
        run_at      INTEGER NOT NULL,
        attempt     INTEGER NOT NULL,
        max_retries INTEGER NOT NULL,
        timeout_ms  INTEGER NOT NULL,
        unique_key  TEXT,
        grp         TEXT,
        cancel      INTEGER NOT NULL,
        enqueued_at INTEGER NOT NULL,
        started_at  INTEGER,
        token       INTEGER NOT NULL,
        owner       TEXT,
        fraction    REAL,
        message     TEXT,
        failures    TEXT,
        reason      TEXT,
        payload     TEXT    NOT NULL,
        result      TEXT
    ) STRICT;
    CREATE INDEX tq_done_at ON tq_done (state, finished_at);
    CREATE TABLE tq_paused (queue TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
    CREATE TABLE tq_limit (
        grp         TEXT    NOT NULL PRIMARY KEY,
        spec        TEXT    NOT NULL,
        booked      INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE tq_schedule (
        name        TEXT    NOT NULL PRIMARY KEY,
        spec        TEXT    NOT NULL,
        next        INTEGER,
        paused      INTEGER NOT NULL,
        last_due    INTEGER,
        last_task   INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE tq_next (id INTEGER NOT NULL) STRICT;
    INSERT INTO tq_next (id) VALUES (1);
"];

/// Opens, sets and migrates.
pub(super) fn open(path: &Path, config: &SqliteConfig) -> Result<Connection, Error> {
    let mut connection = connect(path, config).map_err(|error| failed("open the file", error))?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// Opens and sets.
pub(super) fn connect(path: &Path, config: &SqliteConfig) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(config.busy_timeout)?;
    use_wal(&connection, config.busy_timeout)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let kib = i64::try_from(config.cache_bytes / 1024).unwrap_or(i64::MAX);
    connection.pragma_update(None, "cache_size", -kib)?;
    connection.pragma_update(None, "wal_autocheckpoint", config.checkpoint_pages)?;
    connection.set_prepared_statement_cache_capacity(config.statements);
    Ok(connection)
}

fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let doing = |error| failed("bring its schema up to date", error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(doing)?;
    transaction
        .execute_batch("CREATE TABLE IF NOT EXISTS tq_schema (version INTEGER NOT NULL) STRICT;")
        .map_err(doing)?;
    let found: Option<i64> =
        transaction.query_row("SELECT max(version) FROM tq_schema", (), |row| row.get(0)).map_err(doing)?;
    let steps = schema::pending(found.unwrap_or(0), &STEPS)?;
    for step in steps {
        transaction.execute_batch(step).map_err(doing)?;
    }
    if !steps.is_empty() {
        transaction.execute("DELETE FROM tq_schema", ()).map_err(doing)?;
        transaction
            .execute("INSERT INTO tq_schema (version) VALUES (?1)", [schema::VERSION])
            .map_err(doing)?;
    }
    transaction.commit().map_err(doing)
}

/// Changing to a write-ahead log does not wait for other processes that open the file by itself.
fn use_wal(connection: &Connection, patience: Duration) -> Result<(), rusqlite::Error> {
    let begun = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && begun.elapsed() < patience =>
            {
                std::thread::sleep(Duration::from_millis(2));
            }
            done => return done,
        }
    }
}
