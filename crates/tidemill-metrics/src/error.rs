//! Why a metric could not be registered.

use std::panic::Location;
use std::time::Duration;

/// A metric or a registry was asked for that cannot be.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Repr>);

/// What the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is out of its bounds: fix the configuration.
    Config,
    /// A metric or label name is malformed or reserved: rename it.
    Name,
    /// Two places use one name in different ways: the message names both.
    Clash,
    /// The labels differ from those the metric has: use the same names everywhere.
    Labels,
    /// The registry is full: raise `max_families`.
    Full,
}

#[derive(Clone, Debug, thiserror::Error)]
enum Repr {
    #[error("config field `{field}`: {reason}")]
    Config { field: &'static str, reason: String },
    #[error("{what} `{name}` at {at}: {reason}")]
    Name { what: &'static str, name: String, reason: &'static str, at: &'static Location<'static> },
    #[error("metric `{name}` at {at} is a {kind}, but `{other}` at {first} is a {before}")]
    Clash {
        name: String,
        kind: &'static str,
        at: &'static Location<'static>,
        other: String,
        before: &'static str,
        first: &'static Location<'static>,
    },
    #[error("metric `{name}` has the labels {known:?} (registered at {first}), but {at} gives {given:?}")]
    Labels {
        name: String,
        known: Vec<String>,
        given: Vec<String>,
        at: &'static Location<'static>,
        first: &'static Location<'static>,
    },
    #[error("metric `{name}` at {at}: the registry holds {max} already; raise `max_families`")]
    Full { name: String, max: usize, at: &'static Location<'static> },
}

impl Error {
    /// What the caller can do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match *self.0 {
            Repr::Config { .. } => ErrorKind::Config,
            Repr::Name { .. } => ErrorKind::Name,
            Repr::Clash { .. } => ErrorKind::Clash,
            Repr::Labels { .. } => ErrorKind::Labels,
            Repr::Full { .. } => ErrorKind::Full,
        }
    }

    /// Never: all of them are mistakes in the program or its configuration.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }

    /// Never known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        None
    }

    pub(crate) fn config(field: &'static str, reason: String) -> Self {
        Self(Box::new(Repr::Config { field, reason }))
    }

    pub(crate) fn name(
        what: &'static str,
        name: &str,
        reason: &'static str,
        at: &'static Location<'static>,
    ) -> Self {
        Self(Box::new(Repr::Name { what, name: name.to_owned(), reason, at }))
    }

    pub(crate) fn clash(this: Use<'_>, before: Use<'_>) -> Self {
        Self(Box::new(Repr::Clash {
            name: this.name.to_owned(),
            kind: this.kind,
            at: this.at,
            other: before.name.to_owned(),
            before: before.kind,
            first: before.at,
        }))
    }

    pub(crate) fn labels(
        name: &str,
        known: Vec<String>,
        given: Vec<String>,
        at: &'static Location<'static>,
        first: &'static Location<'static>,
    ) -> Self {
        Self(Box::new(Repr::Labels { name: name.to_owned(), known, given, at, first }))
    }

    pub(crate) fn full(name: &str, max: usize, at: &'static Location<'static>) -> Self {
        Self(Box::new(Repr::Full { name: name.to_owned(), max, at }))
    }
}

/// Who uses a name, as what and where.
#[derive(Clone, Copy)]
pub(crate) struct Use<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: &'static str,
    pub(crate) at: &'static Location<'static>,
}
