//! What can be wrong with a mapping, an interval, a date or a calendar name; a provider's answer is never an error.

use std::fmt;
use std::time::Duration;

/// Why something the caller wrote cannot be used. Answers of providers never end here: they are a
/// [`Class`](crate::Class).
pub struct Error(Box<Reason>);

/// What the caller should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Correct the text or the mapping; trying again changes nothing.
    Input,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("{text:?} is no interval: write 1d, 1min to 1440min, or 1h to 24h")]
    Interval { text: String },
    #[error("{text:?} is no date: write YYYY-MM-DD")]
    Date { text: String },
    #[error("no calendar is called {text:?}: write XNYS or none")]
    Calendar { text: String },
    #[error("no adapter is called {text:?}: write one of {known}, or generic with a mapping")]
    Adapter { text: String, known: String },
    #[error("mapping {mapping:?}: field {field}: {why}")]
    Mapping { mapping: String, field: String, why: String },
    #[error("mapping is not understood: {source}")]
    Toml {
        #[from]
        source: toml::de::Error,
    },
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }

    /// Always false: the same text stays wrong.
    pub fn is_retryable(&self) -> bool {
        false
    }

    /// Always `None`, see [`Error::is_retryable`].
    pub fn retry_after(&self) -> Option<Duration> {
        None
    }

    pub(crate) fn interval(text: &str) -> Self {
        Self(Box::new(Reason::Interval { text: text.to_owned() }))
    }

    pub(crate) fn date(text: &str) -> Self {
        Self(Box::new(Reason::Date { text: text.to_owned() }))
    }

    pub(crate) fn calendar(text: &str) -> Self {
        Self(Box::new(Reason::Calendar { text: text.to_owned() }))
    }

    pub(crate) fn adapter(text: &str, known: &[&str]) -> Self {
        Self(Box::new(Reason::Adapter { text: text.to_owned(), known: known.join(", ") }))
    }

    pub(crate) fn mapping(mapping: &str, field: impl Into<String>, why: impl Into<String>) -> Self {
        Self(Box::new(Reason::Mapping { mapping: mapping.to_owned(), field: field.into(), why: why.into() }))
    }

    pub(crate) fn toml(source: toml::de::Error) -> Self {
        Self(Box::new(Reason::Toml { source }))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
