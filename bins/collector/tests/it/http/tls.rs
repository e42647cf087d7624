//! TLS with an authority of the test's own: trust, ALPN, a stalled handshake.

use std::sync::Arc;
use std::time::Duration;

use http::Version;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tidemill_collector::http::{Attempt, Call, Config, FetchErrorKind as K, Roots, TimeoutPhase};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::server::{answer, config, h2_connection, read_head, send};

struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    acceptor: fn(&Authority, &[&[u8]]) -> TlsAcceptor,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { pem, der, acceptor: Self::accepting, issuer: Issuer::new(params, key) }
    }

    fn accepting(&self, alpn: &[&[u8]]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        tls.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsAcceptor::from(Arc::new(tls))
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        roots
    }

    /// A server on `https://127.0.0.1`: h2 where it was agreed on, else one answer after another.
    async fn serve(&self, alpn: &[&[u8]]) -> String {
        let acceptor = (self.acceptor)(self, alpn);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                        return h2_connection(stream).await;
                    }
                    while read_head(&mut stream).await.is_ok() {
                        stream.write_all(&answer("200 OK", "", b"over tls")).await.unwrap();
                        stream.flush().await.unwrap();
                    }
                });
            }
        });
        format!("https://127.0.0.1:{}", addr.port())
    }
}

fn get(base: &str) -> Call {
    Call::get(format!("{base}/p").parse().unwrap())
}

#[tokio::test]
async fn the_server_and_the_client_agree_on_the_protocol() {
    let authority = Authority::new();
    let attempt = Attempt::builder(Config::default()).root_store(authority.roots()).build().unwrap();
    for (alpn, version, body) in [
        (&[&b"h2"[..], b"http/1.1"][..], Version::HTTP_2, &b"HTTP/2.0 /p"[..]),
        (&[b"http/1.1"], Version::HTTP_11, b"over tls"),
        (&[], Version::HTTP_11, b"over tls"),
    ] {
        let base = authority.serve(alpn).await;
        for _ in 0..3 {
            let got = send(&attempt, get(&base)).await.unwrap();
            assert_eq!((got.version, &got.body[..]), (version, body));
            assert!(got.remote.is_some());
        }
    }
}

#[tokio::test]
async fn an_authority_from_a_file_is_trusted_and_a_stranger_is_not() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, &authority.pem).unwrap();
    let attempt = Attempt::builder(config(|config| {
        config.roots = Roots::None;
        config.ca_file = Some(path.clone());
    }))
    .build()
    .unwrap();
    assert_eq!(&send(&attempt, get(&authority.serve(&[]).await)).await.unwrap().body[..], b"over tls");
    let error = send(&attempt, get(&stranger.serve(&[]).await)).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_sent(), error.is_retryable()), (K::Tls, false, false), "{error:?}");

    std::fs::write(&path, "no certificate").unwrap();
    let error = Attempt::builder(config(|config| config.ca_file = Some(path))).build().unwrap_err();
    assert!(error.to_string().contains("ca.pem"), "{error}");
}

#[tokio::test]
async fn a_handshake_that_stalls_ends_in_the_connect_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let attempt = Attempt::builder(config(|config| config.connect_timeout = Duration::from_millis(150)))
        .build()
        .unwrap();
    let error = send(&attempt, get(&base)).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_sent()), (K::Timeout(TimeoutPhase::Connect), false));
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_not_mistaken_for_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok();
        }
    });
    let attempt = Attempt::builder(Config::default()).build().unwrap();
    let error = send(&attempt, get(&base)).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_sent()), (K::Tls, false), "{error:?}");
}
