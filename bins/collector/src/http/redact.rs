//! Masks the secrets of a URI: values of named query parameters, and the user part of the authority.

use std::fmt;
use std::sync::{Arc, LazyLock};

use http::Uri;

/// What stands where a secret stood.
const MASK: &str = "***";

/// Names of query parameters that carry a secret unless the operator says more.
pub(super) const SECRET_PARAMS: [&str; 14] = [
    "apikey",
    "api_key",
    "api-key",
    "api_token",
    "access_key",
    "access_token",
    "appid",
    "auth",
    "key",
    "password",
    "secret",
    "sig",
    "signature",
    "token",
];

/// The names of the query parameters whose values are never shown. Cheap to clone; compared without case.
#[derive(Clone, Debug)]
pub struct Redaction(Arc<[String]>);

impl Redaction {
    /// Masks these names and no others.
    pub fn new<I: IntoIterator<Item = S>, S: Into<String>>(names: I) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    fn hides(&self, name: &str) -> bool {
        // A whole URI may stand in a query without encoding: its first name follows the inner question mark.
        let name = name.rsplit(['?', ';']).next().unwrap_or(name);
        self.0.iter().any(|hidden| same_name(name, hidden))
    }
}

impl Default for Redaction {
    fn default() -> Self {
        static DEFAULT: LazyLock<Redaction> = LazyLock::new(|| Redaction::new(SECRET_PARAMS));
        DEFAULT.clone()
    }
}

/// Shows a URI with the values of the named query parameters, and any user information, replaced by `***`.
///
/// A parameter name that is itself percent-encoded is decoded before it is compared.
pub fn redact_uri<'a>(uri: &'a Uri, redaction: &'a Redaction) -> impl fmt::Display + 'a {
    Shown { uri, redaction }
}

struct Shown<'a> {
    uri: &'a Uri,
    redaction: &'a Redaction,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.uri.scheme_str() {
            write!(f, "{scheme}://")?;
        }
        if let Some(authority) = self.uri.authority() {
            match authority.as_str().rsplit_once('@') {
                Some((_, host)) => write!(f, "{MASK}@{host}")?,
                None => f.write_str(authority.as_str())?,
            }
        }
        f.write_str(self.uri.path())?;
        let Some(query) = self.uri.query() else { return Ok(()) };
        for (position, pair) in query.split('&').enumerate() {
            f.write_str(if position == 0 { "?" } else { "&" })?;
            match pair.split_once('=') {
                Some((name, value)) if !value.is_empty() && self.redaction.hides(name) => {
                    write!(f, "{name}={MASK}")?;
                }
                _ => f.write_str(pair)?,
            }
        }
        Ok(())
    }
}

/// Compares a raw, perhaps percent-encoded name with a plain one, without case and without allocation.
fn same_name(raw: &str, plain: &str) -> bool {
    let mut wanted = plain.bytes();
    let mut rest = raw.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (first, tail),
            },
            _ => (first, tail),
        };
        rest = tail;
        if !wanted.next().is_some_and(|want| want.eq_ignore_ascii_case(&byte)) {
            return false;
        }
    }
    wanted.next().is_none()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(uri: &str) -> String {
        redact_uri(&uri.parse().unwrap(), &Redaction::default()).to_string()
    }

    #[test]
    fn masks_named_values_and_nothing_else() {
        assert_eq!(
            shown("https://h.test/query?function=DAILY&symbol=AAPL&apikey=S3CRET&outputsize=full"),
            "https://h.test/query?function=DAILY&symbol=AAPL&apikey=***&outputsize=full"
        );
        assert_eq!(shown("http://h.test/?a=1&ToKeN=x&key="), "http://h.test/?a=1&ToKeN=***&key=");
        assert_eq!(shown("http://h.test/p"), "http://h.test/p");
        assert_eq!(
            shown("http://h.test/?to=1&http://g.test/?key=S"),
            "http://h.test/?to=1&http://g.test/?key=***"
        );
    }

    #[test]
    fn masks_user_information() {
        assert_eq!(shown("http://me:pass@h.test:81/p?x=1"), "http://***@h.test:81/p?x=1");
    }

    #[test]
    fn an_encoded_name_does_not_hide_from_the_mask() {
        assert_eq!(shown("http://h.test/?%61pi%4Bey=S"), "http://h.test/?%61pi%4Bey=***");
        assert_eq!(shown("http://h.test/?key%=S"), "http://h.test/?key%=S");
    }

    #[test]
    fn own_names_replace_the_default_ones() {
        let uri: Uri = "http://h.test/?apikey=shown&pin=S".parse().unwrap();
        assert_eq!(
            redact_uri(&uri, &Redaction::new(["pin"])).to_string(),
            "http://h.test/?apikey=shown&pin=***"
        );
    }
}
