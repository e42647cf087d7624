//! TLS and HTTP/2 against hyper's server, with certificates made for the test.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::PrivateKeyDer;
use tidemill_load::{Cancel, ErrorKind, Errors, HttpVersion, Plan, Shape, run};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::server::{Server, ok};

/// HTTP/2 on a free port; with a folder also TLS, whose certificate is written there.
fn http2(dir: Option<&Path>) -> u16 {
    let tls = dir.map(|dir| {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(dir.join("ca.pem"), made.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let mut config = builder.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    });
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap().port()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let tls = tls.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
                        let known = request.headers().get("x-id").is_some_and(|value| value == "7");
                        let body = if known { "hello" } else { "who" };
                        Ok::<_, Infallible>(hyper::Response::new(Full::new(body.as_bytes())))
                    });
                    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    match tls {
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else { return };
                            _ = http.serve_connection(TokioIo::new(stream), service).await;
                        }
                        None => _ = http.serve_connection(TokioIo::new(stream), service).await,
                    }
                });
            }
        });
    });
    told.recv().unwrap()
}

fn plan(url: &str) -> Plan {
    let mut plan = Plan::new(url, Shape::constant(200.0, Duration::from_millis(500)));
    plan.load.drain = Duration::from_secs(60);
    plan.scenarios = vec![
        toml::from_str("step = [{ path = \"/x\", headers.x-id = \"7\", check.body = \"hello\" }]").unwrap(),
    ];
    plan
}

#[test]
fn http2_streams_share_connections() {
    let mut plan = plan(&format!("http://127.0.0.1:{}/", http2(None)));
    plan.target.version = HttpVersion::Http2;
    plan.load.streams = 10;
    let summary = run(&plan, &mut |_| {}, &Cancel::new()).unwrap();
    assert_eq!((summary.totals.ok, summary.errors), (100, Errors::default()));
}

#[test]
fn http2_over_tls_needs_a_certificate_that_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = plan(&format!("https://127.0.0.1:{}/", http2(Some(dir.path()))));
    plan.target.version = HttpVersion::Http2;
    let strange = run(&plan, &mut |_| {}, &Cancel::new()).unwrap();
    assert_eq!((strange.totals.ok, strange.errors), (0, Errors { tls: 100, ..Errors::default() }));
    plan.target.ca = Some(dir.path().join("ca.pem"));
    let summary = run(&plan, &mut |_| {}, &Cancel::new()).unwrap();
    assert_eq!((summary.totals.ok, summary.errors), (100, Errors::default()));
}

#[test]
fn a_server_that_speaks_no_tls_is_a_tls_error() {
    let server = Server::start(|_, _| ok("x"));
    let mut plan = plan(&format!("https://127.0.0.1:{}/", server.port));
    plan.load.timeout = Duration::from_millis(300);
    plan.load.shape = Shape::constant(10.0, Duration::from_millis(300));
    let summary = run(&plan, &mut |_| {}, &Cancel::new()).unwrap();
    assert_eq!(summary.errors.tls + summary.errors.connect, 3, "{:?}", summary.errors);
    plan.target.ca = Some("nowhere.pem".into());
    assert_eq!(run(&plan, &mut |_| {}, &Cancel::new()).unwrap_err().kind(), ErrorKind::Plan);
}
