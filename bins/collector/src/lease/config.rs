//! `[lease]`: where the leases are, and how long one lasts.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where the connection string stands when nobody says where; no field of the configuration.
pub(crate) const URL_ENV: &str = "TIDEMILL_LEASE_URL";

/// `[lease]`: set where several collectors have the same keys. One of them at a time spends a provider's quota, for the
/// length of a pass; the others wait.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `none` (default), `sqlite` for the processes of a machine, `postgres` for machines.
    pub store: Kind,
    /// With `sqlite`: the file that all of them open, relative to this one.
    pub path: Option<PathBuf>,
    /// With `postgres`: the environment variable that holds the connection string; default `TIDEMILL_LEASE_URL`.
    pub url_env: String,
    /// With `postgres`: the authorities to trust, a PEM file such as `/etc/ssl/certs/ca-certificates.crt`, relative to this
    /// one. With it the connection is encrypted and the server's name verified, or it is not made. Default: in the clear, for
    /// a Unix socket, a loopback or a tunnel.
    pub tls_roots: Option<PathBuf>,
    /// How long a collector that died keeps the others waiting, before they wait for its windows to pass; default `30s`,
    /// at least `1s`.
    #[serde(with = "humantime_serde")]
    pub term: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let url_env = URL_ENV.into();
        Self { store: Kind::None, path: None, url_env, tls_roots: None, term: Duration::from_secs(30) }
    }
}

/// Where leases are kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Nowhere: this collector is the only one.
    #[default]
    None,
    /// In a file.
    Sqlite,
    /// In a PostgreSQL server.
    Postgres,
}

impl Config {
    /// The field that is wrong, and why.
    pub(crate) fn wrong(&self) -> Option<(&'static str, String)> {
        if self.store == Kind::Sqlite && self.path.is_none() {
            let why = "is missing; store \"sqlite\" needs a file that every collector opens";
            return Some(("path", why.into()));
        }
        if self.tls_roots.is_some() && self.store != Kind::Postgres {
            let why = "is set, and only store \"postgres\" has a connection to encrypt; leave it out";
            return Some(("tls_roots", why.into()));
        }
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(3600));
        let fits = (least..=most).contains(&self.term);
        (!fits).then(|| ("term", format!("is {}; choose 1s to 1h", humantime::format_duration(self.term))))
    }
}
