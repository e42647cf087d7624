//! PostgreSQL over TLS: the harness's server, its password, and its self-made certificate.

use std::path::PathBuf;
use std::sync::Arc;

use tidemill_lease::{Config, ErrorKind, Leases, Name, Owner, Postgres, PostgresConfig};
use tokio_postgres::NoTls;

/// The address and the certificate.
#[expect(clippy::print_stderr, reason = "a test that was left out says so")]
fn server() -> Option<(String, PathBuf)> {
    let found = (std::env::var("TIDEMILL_TEST_POSTGRES"), std::env::var("TIDEMILL_TEST_POSTGRES_CERT"));
    let (Ok(address), Ok(certificate)) = found else {
        eprintln!("SKIPPED: TIDEMILL_TEST_POSTGRES is not set; `cargo xtask test` starts the server");
        return None;
    };
    Some((address, certificate.into()))
}

fn trusting(roots: impl Into<PathBuf>) -> PostgresConfig {
    PostgresConfig { tls_roots: Some(roots.into()), ..PostgresConfig::default() }
}

#[tokio::test]
async fn a_lease_is_held_behind_tls() {
    let Some((server, certificate)) = server() else { return };
    let (client, connection) = tokio_postgres::connect(&server, NoTls).await.unwrap();
    drop(tokio::spawn(connection));
    let fresh = "DROP SCHEMA IF EXISTS lease_tls CASCADE; CREATE SCHEMA lease_tls";
    client.batch_execute(fresh).await.unwrap();
    let address = format!("{server} options='-c search_path=lease_tls'");
    let store = Arc::new(Postgres::connect(&address, trusting(&certificate)).await.unwrap());
    let leases = Leases::builder(Config::default(), store, Owner::try_new("one").unwrap()).build().unwrap();
    let held = leases.acquire(&Name::try_new("key").unwrap()).await.unwrap();
    leases.renew(&held, None).await.unwrap();
    let asked = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE application_name = 'tidemill-lease'";
    assert!(client.query_one(asked, &[]).await.unwrap().get::<_, bool>(0), "its connection is in the clear");
    // The control: the same server, vouched for by somebody else.
    let dir = tempfile::tempdir().unwrap();
    let stranger = dir.path().join("stranger.pem");
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    std::fs::write(&stranger, certificate).unwrap();
    let error = Postgres::connect(&address, trusting(&stranger)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn what_would_fall_back_to_the_clear_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let roots = dir.path().join("roots.pem");
    std::fs::write(&roots, rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap().cert.pem()).unwrap();
    for (address, roots) in [
        ("host=localhost user=x sslmode=disable", &roots),
        ("host=/run/postgresql user=x", &roots),
        ("host=localhost user=x", &dir.path().join("nowhere.pem")),
    ] {
        let error = Postgres::connect(address, trusting(roots)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{address}: {error}");
    }
    let asked = Postgres::connect("host=localhost user=x sslmode=require", PostgresConfig::default()).await;
    let error = asked.unwrap_err();
    assert!(error.to_string().contains("name the authorities"), "{error}");
}
