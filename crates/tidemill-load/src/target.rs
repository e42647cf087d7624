//! Whom a plan loads: the URL in parts, its addresses, and whether it may be loaded at all.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};

use crate::error::Error;
use crate::plan::Target;

/// How the target is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Ws,
    Tcp,
}

/// A target that may be loaded.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) scheme: Scheme,
    pub(crate) tls: bool,
    /// As the URL names it, without brackets.
    pub(crate) host: String,
    /// As a `Host` header names it.
    pub(crate) authority: String,
    /// Path and query, at least `/`.
    pub(crate) path: String,
    pub(crate) addresses: Vec<SocketAddr>,
}

/// The longest URL that is read.
const LONGEST: usize = 8192;

const SCHEMES: &[(&str, Scheme, bool, Option<u16>)] = &[
    ("http", Scheme::Http, false, Some(80)),
    ("https", Scheme::Http, true, Some(443)),
    ("ws", Scheme::Ws, false, Some(80)),
    ("wss", Scheme::Ws, true, Some(443)),
    ("tcp", Scheme::Tcp, false, None),
];

impl Endpoint {
    /// Resolves a target and refuses one that is neither this machine nor declared as owned. Every address counts: a name
    /// that resolves to loopback and elsewhere is elsewhere.
    pub(crate) fn of(target: &Target) -> Result<Self, Error> {
        let mut endpoint = Self::parse(&target.url)?;
        let port = endpoint.port_of(&target.url)?;
        let found = (endpoint.host.as_str(), port).to_socket_addrs();
        let addresses: Vec<SocketAddr> =
            found.map_err(|error| Error::resolve(&endpoint.host, error))?.collect();
        let owned = target.owned.iter().any(|owned| owned.eq_ignore_ascii_case(&endpoint.host));
        let elsewhere = addresses.is_empty() || addresses.iter().any(|address| !is_loopback(address.ip()));
        if elsewhere && !owned {
            return Err(Error::not_owned(&endpoint.host));
        }
        endpoint.addresses = addresses;
        Ok(endpoint)
    }

    /// The parts of a URL, without addresses.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let wrong = |reason: &str| Error::plan("target.url", format!("`{}` {reason}", shown(url)));
        if url.len() > LONGEST || url.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(wrong("has spaces or control characters, or more than 8192 bytes"));
        }
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("has no scheme: write http://..."))?;
        let known = SCHEMES.iter().find(|(name, ..)| name.eq_ignore_ascii_case(scheme));
        let (_, scheme, tls, _) = *known.ok_or_else(|| wrong("is not http, https, ws, wss or tcp"))?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(wrong("names a user: put credentials into a header instead"));
        }
        let (host, _) =
            split_authority(authority).ok_or_else(|| wrong("has no host, or a port that is none"))?;
        let path = path.split('#').next().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            scheme,
            tls,
            host: host.to_owned(),
            authority: authority.to_owned(),
            path: format!("{slash}{path}"),
            addresses: Vec::new(),
        })
    }

    fn port_of(&self, url: &str) -> Result<u16, Error> {
        let written = split_authority(&self.authority).and_then(|(_, port)| port);
        let default = SCHEMES.iter().find(|(_, scheme, tls, _)| (*scheme, *tls) == (self.scheme, self.tls));
        written
            .or(default.and_then(|(.., port)| *port))
            .ok_or_else(|| Error::plan("target.url", format!("`{}` needs a port", shown(url))))
    }

    /// The port that is loaded.
    pub(crate) fn port(&self) -> u16 {
        self.addresses.first().map_or(0, SocketAddr::port)
    }
}

fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        (host, port.strip_prefix(':'))
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let port = port.map(str::parse).transpose().ok()?;
    (!host.is_empty()).then_some((host, port))
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// A URL without its query, which may hold a key, and not longer than a line.
fn shown(url: &str) -> String {
    let end = url.find('?').unwrap_or(url.len());
    let start = url.rfind('@').map_or(0, |at| at.min(end));
    url[start..end].chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, owned: &[&str]) -> Target {
        let mut plan = crate::Plan::new(url, crate::Shape::constant(1.0, std::time::Duration::from_secs(1)));
        plan.target.owned = owned.iter().map(|host| (*host).to_owned()).collect();
        plan.target
    }

    #[test]
    fn a_url_comes_apart() {
        let endpoint = Endpoint::of(&target("http://127.0.0.1:8080?a=b#c", &[])).unwrap();
        assert_eq!((endpoint.path.as_str(), endpoint.authority.as_str()), ("/?a=b", "127.0.0.1:8080"));
        assert_eq!(endpoint.addresses, ["127.0.0.1:8080".parse().unwrap()]);
        let endpoint = Endpoint::of(&target("wss://[::1]/x", &[])).unwrap();
        assert_eq!((endpoint.scheme, endpoint.tls, endpoint.port()), (Scheme::Ws, true, 443));
        for bad in [
            "",
            "127.0.0.1",
            "ftp://127.0.0.1",
            "http://",
            "http://127.0.0.1:x",
            "http://a b",
            "tcp://127.0.0.1",
            "http://u:p@127.0.0.1",
            "http://[::1",
            "http://127.0.0.1:99999",
        ] {
            let error = Endpoint::of(&target(bad, &[])).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Plan, "{bad}");
            assert!(!error.to_string().contains("u:p"), "{error}");
        }
    }

    #[test]
    fn only_this_machine_or_what_is_owned_is_loaded() {
        for refused in [
            "http://192.0.2.1",
            "http://[2001:db8::1]/",
            "tcp://10.0.0.1:5",
            "http://0.0.0.0",
            "http://[::ffff:192.0.2.1]",
        ] {
            let error = Endpoint::of(&target(refused, &["192.0.2.2"])).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::NotOwned, "{refused}");
        }
        assert!(Endpoint::of(&target("http://192.0.2.1", &["192.0.2.1"])).is_ok());
        assert!(Endpoint::of(&target("http://[::ffff:127.0.0.1]", &[])).is_ok());
        assert!(Endpoint::of(&target("http://localhost", &[])).is_ok());
    }
}
