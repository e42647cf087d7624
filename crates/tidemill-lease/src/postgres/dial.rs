//! How a connection is made: in the clear, or by TLS that is verified or not made at all.

use std::future::poll_fn;
use std::path::Path;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Config as Address, Connection, NoTls, Socket};

use super::PostgresConfig;
use crate::error::{Cause, Error};

/// After how long without a word a peer is asked whether it lives.
const SILENCE: Duration = Duration::from_secs(15);

type Told = Option<Result<AsyncMessage, tokio_postgres::Error>>;
type Listen = dyn FnMut(&mut Context<'_>) -> Poll<Told> + Send;

/// A server's address, and how it is dialled.
pub(super) struct Dial {
    address: Address,
    #[cfg(feature = "tls")]
    tls: Option<tokio_postgres_rustls::MakeRustlsConnect>,
}

/// The half of a connection that must be driven, whatever it runs over.
pub(super) struct Wire(Box<Listen>);

impl Dial {
    pub(super) fn new(address: &str, config: &PostgresConfig) -> Result<Self, Error> {
        let mut address: Address = address.parse().map_err(|_| {
            Error::from(Cause::Config { field: "address", why: "is not a PostgreSQL connection string" })
        })?;
        address.connect_timeout(config.connect_timeout);
        // A peer that is gone without a word is noticed by the kernel, and not after two hours.
        address.keepalives_idle(SILENCE).keepalives_interval(SILENCE / 4).keepalives_retries(4);
        address.tcp_user_timeout(config.statement_timeout + SILENCE);
        match &config.tls_roots {
            // The driver would say only that it has no TLS.
            None if address.get_ssl_mode() == SslMode::Require => {
                let why = "is missing, and the address says `sslmode=require`: name the authorities to trust";
                Err(Cause::Config { field: "tls_roots", why }.into())
            }
            None => Ok(Self {
                address,
                #[cfg(feature = "tls")]
                tls: None,
            }),
            Some(roots) => Self::encrypted(address, roots),
        }
    }

    #[cfg(feature = "tls")]
    fn encrypted(mut address: Address, roots: &Path) -> Result<Self, Error> {
        use tokio_postgres::config::Host;
        // `prefer`, the default of connection strings, would fall back to the clear.
        if address.get_ssl_mode() == SslMode::Disable {
            let why = "is set, and the address says `sslmode=disable`: leave one of them out";
            return Err(Cause::Config { field: "tls_roots", why }.into());
        }
        if address.get_hosts().iter().any(|host| matches!(host, Host::Unix(_))) {
            let why = "is set, and a Unix socket speaks no TLS: leave it out, or name a host";
            return Err(Cause::Config { field: "tls_roots", why }.into());
        }
        address.ssl_mode(SslMode::Require);
        Ok(Self { address, tls: Some(trusting(roots)?) })
    }

    #[cfg(not(feature = "tls"))]
    fn encrypted(_address: Address, _roots: &Path) -> Result<Self, Error> {
        Err(Cause::Config { field: "tls_roots", why: "needs the feature `tls`" }.into())
    }

    pub(super) async fn connect(&self) -> Result<(Client, Wire), tokio_postgres::Error> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let (client, connection) = self.address.connect(tls.clone()).await?;
            return Ok((client, Wire::new(connection)));
        }
        let (client, connection) = self.address.connect(NoTls).await?;
        Ok((client, Wire::new(connection)))
    }
}

impl Wire {
    fn new<T>(mut connection: Connection<Socket, T>) -> Self
    where
        T: tokio_postgres::tls::TlsStream + Unpin + Send + 'static,
    {
        Self(Box::new(move |cx| connection.poll_message(cx)))
    }

    /// Until the connection is over. The caller of the operation that failed is told; here is nobody to tell.
    pub(super) async fn drive(mut self) {
        while let Some(Ok(_)) = poll_fn(|cx| (self.0)(cx)).await {}
    }
}

/// Trusts these authorities and no others, and checks the server's name.
#[cfg(feature = "tls")]
fn trusting(roots: &Path) -> Result<tokio_postgres_rustls::MakeRustlsConnect, Error> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let bad = |why| Error::from(Cause::Config { field: "tls_roots", why });
    let mut store = rustls::RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(roots).map_err(|_| bad("names a file that cannot be read"))?;
    // A system's bundle may hold one that nobody can read beside a hundred that are good.
    store.add_parsable_certificates(certificates.flatten());
    if store.is_empty() {
        return Err(bad("names a file without a certificate in PEM"));
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| bad("cannot be used: this build of rustls has no protocol version"))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(tokio_postgres_rustls::MakeRustlsConnect::new(config))
}
