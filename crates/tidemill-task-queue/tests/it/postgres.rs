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

/// The very statements, planned as sessions plan them: in empty tables, with a million finished tasks and none of them
/// analysed, and after a vacuum. Each finds its rows by a condition on an index, and reads or sorts nothing else.
#[tokio::test]
async fn every_hot_statement_finds_its_rows_by_an_index() {
    let Some(cluster) = Cluster::start() else { return };
    let address = address(&cluster).await;
    let plans = async || {
        let store = Postgres::connect(&address, PostgresConfig::default()).await.unwrap();
        for (name, plan) in store.plans().await.unwrap() {
            if let Err(why) = by_index_alone(&plan) {
                panic!("{name}: {why}\n{plan}");
            }
        }
    };
    plans().await;
    let client = client(&cluster).await;
    let schema = address.rsplit('=').next().unwrap().trim_end_matches('\'');
    let rows = "INSERT INTO tq_done (id, finished_at, token, run_at, enqueued_at, timeout_ms, attempt, version, max_retries, \
        state, priority, cancel, queue, name, payload) SELECT n, n, 1, 1, 1, 1, 1, 1, 1, 3, 1, false, 'q', 'n', '1' \
        FROM generate_series(1, 1000000) n";
    client.batch_execute(&format!("SET search_path = {schema}; {rows}")).await.unwrap();
    plans().await;
    // One alone: two of them in one word would be a transaction.
    client.batch_execute("VACUUM ANALYZE tq_task").await.unwrap();
    client.batch_execute("VACUUM ANALYZE tq_done").await.unwrap();
    plans().await;
}

#[test]
fn the_check_of_plans_can_fail() {
    for (plan, why) in [
        ("Seq Scan on tq_task  (cost=0)", "reads all"),
        (
            "Delete on tq_task t\n  ->  Index Scan using tq_leased on tq_task t\n        Filter: (id = 1)",
            "walks",
        ),
        ("Sort\n  ->  Index Scan using tq_ready on tq_task\n        Index Cond: (queue = $1)", "sorts"),
        (
            "->  Index Scan using tq_ready on tq_task\n->  Index Scan using tq_task_pkey on tq_task\n     Index Cond: (id = $1)",
            "walks",
        ),
    ] {
        assert!(by_index_alone(plan).is_err_and(|says| says.contains(why)), "{plan}");
    }
    assert_eq!(by_index_alone("Index Scan using a on tq_done\n  Index Cond: (id = $1)"), Ok(()));
}

fn by_index_alone(plan: &str) -> Result<(), String> {
    let mut nodes: Vec<(&str, bool)> = Vec::new();
    for (at, line) in plan.lines().enumerate() {
        let node = line.trim_start();
        if at == 0 || node.starts_with("->") {
            nodes.push((node.trim_start_matches("->").trim_start(), false));
        } else if let Some((_, found)) = nodes.last_mut() {
            *found |= node.starts_with("Index Cond") || node.starts_with("TID Cond");
        }
    }
    let mut above = "";
    for (node, found) in nodes {
        // The first few in the order of an index.
        let found = found || above.starts_with("Limit");
        above = node;
        let of_tasks = node.contains(" on tq_task") || node.contains(" on tq_done");
        if node.starts_with("Sort") {
            return Err(format!("sorts: {node}"));
        } else if node.starts_with("Seq Scan") && of_tasks {
            return Err(format!("reads all: {node}"));
        } else if node.starts_with("Index") && of_tasks && !found {
            return Err(format!("walks an index: {node}"));
        }
    }
    Ok(())
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
    // Each submitter some; how many is the disk's affair.
    assert!(unique.len() == ids.len() && ids.len() >= 16, "{} tasks", ids.len());
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
