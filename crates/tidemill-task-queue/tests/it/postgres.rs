//! A real PostgreSQL server: every case of a task's life, plans, two processes, a restart and a held transaction under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidemill_task_queue::store::Store;
use tidemill_task_queue::{ErrorKind, Postgres, PostgresConfig, WorkerConfig};
use tokio_postgres::{Client, NoTls};

use crate::cluster::Cluster;
use crate::life;
use crate::stage::{Add, LONG, queue, worker};

async fn client(cluster: &Cluster) -> Client {
    let (client, connection) = tokio_postgres::connect(&cluster.address(), NoTls).await.unwrap();
    drop(tokio::spawn(connection));
    client
}

static SCHEMAS: AtomicU32 = AtomicU32::new(0);

/// Where the tables of a test of its own are.
async fn address(cluster: &Cluster) -> String {
    let name = format!("t{}", SCHEMAS.fetch_add(1, Ordering::Relaxed));
    client(cluster).await.batch_execute(&format!("CREATE SCHEMA {name}")).await.unwrap();
    format!("{} options='-c search_path={name}'", cluster.address())
}

async fn open(address: &str) -> Arc<dyn Store> {
    Arc::new(Postgres::connect(address, PostgresConfig::default()).await.unwrap())
}

#[tokio::test]
async fn a_task_lives_as_in_the_other_stores() {
    let Some(cluster) = Cluster::start() else { return };
    life::all("postgres", async || open(&address(&cluster).await).await).await;
}

#[tokio::test]
async fn other_processes_hear_of_work_and_no_id_is_given_twice() {
    let Some(cluster) = Cluster::start() else { return };
    let address = address(&cluster).await;
    let one = queue(open(&address).await, "one");
    let two = queue(open(&address).await, "two");
    let work = two.worker(worker()).register(|Add(a, b), _| async move { Ok(a + b) }).start().unwrap();
    for n in 0..20 {
        let handle = one.enqueue(&Add(n, n)).await.unwrap();
        assert_eq!(handle.result(LONG).await.unwrap(), 2 * n);
    }
    let (first, second) = (open(&address).await, open(&address).await);
    let mut given = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let (a, b) = tokio::join!(first.reserve(7), second.reserve(5));
        for (from, count) in [(a.unwrap(), 7), (b.unwrap(), 5)] {
            assert!((from..from + count).all(|id| given.insert(id)), "{from}");
        }
    }
    assert!(first.check().await.unwrap().is_empty());
    work.close(LONG).await;
}

#[tokio::test]
async fn every_hot_statement_uses_an_index() {
    let Some(cluster) = Cluster::start() else { return };
    let address = address(&cluster).await;
    drop(open(&address).await);
    let (client, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
    drop(tokio::spawn(connection));
    let fill = "INSERT INTO tq_task SELECT n, n, 0, n, 0, 1, n, 1, 0, NULL, 1, 1, 3, n % 3, 1, false, 'q', 'n', 'o', \
         NULL, NULL, CASE WHEN n % 6 = 0 THEN 'g' END, NULL, NULL, 'x' FROM generate_series(1, 20000) n; \
         INSERT INTO tq_done SELECT n + 30000, n, 0, n, 0, 1, NULL, NULL, 1, 1, 3, 3, 1, false, 'q', 'n', NULL, NULL, \
         NULL, NULL, NULL, NULL, 'x', '1' FROM generate_series(1, 20000) n; ANALYZE";
    client.batch_execute(fill).await.unwrap();
    for (text, index) in [
        (
            "SELECT id FROM tq_task WHERE state = 0 AND gate IS NULL AND queue = 'q' ORDER BY rank, id LIMIT 32",
            "tq_ready",
        ),
        (
            "SELECT id FROM tq_task WHERE state = 0 AND gate IS NOT NULL AND gate = 'g' AND queue = 'q' \
             ORDER BY rank, id LIMIT 32",
            "tq_gated",
        ),
        (
            "SELECT id FROM tq_task WHERE state = 1 AND run_at <= 100 ORDER BY run_at, id LIMIT 32",
            "tq_delayed",
        ),
        ("SELECT min(run_at) FROM tq_task WHERE state = 1", "tq_delayed"),
        (
            "SELECT id FROM tq_task WHERE state = 2 AND lease_until <= 100 ORDER BY lease_until, id LIMIT 32",
            "tq_leased",
        ),
        ("SELECT id FROM tq_task WHERE name = 'n' AND unique_key = 'k'", "tq_unique"),
        ("DELETE FROM tq_task WHERE id = 5 AND state = 2 AND token = 1 AND owner = 'o'", "tq_task_pkey"),
        (
            "SELECT id FROM tq_done WHERE state = 3 AND finished_at < 100 ORDER BY finished_at LIMIT 100",
            "tq_done_at",
        ),
    ] {
        let rows = client.query(&format!("EXPLAIN {text}"), &[]).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{text}:\n{plan}");
    }
}

/// A server that is killed and comes back costs a wait, no error and no task; somebody's transaction that is left open does
/// no harm either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_and_a_held_transaction_under_load_lose_nothing() {
    let Some(mut cluster) = Cluster::start() else { return };
    let address = address(&cluster).await;
    let holder = client(&cluster).await;
    holder
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class")
        .await
        .unwrap();
    let queue = queue(open(&address).await, "one");
    let ran = Arc::new(AtomicU64::new(0));
    let count = ran.clone();
    let config = WorkerConfig { lease: Duration::from_secs(2), ..worker() };
    let work = queue
        .worker(config)
        .register(move |Add(a, b), _| {
            count.fetch_add(1, Ordering::Relaxed);
            async move { Ok(a + b) }
        })
        .start()
        .unwrap();
    let mut submitters = tokio::task::JoinSet::new();
    let begun = Instant::now();
    for n in 0..8 {
        let queue = queue.clone();
        submitters.spawn(async move {
            let (mut ids, mut longest) = (Vec::new(), Duration::ZERO);
            for m in 0..1_000_000 {
                if begun.elapsed() > Duration::from_secs(3) {
                    break;
                }
                let asked = Instant::now();
                ids.push(queue.enqueue(&Add(n, m)).await.expect("no error to submitters").id());
                longest = longest.max(asked.elapsed());
            }
            (ids, longest)
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut cluster = tokio::task::spawn_blocking(move || {
        cluster.kill();
        cluster.restart();
        cluster
    })
    .await
    .unwrap();
    let mut ids = Vec::new();
    while let Some(done) = submitters.join_next().await {
        let (some, longest) = done.unwrap();
        assert!(longest < LONG, "{longest:?}");
        ids.extend(some);
    }
    let unique: std::collections::BTreeSet<_> = ids.iter().copied().collect();
    assert!(unique.len() == ids.len() && ids.len() > 50, "{} tasks", ids.len());
    for id in ids {
        let record = queue.wait(id, LONG).await.unwrap();
        assert_eq!(record.state, tidemill_task_queue::State::Done);
    }
    assert!(queue.check().await.unwrap().is_empty());
    work.close(LONG).await;
    cluster.kill();
    drop(holder);
}

#[tokio::test]
async fn who_cannot_be_reached_is_told_and_the_password_is_not() {
    let config = PostgresConfig { connect_timeout: Duration::from_millis(300), ..PostgresConfig::default() };
    let error = Postgres::connect("host=127.0.0.1 port=1 user=x password=hush", config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!format!("{error:?}").contains("hush"));
    let error = Postgres::connect("nonsense", PostgresConfig::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let config = PostgresConfig { lanes: 9, ..PostgresConfig::default() };
    assert_eq!(Postgres::connect("host=x", config).await.unwrap_err().kind(), ErrorKind::Config);
}
