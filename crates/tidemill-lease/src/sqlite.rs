//! Leases in an SQLite file, shared by the processes of one machine; time is since boot, the boot's identity is the era.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Params, Row as SqlRow, Transaction,
    TransactionBehavior,
};
use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::error::{Cause, Error};
use crate::lease::{Moment, Record};
use crate::name::Name;
use crate::schema::{self, Row};
use crate::store::{Loaded, Page, Pending, Store};

/// What leads from an empty file to the newest schema; a step that was published never changes.
const STEPS: [&str; schema::VERSION as usize] = ["
    CREATE TABLE tidemill_lease (
        name        TEXT    NOT NULL PRIMARY KEY,
        epoch       INTEGER NOT NULL,
        version     INTEGER NOT NULL,
        owner       TEXT    NOT NULL,
        released    INTEGER NOT NULL,
        ends_boot_ns INTEGER NOT NULL,
        boot_id     TEXT    NOT NULL,
        ends_utc    TEXT    NOT NULL,
        reserve     INTEGER NOT NULL,
        unconfirmed TEXT    NOT NULL,
        payload     BLOB    NOT NULL
    ) STRICT, WITHOUT ROWID;
"];

const COLUMNS: &str =
    "name, epoch, version, owner, released, ends_boot_ns, boot_id, reserve, unconfirmed, payload";

/// How an [`Sqlite`] store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteConfig {
    /// How long a write waits for another process's. Default 2 s.
    pub busy_timeout: Duration,
    /// The most names in the file. Default 65 536.
    pub max_names: u64,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self { busy_timeout: Duration::from_secs(2), max_names: 65_536 }
    }
}

/// A store in a file: write-ahead log, `synchronous = FULL`, one connection.
///
/// Terms are measured in time since boot, which no setting of the wall clock moves; after a reboot every lease has
/// ended. So the file serves **one machine** (a write-ahead log does too): never put it on a network file system. Work
/// is done on the blocking threads of the tokio runtime, one at a time.
#[derive(Debug, Clone)]
pub struct Sqlite {
    connection: Arc<Mutex<Connection>>,
    path: PathBuf,
    boot: Boot,
    max_names: u64,
}

/// Which boot of the machine this is, and its clock.
#[derive(Debug, Clone)]
struct Boot {
    id: u128,
    clock: Clock,
}

impl Sqlite {
    /// Opens the file, made if it is missing, and brings its schema up to date. Blocks for some milliseconds.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be opened or the boot cannot be told from others (no
    /// `/proc/sys/kernel/random/boot_id`); `Schema` when a newer program wrote it.
    pub fn open(path: impl AsRef<Path>, config: SqliteConfig) -> Result<Self, Error> {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map_err(|error| Error::unavailable("tell this boot of the machine from others", error))?;
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        let id = u128::from_str_radix(&digits, 16)
            .map_err(|error| Error::unavailable("tell this boot of the machine from others", error))?;
        Self::open_in_boot(path, config, id, Clock::boottime())
    }

    /// As [`open`](Self::open), in a boot of the caller's invention: for tests of what a reboot does.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_in_boot(
        path: impl AsRef<Path>,
        config: SqliteConfig,
        boot_id: u128,
        clock: Clock,
    ) -> Result<Self, Error> {
        let path = path.as_ref().to_path_buf();
        let connection = open(&path, &config).map_err(|error| failed("open the file", error))??;
        let boot = Boot { id: boot_id, clock };
        Ok(Self { connection: Arc::new(Mutex::new(connection)), path, boot, max_names: config.max_names })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` on a blocking thread with the connection to itself. Dropped, it still runs to its end.
    fn with<'a, T: Send + 'static>(
        &'a self,
        doing: &'static str,
        work: impl FnOnce(&mut Connection) -> Result<Result<T, Error>, rusqlite::Error> + Send + 'static,
    ) -> Pending<'a, T> {
        Box::pin(async move {
            let mut connection = self.connection.clone().lock_owned().await;
            let done = tokio::task::spawn_blocking(move || work(&mut connection)).await;
            done.map_err(|error| Error::unavailable(doing, error))?.map_err(|error| failed(doing, error))?
        })
    }
}

impl Boot {
    fn now(&self) -> Moment {
        Moment { era: self.id, since: self.clock.now() }
    }
}

impl Store for Sqlite {
    fn load<'a>(&'a self, name: &'a Name) -> Pending<'a, Loaded> {
        let (name, boot) = (name.clone(), self.boot.clone());
        self.with("read the lease", move |connection| {
            let now = boot.now();
            let mut statement = connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM tidemill_lease WHERE name = ?1"))?;
            let row = statement.query_row([name.as_str()], read_row).optional()?;
            Ok(row.transpose().map(|found| Loaded { now, record: found.map(|(_, record)| record) }))
        })
    }

    fn swap<'a>(
        &'a self,
        name: &'a Name,
        expected: Option<&'a Record>,
        next: &'a Record,
    ) -> Pending<'a, bool> {
        let (name, next, now, most) = (name.clone(), next.clone(), self.boot.now(), self.max_names);
        let expected = expected.map(|record| (record.epoch.0, record.version));
        self.with("write the lease", move |connection| {
            // At once, so that a writer waits here and is never turned away half way.
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let written = match expected {
                Some(expected) => update(&transaction, &name, expected, &next, now)?,
                None => insert(&transaction, &name, &next, now, most)?,
            };
            if matches!(written, Ok(true)) {
                transaction.commit()?;
            }
            Ok(written)
        })
    }

    fn page<'a>(&'a self, after: Option<&'a Name>, limit: usize) -> Pending<'a, Page> {
        let (after, boot) = (after.map_or(String::new(), |name| name.as_str().to_owned()), self.boot.clone());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.with("list the leases", move |connection| {
            let now = boot.now();
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM tidemill_lease WHERE name > ?1 ORDER BY name LIMIT ?2"
            ))?;
            let rows = statement.query_map((after, limit), read_row)?.collect::<Result<Vec<_>, _>>()?;
            Ok(rows.into_iter().collect::<Result<_, _>>().map(|records| Page { now, records }))
        })
    }
}

fn open(path: &Path, config: &SqliteConfig) -> Result<Result<Connection, Error>, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(config.busy_timeout)?;
    use_wal(&connection, config.busy_timeout)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS tidemill_lease_schema (version INTEGER NOT NULL) STRICT;",
    )?;
    let found: Option<i64> =
        transaction.query_row("SELECT max(version) FROM tidemill_lease_schema", (), |row| row.get(0))?;
    let steps = match schema::pending(found.unwrap_or(0), &STEPS) {
        Ok(steps) => steps,
        Err(error) => return Ok(Err(error)),
    };
    for step in steps {
        transaction.execute_batch(step)?;
    }
    if !steps.is_empty() {
        transaction.execute("DELETE FROM tidemill_lease_schema", ())?;
        transaction.execute("INSERT INTO tidemill_lease_schema (version) VALUES (?1)", [schema::VERSION])?;
    }
    transaction.commit()?;
    Ok(Ok(connection))
}

/// Changing to a write-ahead log does not wait for other processes that open the file by itself.
fn use_wal(connection: &Connection, patience: Duration) -> Result<(), rusqlite::Error> {
    let begun = std::time::Instant::now();
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

type Written = Result<Result<bool, Error>, rusqlite::Error>;

fn update(
    transaction: &Transaction<'_>,
    name: &Name,
    (epoch, version): (u64, u64),
    next: &Record,
    now: Moment,
) -> Written {
    let text =
        "UPDATE tidemill_lease SET epoch = ?2, version = ?3, owner = ?4, released = ?5, ends_boot_ns = ?6,
        boot_id = ?7, ends_utc = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?8), reserve = ?9, unconfirmed = ?10,
        payload = ?11
        WHERE name = ?1 AND epoch = ?12 AND version = ?13";
    let expected = match schema::integer(epoch).and_then(|epoch| Ok((epoch, schema::integer(version)?))) {
        Ok(expected) => expected,
        Err(error) => return Ok(Err(error)),
    };
    run(transaction, text, name, next, now, Some(expected))
}

fn insert(transaction: &Transaction<'_>, name: &Name, next: &Record, now: Moment, most: u64) -> Written {
    let known = "SELECT count(*), count(*) FILTER (WHERE name = ?1) FROM tidemill_lease";
    let (names, taken): (i64, i64) =
        transaction.query_row(known, [name.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if taken > 0 {
        return Ok(Ok(false));
    }
    let names = names.unsigned_abs();
    if names >= most {
        return Ok(Err(Cause::Full { names }.into()));
    }
    let text =
        "INSERT INTO tidemill_lease (name, epoch, version, owner, released, ends_boot_ns, boot_id, ends_utc,
        reserve, unconfirmed, payload)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?8), ?9, ?10, ?11)";
    run(transaction, text, name, next, now, None)
}

fn run(
    transaction: &Transaction<'_>,
    text: &str,
    name: &Name,
    next: &Record,
    now: Moment,
    expected: Option<(i64, i64)>,
) -> Written {
    let values = || -> Result<_, Error> {
        let ends_ns = schema::integer(u64::try_from(next.ends.since.as_nanos()).unwrap_or(u64::MAX))?;
        let unconfirmed = schema::unconfirmed_text(&next.unconfirmed)?;
        Ok((schema::integer(next.epoch.0)?, schema::integer(next.version)?, ends_ns, unconfirmed))
    };
    let (epoch, version, ends_ns, unconfirmed) = match values() {
        Ok(values) => values,
        Err(error) => return Ok(Err(error)),
    };
    // For people who look into the file; nothing is decided by it.
    let ends_in = format!("{:+.3} seconds", next.ends.since.as_secs_f64() - now.since.as_secs_f64());
    let boot_id = format!("{:032x}", next.ends.era);
    let common = (
        name.as_str(),
        epoch,
        version,
        next.owner.as_str(),
        next.released,
        ends_ns,
        boot_id,
        ends_in,
        next.reserve,
        unconfirmed,
        &next.payload[..],
    );
    let (a, b, c, d, e, f, g, h, i, j, k) = common;
    let changed = match expected {
        Some((old_epoch, old_version)) => {
            execute(transaction, text, (a, b, c, d, e, f, g, h, i, j, k, old_epoch, old_version))?
        }
        None => execute(transaction, text, (a, b, c, d, e, f, g, h, i, j, k))?,
    };
    Ok(Ok(changed == 1))
}

fn execute(transaction: &Transaction<'_>, text: &str, values: impl Params) -> Result<usize, rusqlite::Error> {
    transaction.prepare_cached(text)?.execute(values)
}

fn read_row(row: &SqlRow<'_>) -> Result<Result<(Name, Record), Error>, rusqlite::Error> {
    let name: String = row.get(0)?;
    let (ends_ns, boot_id): (i64, String) = (row.get(5)?, row.get(6)?);
    let values = Row {
        epoch: row.get(1)?,
        version: row.get(2)?,
        owner: row.get(3)?,
        released: row.get(4)?,
        reserve: row.get(7)?,
        unconfirmed: row.get(8)?,
        payload: row.get(9)?,
    };
    let read = || {
        let name =
            Name::try_new(&name).map_err(|_| Error::schema(format!("holds a broken name: {name:?}")))?;
        let broken = || Error::schema(format!("holds a broken end of the term under {name}; repair the row"));
        let since = Duration::from_nanos(u64::try_from(ends_ns).map_err(|_| broken())?);
        let era = u128::from_str_radix(&boot_id, 16).map_err(|_| broken())?;
        let record = values.read(&name)?.ending(Moment { era, since });
        Ok((name, record))
    };
    Ok(read())
}

fn failed(doing: &'static str, error: rusqlite::Error) -> Error {
    Error::unavailable(doing, error)
}
