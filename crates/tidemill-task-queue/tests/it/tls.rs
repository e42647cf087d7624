//! PostgreSQL over TLS: the harness's server, its password, and its self-made certificate.

use std::path::PathBuf;
use std::sync::Arc;

use tidemill_task_queue::{ErrorKind, Postgres, PostgresConfig};
use tokio_postgres::NoTls;

use crate::stage::{Add, LONG, queue, worker};

/// The address and the certificate.
fn server() -> Option<(String, PathBuf)> {
    let found = (std::env::var("TIDEMILL_TEST_POSTGRES"), std::env::var("TIDEMILL_TEST_POSTGRES_CERT"));
    let (Ok(address), Ok(certificate)) = found else {
        eprintln!("SKIPPED: TIDEMILL_TEST_POSTGRES is not set; `cargo xtask test` starts the server");
        return None;
    };
    Some((address, certificate.into()))
}

/// In a schema of its own, which is empty.
async fn address(server: &str) -> String {
    let (client, connection) = tokio_postgres::connect(server, NoTls).await.unwrap();
    drop(tokio::spawn(connection));
    let fresh = "DROP SCHEMA IF EXISTS task_queue_tls CASCADE; CREATE SCHEMA task_queue_tls";
    client.batch_execute(fresh).await.unwrap();
    format!("{server} options='-c search_path=task_queue_tls'")
}

fn trusting(roots: impl Into<PathBuf>) -> PostgresConfig {
    PostgresConfig { tls_roots: Some(roots.into()), ..PostgresConfig::default() }
}

#[tokio::test]
async fn a_task_lives_behind_tls_and_every_connection_is_encrypted() {
    let Some((server, certificate)) = server() else { return };
    let address = address(&server).await;
    let store = Arc::new(Postgres::connect(&address, trusting(&certificate)).await.unwrap());
    let one = queue(store.clone(), "one");
    let two = queue(Arc::new(Postgres::connect(&address, trusting(&certificate)).await.unwrap()), "two");
    let work = two.worker(worker()).register(|Add(a, b), _| async move { Ok(a + b) }).start().unwrap();
    let handle = one.enqueue(&Add(2, 3)).await.unwrap();
    assert_eq!(handle.result(LONG).await.unwrap(), 5);
    let (client, connection) = tokio_postgres::connect(&server, NoTls).await.unwrap();
    drop(tokio::spawn(connection));
    let asked = "SELECT ssl, count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE application_name = 'tidemill-task-queue' AND query <> '' GROUP BY ssl";
    let rows = client.query(asked, &[]).await.unwrap();
    let encrypted: Vec<_> = rows.iter().filter(|row| row.get::<_, bool>(0)).collect();
    assert!(!encrypted.is_empty(), "none of its connections speaks TLS");
    work.close(LONG).await;
}

#[tokio::test]
async fn nothing_is_said_to_a_server_that_nobody_vouches_for() {
    let Some((server, certificate)) = server() else { return };
    let dir = tempfile::tempdir().unwrap();
    // The control: the same server by the same name, vouched for by somebody else.
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let roots = dir.path().join("stranger.pem");
    std::fs::write(&roots, stranger.cert.pem()).unwrap();
    let error = Postgres::connect(&server, trusting(&roots)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    assert!(format!("{cause:?}").contains("UnknownIssuer"), "{cause:?}");
    // Its own certificate, but it calls itself 127.0.0.1 and localhost.
    let elsewhere = server.replace("host=127.0.0.1", "host=elsewhere.test hostaddr=127.0.0.1");
    let error = Postgres::connect(&elsewhere, trusting(&certificate)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn what_would_fall_back_to_the_clear_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let roots = dir.path().join("roots.pem");
    std::fs::write(&roots, rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap().cert.pem()).unwrap();
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    for (address, roots) in [
        ("host=localhost user=x sslmode=disable", &roots),
        ("host=/run/postgresql user=x", &roots),
        ("host=localhost user=x", &empty),
        ("host=localhost user=x", &dir.path().join("nowhere.pem")),
    ] {
        let error = Postgres::connect(address, trusting(roots)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{address}: {error}");
        assert!(error.to_string().starts_with("`tls_roots`"), "{error}");
    }
}
