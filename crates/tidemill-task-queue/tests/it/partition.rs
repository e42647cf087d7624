//! A network that swallows everything for a while: submitters wait and see no error, and nothing is lost or doubled.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidemill_task_queue::{ErrorKind, Filter, Postgres, PostgresConfig, State, WorkerConfig};

use crate::cluster::Cluster;
use crate::proxy::Proxy;
use crate::stage::{Add, LONG, queue, worker};

const SECOND: Duration = Duration::from_secs(1);

fn impatient() -> PostgresConfig {
    PostgresConfig {
        connect_timeout: SECOND,
        statement_timeout: SECOND,
        answer_timeout: SECOND,
        ..PostgresConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_under_load_loses_nothing() {
    let Some(cluster) = Cluster::start() else { return };
    let proxy = Proxy::start(cluster.socket()).await;
    let address = format!("host=127.0.0.1 port={} user=tidemill dbname=postgres", proxy.port());
    let store = Arc::new(Postgres::connect(&address, impatient()).await.unwrap());
    let queue = queue(store.clone(), "one");
    let config = WorkerConfig { lease: 2 * SECOND, ..worker() };
    let work = queue.worker(config).register(|Add(a, b), _| async move { Ok(a + b) }).start().unwrap();
    let begun = Instant::now();
    let mut submitters = tokio::task::JoinSet::new();
    for n in 0..8 {
        let queue = queue.clone();
        submitters.spawn(async move {
            let (mut ids, mut longest) = (Vec::new(), Duration::ZERO);
            for m in 0..1_000_000 {
                if begun.elapsed() > 4 * SECOND {
                    break;
                }
                let asked = Instant::now();
                ids.push(queue.enqueue(&Add(n, m)).await.expect("no error to submitters").id());
                longest = longest.max(asked.elapsed());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (ids, longest)
        });
    }
    tokio::time::sleep(SECOND).await;
    proxy.turn();
    tokio::time::sleep(3 * SECOND / 2).await;
    proxy.turn();
    let (mut ids, mut stalled) = (Vec::new(), Duration::ZERO);
    while let Some(done) = submitters.join_next().await {
        let (some, longest) = done.unwrap();
        ids.extend(some);
        stalled = stalled.max(longest);
    }
    assert!(stalled > SECOND, "the partition was not felt: {stalled:?}");
    assert!(stalled < LONG, "{stalled:?}");
    for id in &ids {
        assert_eq!(queue.wait(*id, LONG).await.unwrap().state, State::Done);
    }
    let accepted: BTreeSet<_> = ids.iter().copied().collect();
    assert!(accepted.len() == ids.len() && ids.len() > 50, "{} tasks", ids.len());
    // What was kept although its answer was swallowed was asked for again, and is not kept twice.
    let mut kept = BTreeSet::new();
    let mut filter = Filter { limit: 1000, ..Filter::default() };
    loop {
        let page = queue.list(filter.clone()).await.unwrap();
        let Some(last) = page.last() else { break };
        filter.before = Some(last.id);
        kept.extend(page.iter().map(|record| record.id));
    }
    assert_eq!(kept, accepted);
    assert!(queue.check().await.unwrap().is_empty());
    assert!(queue.stats().retried_commits > 0);
    work.close(LONG).await;
}

#[tokio::test]
async fn a_question_into_the_void_is_answered_in_time() {
    let Some(cluster) = Cluster::start() else { return };
    let proxy = Proxy::start(cluster.socket()).await;
    let address = format!("host=127.0.0.1 port={} user=tidemill dbname=postgres", proxy.port());
    let store = Postgres::connect(&address, impatient()).await.unwrap();
    proxy.turn();
    let error = tidemill_task_queue::Store::overview(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    proxy.turn();
    tidemill_task_queue::Store::overview(&store).await.expect("by a new connection");
}
