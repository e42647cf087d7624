//! The PostgreSQL store on a server of our own: conformance, lost connections, a killed server, plain SQL.

use std::sync::Arc;
use std::time::Duration;

use tidemill_lease::{
    Config, Error, ErrorKind, Handover, Leases, Name, Owner, Postgres, PostgresConfig, Store, conformance,
};
use tokio_postgres::{Client, NoTls};

use crate::cluster::Cluster;

/// One server for all, since starting it takes longer than using it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_passes_and_survives_what_servers_do() {
    let Some(mut cluster) = Cluster::start() else { return };
    let address = cluster.address();
    many_may_make_the_tables_at_once(&address).await;
    passes(&address).await;
    names_are_bounded(&address).await;
    plain_sql_reads_it(&address).await;
    a_connection_that_was_cut_is_made_anew(&address).await;
    epochs_outlive_a_killed_server(&mut cluster).await;
    a_newer_schema_is_refused(&address).await;
    what_is_closed_stays_closed(&address).await;
}

async fn connect(address: &str) -> Result<Arc<dyn Store>, Error> {
    Ok(Arc::new(Postgres::connect(address, PostgresConfig::default()).await?))
}

async fn leases(address: &str, owner: &str, reserve: u32) -> Leases {
    let config = Config { reserve, ..Config::default() };
    let store = connect(address).await.unwrap();
    Leases::builder(config, store, Owner::try_new(owner).unwrap()).build().unwrap()
}

async fn sql(address: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(address, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn name(text: &str) -> Name {
    Name::try_new(text).unwrap()
}

async fn passes(address: &str) {
    for _ in 0..2 {
        conformance::run(|| connect(address)).await.unwrap();
    }
}

async fn many_may_make_the_tables_at_once(address: &str) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let address = address.to_owned();
        tasks.spawn(async move { connect(&address).await.map(drop) });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
}

async fn names_are_bounded(address: &str) {
    let taken: i64 =
        sql(address).await.query_one("SELECT count(*) FROM tidemill_lease", &[]).await.unwrap().get(0);
    let config = PostgresConfig { max_names: taken.unsigned_abs() + 1, ..PostgresConfig::default() };
    let store = Arc::new(Postgres::connect(address, config).await.unwrap());
    let leases = Leases::builder(Config::default(), store, Owner::try_new("a").unwrap()).build().unwrap();
    leases.acquire(&name("bound/1")).await.unwrap();
    assert_eq!(leases.acquire(&name("bound/2")).await.unwrap_err().kind(), ErrorKind::Full);
    leases.acquire(&name("bound/1")).await.unwrap();
}

async fn plain_sql_reads_it(address: &str) {
    let first = leases(address, "first", 8).await;
    first.acquire(&name("sql")).await.unwrap();
    let again = first.acquire(&name("sql")).await.unwrap();
    assert!(matches!(again.handover(), Handover::Again { .. }));
    let row = sql(address)
        .await
        .query_one(
            "SELECT epoch, owner, reserve, to_timestamp(ends_us / 1e6) BETWEEN now() + interval '20 s' AND
                    now() + interval '30 s', unconfirmed::json -> 0 ->> 'epoch'
             FROM tidemill_lease WHERE name = 'sql'",
            &[],
        )
        .await
        .unwrap();
    let read: (i64, String, i64, bool, String) = (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4));
    assert_eq!(read, (2, "first".into(), 8, true, "1".into()));
}

async fn a_connection_that_was_cut_is_made_anew(address: &str) {
    let leases = leases(address, "cut", 0).await;
    let held = leases.acquire(&name("cut")).await.unwrap();
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE application_name = 'tidemill-lease'";
    let count: i64 = sql(address).await.query_one(cut, &[]).await.unwrap().get(0);
    assert!(count >= 1);
    // The first operation may find the dead connection; it says so, and the next has a new one.
    let mut failures = 0;
    while let Err(error) = leases.renew(&held, None).await {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        failures += 1;
        assert!(failures <= 2, "{error:?}");
    }
    assert!(held.may_act(leases.now()));
}

async fn epochs_outlive_a_killed_server(cluster: &mut Cluster) {
    let address = cluster.address();
    let leases = leases(&address, "killed", 0).await;
    for epoch in 1..=3 {
        let held = leases.acquire(&name("killed")).await.unwrap();
        assert_eq!(held.epoch().0, epoch);
        leases.renew(&held, Some(&[epoch as u8])).await.unwrap();
        cluster.kill();
        let down = leases.renew(&held, None).await.unwrap_err();
        assert!(down.kind() == ErrorKind::Unavailable && down.is_retryable(), "{down:?}");
        cluster.restart();
        let read = loop {
            match leases.read(&name("killed")).await {
                Ok(read) => break read.unwrap(),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable),
            }
        };
        assert_eq!((read.epoch.0, &read.payload[..]), (epoch, &[epoch as u8][..]));
    }
}

async fn a_newer_schema_is_refused(address: &str) {
    let sql = sql(address).await;
    sql.execute("UPDATE tidemill_lease_schema SET version = 2", &[]).await.unwrap();
    assert_eq!(connect(address).await.err().map(|error| error.kind()), Some(ErrorKind::Schema));
    sql.execute("UPDATE tidemill_lease_schema SET version = 1", &[]).await.unwrap();
    connect(address).await.unwrap();
    let nonsense = Postgres::connect("hast=1", PostgresConfig::default()).await;
    assert_eq!(nonsense.unwrap_err().kind(), ErrorKind::Config);
}

async fn what_is_closed_stays_closed(address: &str) {
    let store = Arc::new(Postgres::connect(address, PostgresConfig::default()).await.unwrap());
    let leases = Leases::builder(Config::default(), store.clone(), Owner::try_new("closed").unwrap());
    let leases = leases.build().unwrap();
    leases.acquire(&name("closed")).await.unwrap();
    assert!(store.close(Duration::from_secs(5)).await, "nothing was under way");
    assert_eq!(leases.read(&name("closed")).await.unwrap_err().kind(), ErrorKind::Closed);
}
