//! TLS by rustls with ring; the public roots and, for one's own servers, a file of certificates.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::Error;
use crate::failure::Failure;
use crate::plan::{HttpVersion, Target};
use crate::target::{Endpoint, Scheme};

/// What a handshake needs.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// `None` when the target does not ask for TLS.
    pub(crate) fn new(target: &Target, endpoint: &Endpoint) -> Result<Option<Self>, Error> {
        if !endpoint.tls {
            return Ok(None);
        }
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = &target.ca {
            let wrong = |reason: String| Error::plan("target.ca", reason);
            let read = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
            for certificate in read {
                let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
            }
        }
        let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| {
            Error::plan("target.url", format!("`{}` is no name that TLS can check", endpoint.host))
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::plan("target.url", error.to_string()))?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = match (endpoint.scheme, target.version) {
            (Scheme::Http, HttpVersion::Http2) => vec![b"h2".to_vec()],
            (Scheme::Tcp, _) => Vec::new(),
            _ => vec![b"http/1.1".to_vec()],
        };
        Ok(Some(Self { connector: TlsConnector::from(Arc::new(config)), name }))
    }

    pub(crate) async fn handshake(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        self.connector.connect(self.name.clone(), stream).await.map_err(|_| Failure::Tls)
    }
}
