//! Tasks in a PostgreSQL server, shared by machines; time is the server's.

mod batch;
mod dial;
mod link;
mod queries;
mod rows;
mod tables;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;

use crate::error::{Cause, Error};
use crate::id::TaskId;
use crate::priority::Priority;
use crate::record::{Filter, Record, State};
use crate::schema::{integer, unsigned};
use crate::store::{Batch, Depth, Outcome, Overview, Pending, ScheduleRow, Store};
use crate::timestamp::Timestamp;
use dial::Dial;
use link::{Ears, Pool};
use rows::get;

/// How a [`Postgres`] store is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresConfig {
    /// The most connections, one that listens apart; others wait. Default 4, at most 100.
    pub max_connections: usize,
    /// The most transactions under way at once; at most `max_connections`. The second begins when the first takes longer than
    /// 10 ms, as behind somebody else's lock. Default 2.
    pub lanes: usize,
    /// How long connecting may take. Default 3 s.
    pub connect_timeout: Duration,
    /// How long the server may work on one statement, and a transaction of a dead process stays open. Default 10 s.
    pub statement_timeout: Duration,
    /// How long the answer to a whole batch is waited for before its connection is given up. Default 15 s.
    pub answer_timeout: Duration,
    /// After how long without a notification work is looked for anyway. Default 1 s.
    pub poll_behind: Duration,
    /// The authorities to trust, a PEM file such as `/etc/ssl/certs/ca-certificates.crt` (feature `tls`). With it the
    /// connection is encrypted and the server's name verified, or it is not made. Default `None`: in the clear, for a Unix
    /// socket, a loopback or a tunnel.
    pub tls_roots: Option<PathBuf>,
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self {
            max_connections: 4,
            lanes: 2,
            connect_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(15),
            poll_behind: Duration::from_secs(1),
            tls_roots: None,
        }
    }
}

/// A store in the first schema of the connection's `search_path`: `SKIP LOCKED`, prepared statements, a batch a round trip.
///
/// Times are the server's `clock_timestamp()`. What only says who has what commits with `synchronous_commit = off`: a crash
/// of the server may forget it, and then the task is given out again under a higher token. Others hear of work by
/// `LISTEN`, which is spoken outside the transactions, at most once in 4 ms a process. Lost connections are made anew.
pub struct Postgres {
    pool: Arc<Pool>,
    ears: Arc<Ears>,
    listener: Mutex<Option<JoinHandle<()>>>,
    config: PostgresConfig,
}

impl Postgres {
    /// Connects by a connection string such as `host=/run/postgresql user=tidemill dbname=tidemill` or
    /// `postgresql://...`, and brings the schema up to date. Starts a task for each connection, and one that listens.
    ///
    /// # Errors
    /// `Config` for a string or a file of roots that cannot be read, `Unavailable` when the server cannot be reached, `Schema` when a
    /// newer program wrote the tables.
    pub async fn connect(address: &str, config: PostgresConfig) -> Result<Self, Error> {
        if !(1..=100).contains(&config.max_connections) {
            return Err(Cause::Config { field: "max_connections", why: "must lie between 1 and 100" }.into());
        }
        if !(1..=config.max_connections).contains(&config.lanes) {
            return Err(
                Cause::Config { field: "lanes", why: "must lie between 1 and `max_connections`" }.into()
            );
        }
        let dial = Dial::new(address, &config)?;
        let pool = Arc::new(Pool::new(dial.clone(), config.clone()));
        pool.with(async |_| Ok(())).await?;
        let ears = Ears::new();
        let listener = Mutex::new(Some(tokio::spawn(ears.clone().listen(dial, config.answer_timeout))));
        Ok(Self { pool, ears, listener, config })
    }

    /// What the server does for each statement that runs while tasks flow: its name and its plan, as `EXPLAIN` shows the very
    /// statement in a session like those that work. Each should find its rows by an `Index Cond`.
    ///
    /// # Errors
    /// `Unavailable`, `Schema`.
    pub async fn plans(&self) -> Result<Vec<(&'static str, String)>, Error> {
        self.pool
            .with(|link| async move {
                let mut plans = Vec::new();
                for (name, text) in queries::HOT {
                    let plan = link.plan(text).await.map_err(|error| failed("explain a statement", error))?;
                    plans.push((name, plan));
                }
                Ok(plans)
            })
            .await
    }

    fn read<'a, T: Send + 'a, F: Future<Output = Result<T, Error>> + Send + 'a>(
        &'a self,
        work: impl FnOnce(Arc<link::Link>) -> F + Send + 'a,
    ) -> Pending<'a, T> {
        Box::pin(async move {
            // A connection whose work did not end well is closed: behind it may be a network that swallows everything.
            tokio::time::timeout(self.config.answer_timeout, self.pool.with(work))
                .await
                .map_err(|late| Error::unavailable("answer in time", late))?
        })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take() {
            listener.abort();
        }
    }
}

impl Store for Postgres {
    fn lanes(&self) -> usize {
        self.config.lanes
    }

    fn reserve(&self, count: u64) -> Pending<'_, u64> {
        self.read(move |link| async move {
            let failed = |error| failed("reserve ids", error);
            let statement = link.statement(queries::RESERVE).await.map_err(failed)?;
            // Two at once must not get the same: a lock for the length of the statement.
            let client = &link.client;
            client
                .batch_execute(
                    "BEGIN; SET LOCAL synchronous_commit = on; SELECT pg_advisory_xact_lock(8388355990441060717)",
                )
                .await
                .map_err(failed)?;
            let row = client.query_one(&statement, &[&integer(count)]).await.map_err(failed)?;
            client.batch_execute("COMMIT").await.map_err(failed)?;
            let last: i64 = get(&row, 0)?;
            Ok(unsigned(last).saturating_sub(count) + 1)
        })
    }

    fn commit(&self, batch: Arc<Batch>) -> Pending<'_, Outcome> {
        self.read(move |link| async move {
            let (outcome, frees) = batch::commit(&link, &batch).await?;
            if frees {
                self.ears.tell();
            }
            Ok(outcome)
        })
    }

    fn get(&self, id: TaskId) -> Pending<'_, Option<Record>> {
        self.read(move |link| async move {
            let failed = |error| failed("read the task", error);
            let text = format!(
                "SELECT {} FROM tq_task WHERE id = $1 UNION ALL SELECT {} FROM tq_done WHERE id = $1",
                queries::LIVE,
                queries::FINISHED
            );
            let rows = link.client.query(&text, &[&integer(id.0)]).await.map_err(failed)?;
            let record = rows.first().map(rows::record).transpose()?;
            Ok(record)
        })
    }

    fn list(&self, filter: Filter) -> Pending<'_, Vec<Record>> {
        self.read(move |link| async move {
            let failed = |error| failed("list the tasks", error);
            let before = filter.before.map_or(i64::MAX, |id| integer(id.0));
            let state = filter.state.map(|state| state.code() as i16);
            let part = |columns: &str, table: &str| {
                format!(
                    "(SELECT {columns} FROM {table} WHERE id < $1 AND ($2::TEXT IS NULL OR queue = $2) \
                     AND ($3::TEXT IS NULL OR name = $3) AND ($4::SMALLINT IS NULL OR state = $4) \
                     ORDER BY id DESC LIMIT $5)"
                )
            };
            let text = format!(
                "SELECT * FROM ({} UNION ALL {}) a ORDER BY id DESC LIMIT $5",
                part(queries::LIVE, "tq_task"),
                part(queries::FINISHED, "tq_done")
            );
            let page = integer(filter.page() as u64);
            let client = &link.client;
            let rows = client
                .query(&text, &[&before, &filter.queue, &filter.name, &state, &page])
                .await
                .map_err(failed)?;
            rows.iter().map(rows::record).collect()
        })
    }

    fn overview(&self) -> Pending<'_, Overview> {
        self.read(move |link| async move {
            let overview = overview(&link).await?;
            Ok(overview)
        })
    }

    fn schedules(&self) -> Pending<'_, Vec<ScheduleRow>> {
        self.read(move |link| async move {
            let failed = |error| failed("read the schedules", error);
            let rows = link.client.query(queries::SCHEDULES, &[]).await.map_err(failed)?;
            rows.iter().map(rows::schedule).collect()
        })
    }

    fn changed(&self, _poll: Duration, seen: u64) -> Pending<'_, u64> {
        Box::pin(async move { Ok(self.ears.changed(seen, self.config.poll_behind).await) })
    }

    fn check(&self) -> Pending<'_, Vec<String>> {
        self.read(move |link| async move {
            let mut says = Vec::new();
            for (text, what) in [
                ("SELECT count(*) FROM tq_task JOIN tq_done USING (id)", "tasks are both finished and not"),
                (
                    "SELECT count(*) FROM tq_task WHERE state NOT IN (0, 1, 2)",
                    "unfinished tasks are in no such state",
                ),
                (
                    "SELECT count(*) FROM tq_done WHERE state NOT IN (3, 4, 5)",
                    "finished tasks are in no such state",
                ),
                (
                    "SELECT count(*) FROM tq_task WHERE state = 2 AND (lease_until IS NULL OR owner IS NULL)",
                    "running tasks are nobody's",
                ),
                (
                    "SELECT count(*) FROM tq_task WHERE state <> 2 AND lease_until IS NOT NULL",
                    "waiting tasks have a lease",
                ),
                (
                    "SELECT count(*) FROM (SELECT id FROM tq_task UNION ALL SELECT id FROM tq_done) a \
                     WHERE id > (SELECT last_value FROM tq_next)",
                    "ids could be given twice",
                ),
            ] {
                let failed = |error| failed("check the tables", error);
                let row = link.client.query_one(text, &[]).await.map_err(failed)?;
                let count: i64 = get(&row, 0)?;
                if count > 0 {
                    says.push(format!("{count} {what}"));
                }
            }
            Ok(says)
        })
    }
}

async fn overview(link: &link::Link) -> Result<Overview, Error> {
    let failed = |error| failed("count the tasks", error);
    let client = &link.client;
    let mut overview = Overview::default();
    let text =
        "SELECT queue, state, priority, count(*), min(run_at) FROM tq_task GROUP BY queue, state, priority";
    for row in client.query(text, &[]).await.map_err(failed)? {
        let depth: &mut Depth = overview.queues.entry(get(&row, 0)?).or_default();
        let count = unsigned(get(&row, 3)?);
        match State::from_code(i64::from(get::<i16>(&row, 1)?)) {
            Some(State::Ready) => {
                let priority = Priority::from_index(i64::from(get::<i16>(&row, 2)?));
                depth.ready[priority.index()] += count;
                let oldest = Timestamp(get(&row, 4)?);
                depth.oldest_ready = Some(depth.oldest_ready.map_or(oldest, |old| old.min(oldest)));
            }
            Some(State::Delayed) => depth.delayed += count,
            _ => depth.running += count,
        }
    }
    for row in client.query("SELECT queue FROM tq_paused", &[]).await.map_err(failed)? {
        overview.queues.entry(get(&row, 0)?).or_default().paused = true;
    }
    for row in client.query("SELECT grp, spec FROM tq_limit", &[]).await.map_err(failed)? {
        let spec: String = get(&row, 1)?;
        if let Ok(limit) = serde_json::from_str(&spec) {
            overview.limits.insert(get(&row, 0)?, limit);
        }
    }
    Ok(overview)
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold a password.
        f.debug_struct("Postgres").field("config", &self.config).finish_non_exhaustive()
    }
}

fn failed(doing: &'static str, error: tokio_postgres::Error) -> Error {
    match error.code() {
        Some(&SqlState::DISK_FULL) => Cause::DiskFull { source: error.into() }.into(),
        Some(&(SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN | SqlState::DATATYPE_MISMATCH)) => {
            Error::schema(format!("has other tables than this program knows: {error}; look into it"))
        }
        _ => Error::unavailable(doing, error),
    }
}
