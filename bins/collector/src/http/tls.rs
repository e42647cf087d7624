//! Which certificate authorities are believed, and which protocols are offered: rustls with ring.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_rustls::TlsConnector;

use super::config::{Config, Roots};
use super::error::BuildError;

/// A connector that trusts `roots`, or what the configuration names, and offers h2 and HTTP/1.1.
pub(super) fn connector(config: &Config, roots: Option<RootCertStore>) -> Result<TlsConnector, BuildError> {
    let mut roots = match roots {
        Some(given) => given,
        None => configured(config.roots)?,
    };
    if let Some(path) = &config.ca_file {
        add_file(&mut roots, path)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| BuildError::new("roots", "no TLS version is available").because(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = match config.http2_only {
        true => vec![b"h2".to_vec()],
        false => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(TlsConnector::from(Arc::new(tls)))
}

fn configured(roots: Roots) -> Result<RootCertStore, BuildError> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::None => {}
        Roots::Webpki => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Roots::Native => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = store.add_parsable_certificates(found.certs);
            if added == 0 {
                let problem =
                    "this machine has no certificate authorities; install them or write roots = \"webpki\"";
                return Err(BuildError::new("roots", problem));
            }
        }
    }
    Ok(store)
}

fn add_file(store: &mut RootCertStore, path: &Path) -> Result<(), BuildError> {
    let wrong = |problem: &str| BuildError::new("ca_file", format!("{}: {problem}", path.display()));
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong("cannot be read as PEM certificates").because(error))?;
    if certificates.is_empty() {
        return Err(wrong("holds no certificate"));
    }
    for certificate in certificates {
        store
            .add(certificate)
            .map_err(|error| wrong("holds a certificate that cannot be an authority").because(error))?;
    }
    Ok(())
}
