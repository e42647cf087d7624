//! A network that swallows everything for a while: an answer in time, and a new connection afterwards.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidemill_lease::{Config, ErrorKind, Leases, Name, Owner, Postgres, PostgresConfig};

use crate::cluster::Cluster;
use crate::proxy::Proxy;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_holder_behind_a_partition_is_told_and_comes_back() {
    let Some(cluster) = Cluster::start() else { return };
    let proxy = Proxy::start(cluster.socket()).await;
    let address = format!("host=127.0.0.1 port={} user=tidemill dbname=postgres", proxy.port());
    let config =
        PostgresConfig { connect_timeout: SECOND, statement_timeout: SECOND, ..PostgresConfig::default() };
    let store = Arc::new(Postgres::connect(&address, config).await.unwrap());
    let config = Config { term: 60 * SECOND, timeout: SECOND, ..Config::default() };
    let leases = Leases::builder(config, store, Owner::try_new("one").unwrap()).build().unwrap();
    let held = leases.acquire(&Name::try_new("key").unwrap()).await.unwrap();
    proxy.turn();
    let asked = Instant::now();
    assert_eq!(leases.renew(&held, None).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(asked.elapsed() >= SECOND, "the partition was not felt");
    proxy.turn();
    // The old connection is open for ever and answers never: a new one must be made.
    leases.renew(&held, None).await.unwrap();
}
