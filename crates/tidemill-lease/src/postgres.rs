//! Leases in a PostgreSQL server, shared by machines; time is the server's.

mod dial;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Row as SqlRow, Statement};

use crate::error::{Cause, Error};
use crate::lease::{Moment, Record};
use crate::name::Name;
use crate::schema::{self, Row};
use crate::store::{Loaded, Page, Pending, Store};
use dial::Dial;

/// What leads from an empty schema to the newest; a step that was published never changes.
const STEPS: [&str; schema::VERSION as usize] = [r#"
    CREATE TABLE tidemill_lease (
        name        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
        epoch       BIGINT  NOT NULL,
        version     BIGINT  NOT NULL,
        owner       TEXT    NOT NULL,
        released    BOOLEAN NOT NULL,
        ends_us     BIGINT  NOT NULL,
        reserve     BIGINT  NOT NULL,
        unconfirmed TEXT    NOT NULL,
        payload     BYTEA   NOT NULL
    );
"#];

const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT";
const COLUMNS: &str = "name, epoch, version, owner, released, ends_us, reserve, unconfirmed, payload";
/// Two programs that bring the schema up to date do it one after the other.
const SCHEMA_LOCK: i64 = 0x7469_6465_6c65_6173;

/// How a [`Postgres`] store is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresConfig {
    /// The most operations under way at once; others wait. Default 16.
    pub max_in_flight: usize,
    /// How long connecting may take. Default 3 s.
    pub connect_timeout: Duration,
    /// How long the server may work on one statement. Default 3 s.
    pub statement_timeout: Duration,
    /// The most names in the table. Default 65 536; writers that insert at the same moment may exceed it by their number.
    pub max_names: u64,
    /// The authorities to trust, a PEM file such as `/etc/ssl/certs/ca-certificates.crt` (feature `tls`). With it the
    /// connection is encrypted and the server's name verified, or it is not made. Default `None`: in the clear, for a Unix
    /// socket, a loopback or a tunnel.
    pub tls_roots: Option<PathBuf>,
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self {
            max_in_flight: 16,
            connect_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(3),
            max_names: 65_536,
            tls_roots: None,
        }
    }
}

/// A store in the first schema of the connection's `search_path`: one connection, prepared statements, no transaction
/// that stays open, `synchronous_commit = on`. A lost connection is made anew by the next operation.
///
/// Terms are measured by the server's `clock_timestamp()`: keep it in step by slewing, and
/// [`margin`](crate::Config::margin) above what it may jump. Epochs survive a failover only if the replica is synchronous.
pub struct Postgres {
    dial: Dial,
    config: PostgresConfig,
    turns: Semaphore,
    link: Mutex<State>,
}

enum State {
    Open(Option<Arc<Link>>),
    Closed,
}

/// One connection with its statements.
struct Link {
    client: Client,
    load: Statement,
    insert: Statement,
    update: Statement,
    page: Statement,
    given_up: AtomicBool,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Postgres {
    /// Connects by a connection string such as `host=/run/postgresql user=tidemill dbname=tidemill` or
    /// `postgresql://...`, and brings the schema up to date. Starts a task that drives the connection.
    ///
    /// # Errors
    /// `Config` for a string or a file of roots that cannot be read, `Unavailable` when the server cannot be reached, `Schema` when a
    /// newer program wrote the tables.
    pub async fn connect(address: &str, config: PostgresConfig) -> Result<Self, Error> {
        if config.max_in_flight == 0 || config.max_in_flight > 1024 {
            return Err(Cause::Config { field: "max_in_flight", why: "must lie between 1 and 1024" }.into());
        }
        let dial = Dial::new(address, &config)?;
        let turns = Semaphore::new(config.max_in_flight);
        let store = Self { dial, config, turns, link: Mutex::new(State::Open(None)) };
        store.link().await?;
        Ok(store)
    }

    /// Ends the connection once the operations under way are done, at most after `deadline`; new ones fail with
    /// `Closed`. Says whether none was cut off.
    pub async fn close(&self, deadline: Duration) -> bool {
        let open = std::mem::replace(&mut *self.link.lock().await, State::Closed);
        let all = u32::try_from(self.config.max_in_flight).unwrap_or(u32::MAX);
        let idle = tokio::time::timeout(deadline, self.turns.acquire_many(all)).await.is_ok();
        self.turns.close();
        if let State::Open(Some(link)) = open {
            link.task.abort();
        }
        idle
    }

    /// The connection, made anew if it was lost.
    async fn link(&self) -> Result<Arc<Link>, Error> {
        let mut state = self.link.lock().await;
        let State::Open(open) = &mut *state else { return Err(Cause::Closed.into()) };
        if let Some(link) = open.as_ref().filter(|link| link.is_open()) {
            return Ok(link.clone());
        }
        *open = None;
        let limit = self.config.connect_timeout + self.config.statement_timeout;
        let link = tokio::time::timeout(limit, Link::new(&self.dial, &self.config))
            .await
            .map_err(|late| Error::unavailable("connect to PostgreSQL", late))??;
        Ok(open.insert(Arc::new(link)).clone())
    }

    /// Runs one statement with the connection and a turn of its own.
    fn with<'a, T: Send + 'a, F: Future<Output = Result<T, Error>> + Send + 'a>(
        &'a self,
        work: impl FnOnce(Arc<Link>) -> F + Send + 'a,
    ) -> Pending<'a, T> {
        Box::pin(async move {
            let _turn = self.turns.acquire().await.map_err(|_| Cause::Closed)?;
            let link = self.link().await?;
            let waiting = Waiting(Some(link.clone()));
            let answer = work(link).await;
            waiting.answered();
            answer
        })
    }
}

impl Link {
    async fn new(dial: &Dial, config: &PostgresConfig) -> Result<Self, Error> {
        let failed = |error| failed("connect to PostgreSQL", error);
        let (client, wire) = dial.connect().await.map_err(failed)?;
        let task = tokio::spawn(wire.drive());
        let mut guard = AbortOnDrop(Some(task));
        let session = format!(
            "SET statement_timeout = {}; SET synchronous_commit = on; SET application_name = 'tidemill-lease'",
            config.statement_timeout.as_millis().max(1)
        );
        client.batch_execute(&session).await.map_err(failed)?;
        migrate(&client).await?;
        let load = format!(
            "SELECT now_us, l.* FROM (SELECT {NOW} AS now_us) AS n
             LEFT JOIN (SELECT {COLUMNS} FROM tidemill_lease WHERE name = $1) AS l ON true"
        );
        let page =
            format!("SELECT {NOW}, {COLUMNS} FROM tidemill_lease WHERE name > $1 ORDER BY name LIMIT $2");
        let insert = format!(
            "INSERT INTO tidemill_lease ({COLUMNS})
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9
             WHERE (SELECT count(*) FROM tidemill_lease) < $10 ON CONFLICT (name) DO NOTHING"
        );
        let update =
            "UPDATE tidemill_lease SET epoch = $2, version = $3, owner = $4, released = $5, ends_us = $6,
             reserve = $7, unconfirmed = $8, payload = $9
             WHERE name = $1 AND epoch = $10 AND version = $11";
        let load = client.prepare(&load).await.map_err(failed)?;
        let insert = client.prepare(&insert).await.map_err(failed)?;
        let update = client.prepare(update).await.map_err(failed)?;
        let page = client.prepare(&page).await.map_err(failed)?;
        let Some(task) = guard.0.take() else { return Err(Cause::Closed.into()) };
        Ok(Self { client, load, insert, update, page, given_up: AtomicBool::new(false), task })
    }

    fn is_open(&self) -> bool {
        !self.given_up.load(Ordering::Relaxed) && !self.client.is_closed()
    }
}

/// An operation that waits for its answer. Dropped before, as by a timeout, it ends the connection: a network that swallows
/// everything keeps it open for ever, and the next operation must not wait for the same.
struct Waiting(Option<Arc<Link>>);

impl Waiting {
    fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(link) = &self.0 {
            link.given_up.store(true, Ordering::Relaxed);
            link.task.abort();
        }
    }
}

/// The task of a connection that is not set up yet.
struct AbortOnDrop(Option<JoinHandle<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// In one implicit transaction, behind an advisory lock.
async fn migrate(client: &Client) -> Result<(), Error> {
    let failed = |error| failed("bring its schema up to date", error);
    let known = "SELECT to_regclass('tidemill_lease_schema') IS NOT NULL";
    let version = "SELECT coalesce(max(version), 0) FROM tidemill_lease_schema";
    let known: bool = client.query_one(known, &[]).await.map_err(failed)?.get(0);
    if known {
        let found: i64 = client.query_one(version, &[]).await.map_err(failed)?.get(0);
        if schema::pending(found, &STEPS)?.is_empty() {
            return Ok(());
        }
    }
    client
        .batch_execute(&format!(
            "BEGIN; SELECT pg_advisory_xact_lock({SCHEMA_LOCK});
             CREATE TABLE IF NOT EXISTS tidemill_lease_schema (version BIGINT NOT NULL)"
        ))
        .await
        .map_err(failed)?;
    // Another program may have been faster.
    let found: i64 = client.query_one(version, &[]).await.map_err(failed)?.get(0);
    let mut text = schema::pending(found, &STEPS)?.concat();
    if !text.is_empty() {
        text += &format!(
            "DELETE FROM tidemill_lease_schema; INSERT INTO tidemill_lease_schema VALUES ({});",
            schema::VERSION
        );
    }
    // An error on the way closes the connection with this link, and the transaction with it.
    client.batch_execute(&format!("{text} COMMIT")).await.map_err(failed)
}

impl Store for Postgres {
    fn load<'a>(&'a self, name: &'a Name) -> Pending<'a, Loaded> {
        self.with(move |link| async move {
            let row = link
                .client
                .query_one(&link.load, &[&name.as_str()])
                .await
                .map_err(|error| failed("read the lease", error))?;
            let now = moment(get(&row, 0)?)?;
            let found: Option<String> = get(&row, 1)?;
            let record = found.map(|_| read_row(&row)).transpose()?.map(|(_, record)| record);
            Ok(Loaded { now, record })
        })
    }

    fn swap<'a>(
        &'a self,
        name: &'a Name,
        expected: Option<&'a Record>,
        next: &'a Record,
    ) -> Pending<'a, bool> {
        self.with(move |link| async move {
            let ends = i64::try_from(next.ends.since.as_nanos().div_ceil(1_000)).unwrap_or(i64::MAX);
            let (epoch, version) = (schema::integer(next.epoch.0)?, schema::integer(next.version)?);
            let unconfirmed = schema::unconfirmed_text(&next.unconfirmed)?;
            let (name, owner, reserve) = (name.as_str(), next.owner.as_str(), i64::from(next.reserve));
            let (released, payload) = (next.released, &next.payload[..]);
            let most = i64::try_from(self.config.max_names).unwrap_or(i64::MAX);
            let (old_epoch, old_version) = match expected {
                Some(old) => (schema::integer(old.epoch.0)?, schema::integer(old.version)?),
                None => (most, 0),
            };
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 11] = [
                &name,
                &epoch,
                &version,
                &owner,
                &released,
                &ends,
                &reserve,
                &unconfirmed,
                &payload,
                &old_epoch,
                &old_version,
            ];
            let statement =
                if expected.is_some() { (&link.update, &values[..]) } else { (&link.insert, &values[..10]) };
            let written = link
                .client
                .execute(statement.0, statement.1)
                .await
                .map_err(|error| failed("write the lease", error))?;
            if written == 0 && expected.is_none() {
                return refused_insert(&link, name, self.config.max_names).await;
            }
            Ok(written == 1)
        })
    }

    fn page<'a>(&'a self, after: Option<&'a Name>, limit: usize) -> Pending<'a, Page> {
        self.with(move |link| async move {
            let after = after.map_or("", Name::as_str);
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let failed = |error| failed("list the leases", error);
            let rows = link.client.query(&link.page, &[&after, &limit]).await.map_err(failed)?;
            let records = rows.iter().map(read_row).collect::<Result<_, _>>()?;
            let now = match rows.first() {
                Some(row) => get(row, 0)?,
                None => get(&link.client.query_one(&link.load, &[&""]).await.map_err(failed)?, 0)?,
            };
            Ok(Page { now: moment(now)?, records })
        })
    }
}

/// A new name was not written: because somebody was faster, or because there are too many.
async fn refused_insert(link: &Link, name: &str, most: u64) -> Result<bool, Error> {
    let failed = |error| failed("write the lease", error);
    let row = link.client.query_one(&link.load, &[&name]).await.map_err(failed)?;
    let taken: Option<String> = get(&row, 1)?;
    if taken.is_some() { Ok(false) } else { Err(Cause::Full { names: most }.into()) }
}

/// The columns after the first, which is the time.
fn read_row(row: &SqlRow) -> Result<(Name, Record), Error> {
    let name: String = get(row, 1)?;
    let name = Name::try_new(&name).map_err(|_| Error::schema(format!("holds a broken name: {name:?}")))?;
    let values = Row {
        epoch: get(row, 2)?,
        version: get(row, 3)?,
        owner: get(row, 4)?,
        released: get(row, 5)?,
        reserve: get(row, 7)?,
        unconfirmed: get(row, 8)?,
        payload: get(row, 9)?,
    };
    let record = values.read(&name)?.ending(moment(get(row, 6)?)?);
    Ok((name, record))
}

fn get<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a SqlRow, column: usize) -> Result<T, Error> {
    row.try_get(column).map_err(|_| Error::schema(format!("has a column {column} of another type")))
}

fn moment(micros: i64) -> Result<Moment, Error> {
    let micros = u64::try_from(micros).map_err(|_| Error::schema("tells a time before 1970"))?;
    Ok(Moment { era: 0, since: Duration::from_micros(micros) })
}

fn failed(doing: &'static str, error: tokio_postgres::Error) -> Error {
    Error::unavailable(doing, error)
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold a password.
        f.debug_struct("Postgres").field("config", &self.config).finish_non_exhaustive()
    }
}
