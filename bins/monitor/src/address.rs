//! An address that is never shown whole: what follows the host may be a secret.

use std::fmt;

use http::Uri;

/// Where a receiver or a target's knobs are. Shown as scheme and host.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Uri);

impl Address {
    /// Reads `http://host:port/path` or `https://…`.
    ///
    /// # Errors
    /// What it lacks; without the address.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "is no address: write http://HOST:PORT/PATH")?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("wants to begin with http:// or https://");
        }
        let authority = uri.authority().ok_or("wants a host")?;
        if authority.as_str().contains('@') {
            return Err("must not hold a password: name a variable with a token instead");
        }
        Ok(Self(uri))
    }

    /// The same host with another path and query.
    ///
    /// # Errors
    /// The path is none.
    pub fn with_path(&self, path: &str) -> Result<Self, &'static str> {
        let mut parts = self.0.clone().into_parts();
        parts.path_and_query = Some(path.parse().map_err(|_| "is no path")?);
        Uri::from_parts(parts).map(Self).map_err(|_| "is no address")
    }

    /// Its path, without what stands after `?`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// For whoever sends a request there.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        write!(f, "{}://{authority}", self.0.scheme_str().unwrap_or("http"))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self}/***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_never_shown_whole() {
        let address = Address::parse("https://hooks.example:8443/services/SECRET?token=SECRET").unwrap();
        assert!(!format!("{address} {address:?}").contains("SECRET"));
        assert_eq!(address.to_string(), "https://hooks.example:8443");
        assert_eq!(address.with_path("/a?b=1").unwrap().path(), "/a");
        for wrong in ["", "hooks.example", "ftp://x/", "http://user:pass@x/", "/path"] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }
}
