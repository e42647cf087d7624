//! What a lease is on and who holds it: two bounded texts.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::error::{Cause, Error};

/// The most bytes in a [`Name`] or an [`Owner`].
pub const MAX_NAME: usize = 256;

/// The resource: 1 to 256 bytes of UTF-8 without control characters. Names are ordered by their bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// The holder: 1 to 256 bytes of UTF-8 without control characters.
///
/// No two living processes may use the same one: to the store, the same owner asking again is one that lost its
/// memory. A host name with a process id or a random suffix will do.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(Arc<str>);

impl Name {
    /// # Errors
    /// `Input` if it is empty, longer than [`MAX_NAME`] or holds a control character.
    pub fn try_new(text: impl AsRef<str>) -> Result<Self, Error> {
        checked("name", text.as_ref()).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Owner {
    /// # Errors
    /// `Input` if it is empty, longer than [`MAX_NAME`] or holds a control character.
    pub fn try_new(text: impl AsRef<str>) -> Result<Self, Error> {
        checked("owner", text.as_ref()).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn checked(what: &'static str, text: &str) -> Result<Arc<str>, Error> {
    let why = match text {
        "" => "is empty",
        _ if text.len() > MAX_NAME => "has more than 256 bytes",
        _ if text.chars().any(char::is_control) => "holds a control character",
        _ => return Ok(text.into()),
    };
    Err(Cause::Input { what, why }.into())
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&self.0)
    }
}

impl Serialize for Owner {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_name_has_bounds() {
        for good in ["a", "key/alpha-1", "\u{e9}\u{4e2d}", &"x".repeat(MAX_NAME)] {
            assert_eq!(Name::try_new(good).unwrap().as_str(), good);
            assert_eq!(Owner::try_new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a\nb", "a\0", &"x".repeat(MAX_NAME + 1), &"\u{e9}".repeat(MAX_NAME / 2 + 1)] {
            assert_eq!(Name::try_new(bad).unwrap_err().kind(), ErrorKind::Input, "{bad:?}");
            assert_eq!(Owner::try_new(bad).unwrap_err().kind(), ErrorKind::Input, "{bad:?}");
        }
    }
}
