//! Tasks in an SQLite file, shared by the processes of one machine.

mod batch;
mod queries;
mod rows;
mod tables;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use crate::error::{Cause, Error};
use crate::id::TaskId;
use crate::record::{Filter, Record, State};
use crate::schema::{integer, unsigned};
use crate::store::{Batch, Depth, Outcome, Overview, Pending, ScheduleRow, Store};
use crate::timestamp::Timestamp;
use batch::Writer;

/// How a [`Sqlite`] store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteConfig {
    /// How long a write waits for another process's. Default 5 s.
    pub busy_timeout: Duration,
    /// Bytes of pages that each of the two connections keeps. Default 8 MiB.
    pub cache_bytes: u64,
    /// Prepared statements that each keeps. Default 100.
    pub statements: usize,
    /// Pages in the log after which they are copied into the file. Default 4000 of 4 KiB.
    pub checkpoint_pages: u32,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            cache_bytes: 8 << 20,
            statements: 100,
            checkpoint_pages: 4000,
        }
    }
}

/// A store in a file: write-ahead log, one connection that writes and one that reads.
///
/// A batch with an enqueue, an end or a control commits with `synchronous = FULL`; one that only says who has what commits
/// with `NORMAL`, is seen by every process at once, survives their deaths, and may be lost with the power: then nobody
/// is left who holds a lease. So the file serves **one machine**, as a write-ahead log does anyway: never put it on a
/// network file system. Work is done on the blocking threads of the tokio runtime.
#[derive(Clone)]
pub struct Sqlite {
    writer: Arc<Mutex<Writer>>,
    reader: Arc<Mutex<Connection>>,
    path: PathBuf,
}

impl Sqlite {
    /// Opens the file, made if it is missing, and brings its schema up to date. Blocks for some milliseconds.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be opened; `Schema` when a newer program wrote it or it is no such file.
    pub fn open(path: impl AsRef<Path>, config: SqliteConfig) -> Result<Self, Error> {
        let path = path.as_ref().to_path_buf();
        let writer = Writer::new(tables::open(&path, &config)?);
        let reader = batch::second(&path, &config).map_err(|error| failed("open the file", error))?;
        Ok(Self { writer: Arc::new(Mutex::new(writer)), reader: Arc::new(Mutex::new(reader)), path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&mut Writer) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Pending<'_, T> {
        let writer = self.writer.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || {
                work(&mut writer.lock().unwrap_or_else(PoisonError::into_inner))
            });
            let done = done.await.map_err(|error| Error::unavailable(doing, error))?;
            done.map_err(|error| failed(doing, error))
        })
    }

    fn read<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<Result<T, Error>, rusqlite::Error> + Send + 'static,
    ) -> Pending<'_, T> {
        let reader = self.reader.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || {
                work(&reader.lock().unwrap_or_else(PoisonError::into_inner))
            });
            let done = done.await.map_err(|error| Error::unavailable(doing, error))?;
            done.map_err(|error| failed(doing, error))?
        })
    }

    /// A number that changes when tasks may have become ready, by this connection or another; `None` while the writer is at
    /// work.
    fn version(&self) -> Option<u64> {
        let writer = self.writer.try_lock().ok()?;
        let mut statement = writer.connection.prepare_cached("PRAGMA data_version").ok()?;
        let others: i64 = statement.query_row((), |row| row.get(0)).ok()?;
        Some((unsigned(others) << 32).wrapping_add(writer.writes))
    }
}

impl Store for Sqlite {
    fn reserve(&self, count: u64) -> Pending<'_, u64> {
        self.write("reserve ids", move |writer| writer.reserve(count))
    }

    fn commit(&self, batch: Arc<Batch>) -> Pending<'_, Outcome> {
        self.write("commit", move |writer| writer.commit(&batch))
    }

    fn get(&self, id: TaskId) -> Pending<'_, Option<Record>> {
        self.read("read the task", move |sql| {
            // In one snapshot, or a task could move out between the two looks.
            let snapshot = sql.unchecked_transaction()?;
            for (columns, table) in [(rows::LIVE, "tq_task"), (rows::FINISHED, "tq_done")] {
                let text = format!("SELECT {columns} FROM {table} WHERE id = ?1");
                let mut statement = snapshot.prepare_cached(&text)?;
                let found = statement.query_row([integer(id.0)], rows::record).optional()?;
                if let Some(found) = found {
                    return Ok(found.map(Some));
                }
            }
            Ok(Ok(None))
        })
    }

    fn list(&self, filter: Filter) -> Pending<'_, Vec<Record>> {
        self.read("list the tasks", move |sql| list(sql, &filter))
    }

    fn overview(&self) -> Pending<'_, Overview> {
        self.read("count the tasks", |sql| overview(sql).map(Ok))
    }

    fn schedules(&self) -> Pending<'_, Vec<ScheduleRow>> {
        self.read("read the schedules", |sql| {
            let mut statement = sql.prepare_cached(
                "SELECT name, spec, next, paused, last_due, last_task FROM tq_schedule ORDER BY name",
            )?;
            Ok(Ok(statement.query_map((), rows::schedule)?.collect::<Result<_, _>>()?))
        })
    }

    fn changed(&self, poll: Duration, seen: u64) -> Pending<'_, u64> {
        Box::pin(async move {
            if seen != 0 {
                tokio::time::sleep(poll).await;
            }
            loop {
                match self.version() {
                    Some(version) if version != seen => return Ok(version),
                    _ => tokio::time::sleep(poll).await,
                }
            }
        })
    }

    fn check(&self) -> Pending<'_, Vec<String>> {
        self.read("check the file", |sql| check(sql).map(Ok))
    }
}

fn list(sql: &Connection, filter: &Filter) -> Result<Result<Vec<Record>, Error>, rusqlite::Error> {
    let snapshot = sql.unchecked_transaction()?;
    let before = filter.before.map_or(i64::MAX, |id| integer(id.0));
    let (state, page) = (filter.state.map(State::code), filter.page());
    let mut records: Vec<Record> = Vec::new();
    for (columns, table, finished) in [(rows::LIVE, "tq_task", false), (rows::FINISHED, "tq_done", true)] {
        if filter.state.is_some_and(|state| state.is_finished() != finished) {
            continue;
        }
        let text = format!(
            "SELECT {columns} FROM {table} WHERE id < ?1 AND (?2 IS NULL OR queue = ?2) \
             AND (?3 IS NULL OR name = ?3) AND (?4 IS NULL OR state = ?4) ORDER BY id DESC LIMIT ?5"
        );
        let mut statement = snapshot.prepare_cached(&text)?;
        let values = params![before, filter.queue, filter.name, state, page as i64];
        for record in statement.query_map(values, rows::record)? {
            match record? {
                Ok(record) => records.push(record),
                Err(error) => return Ok(Err(error)),
            }
        }
    }
    records.sort_by_key(|record| std::cmp::Reverse(record.id));
    records.truncate(page);
    Ok(Ok(records))
}

fn overview(sql: &Connection) -> Result<Overview, rusqlite::Error> {
    let snapshot = sql.unchecked_transaction()?;
    let mut overview = Overview::default();
    let mut depths = snapshot.prepare_cached(
        "SELECT queue, state, priority, count(*), min(run_at) FROM tq_task GROUP BY queue, state, priority",
    )?;
    let mut rows = depths.query(())?;
    while let Some(row) = rows.next()? {
        let depth: &mut Depth = overview.queues.entry(row.get(0)?).or_default();
        let count = unsigned(row.get(3)?);
        match State::from_code(row.get(1)?) {
            Some(State::Ready) => {
                let priority = crate::priority::Priority::from_index(row.get(2)?);
                depth.ready[priority.index()] += count;
                let oldest = Timestamp(row.get(4)?);
                depth.oldest_ready = Some(depth.oldest_ready.map_or(oldest, |old| old.min(oldest)));
            }
            Some(State::Delayed) => depth.delayed += count,
            _ => depth.running += count,
        }
    }
    let mut paused = snapshot.prepare_cached("SELECT queue FROM tq_paused")?;
    let mut rows = paused.query(())?;
    while let Some(row) = rows.next()? {
        overview.queues.entry(row.get(0)?).or_default().paused = true;
    }
    let mut limits = snapshot.prepare_cached("SELECT grp, spec FROM tq_limit")?;
    let mut rows = limits.query(())?;
    while let Some(row) = rows.next()? {
        let spec: String = row.get(1)?;
        if let Ok(limit) = serde_json::from_str(&spec) {
            overview.limits.insert(row.get(0)?, limit);
        }
    }
    Ok(overview)
}

/// SQLite's own check, and what must hold between the tables.
fn check(sql: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    let snapshot = sql.unchecked_transaction()?;
    let mut says: Vec<String> = snapshot
        .prepare("PRAGMA integrity_check(100)")?
        .query_map((), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    says.retain(|line| line != "ok");
    for (text, what) in [
        ("SELECT count(*) FROM tq_task JOIN tq_done USING (id)", "tasks are both finished and not"),
        (
            "SELECT count(*) FROM tq_task WHERE state NOT IN (0, 1, 2)",
            "unfinished tasks are in no such state",
        ),
        ("SELECT count(*) FROM tq_done WHERE state NOT IN (3, 4, 5)", "finished tasks are in no such state"),
        (
            "SELECT count(*) FROM tq_task WHERE state = 2 AND (lease_until IS NULL OR owner IS NULL)",
            "running tasks are nobody's",
        ),
        (
            "SELECT count(*) FROM (SELECT id FROM tq_task UNION ALL SELECT id FROM tq_done) \
             WHERE id >= (SELECT id FROM tq_next)",
            "ids could be given twice",
        ),
    ] {
        let count: i64 = snapshot.query_row(text, (), |row| row.get(0))?;
        if count > 0 {
            says.push(format!("{count} {what}"));
        }
    }
    Ok(says)
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.path).finish_non_exhaustive()
    }
}

fn failed(doing: &'static str, error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Cause::DiskFull { source: error.into() }.into(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::schema(format!("is broken: {error}; restore it from a backup"))
        }
        _ => match error {
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..) => {
                Error::schema(format!("holds what this program cannot read: {error}; repair the row"))
            }
            _ => Error::unavailable(doing, error),
        },
    }
}
