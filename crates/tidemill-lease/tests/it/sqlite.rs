//! The SQLite store: conformance, restarts, reboots, several processes, plain SQL.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use tidemill_lease::{
    Clock, Config, ErrorKind, Handover, Leases, Name, Owner, Sqlite, SqliteConfig, Standing, Store,
    conformance,
};

fn open(path: &Path) -> Sqlite {
    Sqlite::open(path, SqliteConfig::default()).unwrap()
}

fn leases(store: Sqlite, owner: &str, reserve: u32) -> Leases {
    let config = Config { reserve, ..Config::default() };
    Leases::builder(config, Arc::new(store), Owner::try_new(owner).unwrap()).build().unwrap()
}

fn key() -> Name {
    Name::try_new("key/alpha").unwrap()
}

#[tokio::test]
async fn sqlite_passes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("leases.db");
    for _ in 0..2 {
        // Each handle is a connection of its own.
        conformance::run(|| std::future::ready(Ok(Arc::new(open(&path)) as Arc<dyn Store>))).await.unwrap();
    }
}

#[tokio::test]
async fn epochs_outlive_the_file_being_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("leases.db");
    for epoch in 1..=5 {
        let leases = leases(open(&path), "a", 0);
        let held = leases.acquire(&key()).await.unwrap();
        assert_eq!(held.epoch().0, epoch);
        leases.release(&held, None).await.unwrap();
    }
}

#[tokio::test]
async fn a_reboot_ends_every_lease_at_a_time_nobody_knows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("leases.db");
    let boot = |id: u128, seconds: u64| {
        let clock = Clock::from_fn(move || Duration::from_secs(seconds));
        Sqlite::open_in_boot(&path, SqliteConfig::default(), id, clock).unwrap()
    };
    let before = leases(boot(1, 1000), "a", 8);
    let lost = before.acquire(&key()).await.unwrap();
    let window = Duration::from_secs(60);
    // The clock of the new boot is far behind the end of the term, and far beyond it.
    for (id, seconds) in [(2, 5), (3, 1_000_000)] {
        let after = leases(boot(id, seconds), "b", 0);
        let standing = after.read(&key()).await.unwrap().unwrap().standing;
        assert_eq!(standing, Standing::Expired { since: Duration::ZERO });
        let held = after.acquire(&key()).await.unwrap();
        assert_eq!(*held.handover(), Handover::Expired { since: Duration::ZERO });
        assert_eq!(held.handover().guard(window), window, "a cold guard of the whole window");
        assert!(held.unconfirmed().is_empty(), "no process of an earlier boot is alive");
        assert_eq!(before.renew(&lost, None).await.unwrap_err().kind(), ErrorKind::Stale);
    }
    // Control: in the same boot the lease stands, and its owner may have requests in the air.
    let same = leases(boot(3, 1_000_001), "c", 0);
    assert_eq!(same.acquire(&key()).await.unwrap_err().kind(), ErrorKind::Held);
}

#[tokio::test]
async fn plain_sql_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("leases.db");
    let hour = Duration::from_secs(3600);
    let now = Arc::new(Mutex::new(hour));
    let hand = now.clone();
    let clock = Clock::from_fn(move || *hand.lock().unwrap());
    let store = Sqlite::open_in_boot(&path, SqliteConfig::default(), 7, clock).unwrap();
    let first = leases(store.clone(), "first", 8);
    first.acquire(&key()).await.unwrap();
    *now.lock().unwrap() += hour;
    leases(store, "second", 4).acquire(&key()).await.unwrap();
    let sql = Connection::open(&path).unwrap();
    let text: String = sql
        .query_row(
            "SELECT name || ' ' || epoch || ' ' || owner || ' ' || reserve || ' ' || released FROM tidemill_lease
             WHERE ends_utc BETWEEN strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+20 seconds')
                                AND strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+30 seconds')",
            (),
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(text, "key/alpha 2 second 4 0");
    let former: (i64, String, i64) = sql
        .query_row(
            "SELECT value ->> 'epoch', value ->> 'owner', value ->> 'reserve'
             FROM tidemill_lease, json_each(unconfirmed)",
            (),
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .unwrap();
    assert_eq!(former, (1, "first".into(), 8));
    let pragma = |name: &str| sql.query_row(&format!("PRAGMA {name}"), (), |row| row.get::<_, String>(0));
    assert_eq!(pragma("journal_mode").unwrap(), "wal");
}

#[test]
fn a_newer_schema_and_a_foreign_file_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("leases.db");
    drop(open(&path));
    let sql = Connection::open(&path).unwrap();
    let version: i64 = sql.query_row("SELECT version FROM tidemill_lease_schema", (), |r| r.get(0)).unwrap();
    assert_eq!(version, 1);
    sql.execute("UPDATE tidemill_lease_schema SET version = 2", ()).unwrap();
    let error = Sqlite::open(&path, SqliteConfig::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(error.to_string().contains("version 2"), "{error}");
    let foreign = dir.path().join("foreign");
    std::fs::write(
        &foreign,
        "this is no database, and it is longer than a header of one hundred bytes ".repeat(9),
    )
    .unwrap();
    assert_eq!(Sqlite::open(foreign, SqliteConfig::default()).unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn many_may_open_a_new_file_at_once() {
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("leases.db");
        std::thread::scope(|scope| {
            let openers: Vec<_> = (0..6)
                .map(|_| scope.spawn(|| Sqlite::open(&path, SqliteConfig::default()).map(drop)))
                .collect();
            openers.into_iter().for_each(|opener| opener.join().unwrap().unwrap());
        });
    }
}

#[tokio::test]
async fn names_are_bounded_and_a_busy_file_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("leases.db");
    let config = SqliteConfig { max_names: 2, busy_timeout: Duration::from_millis(20) };
    let leases = leases(Sqlite::open(&path, config).unwrap(), "a", 0);
    for name in ["1", "2"] {
        leases.acquire(&Name::try_new(name).unwrap()).await.unwrap();
    }
    let third = leases.acquire(&Name::try_new("3").unwrap()).await.unwrap_err();
    assert_eq!(third.kind(), ErrorKind::Full);
    let held = leases.acquire(&Name::try_new("1").unwrap()).await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let busy = leases.renew(&held, None).await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Unavailable);
    assert!(busy.is_retryable() && held.may_act(leases.now()));
    other.execute_batch("COMMIT").unwrap();
    leases.renew(&held, None).await.unwrap();
    assert_eq!((leases.stats().failed, leases.stats().renewed), (1, 1));
}
