//! What can be wrong with a setting, a rule or a request, and where.

/// Why something was not built, not understood or not done.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Repr>);

/// What the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting, rule or knob is out of its bounds: fix it.
    Config,
    /// A rule's text is not understood: the error says at which character.
    Syntax,
    /// There is no such knob, rule or rollout.
    Unknown,
    /// Something else holds it at present: a trial, a rollout, an emergency. Wait or abort that.
    Busy,
    /// The program did not take the new value.
    Apply,
}

#[derive(Debug, thiserror::Error)]
enum Repr {
    #[error("{place}: {why}")]
    Config { place: String, why: String },
    #[error("cannot read {text:?} at character {at}: {why}")]
    Syntax { text: String, at: usize, why: String },
    #[error("there is no {what} {name:?}{hint}")]
    Unknown { what: &'static str, name: String, hint: String },
    #[error("{name} is held by {holder}: wait for its end or abort it")]
    Busy { name: String, holder: String },
    #[error("{knob} did not take {value}: {why}")]
    Apply { knob: String, value: f64, why: String },
}

impl Error {
    /// What the caller should do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match *self.0 {
            Repr::Config { .. } => ErrorKind::Config,
            Repr::Syntax { .. } => ErrorKind::Syntax,
            Repr::Unknown { .. } => ErrorKind::Unknown,
            Repr::Busy { .. } => ErrorKind::Busy,
            Repr::Apply { .. } => ErrorKind::Apply,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::Busy | ErrorKind::Apply)
    }

    /// Never known here.
    #[must_use]
    pub fn retry_after(&self) -> Option<std::time::Duration> {
        None
    }

    pub(crate) fn config(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self(Box::new(Repr::Config { place: place.into(), why: why.into() }))
    }

    pub(crate) fn syntax(text: &str, at: usize, why: impl Into<String>) -> Self {
        let text = text.chars().take(200).collect();
        Self(Box::new(Repr::Syntax { text, at, why: why.into() }))
    }

    pub(crate) fn unknown(what: &'static str, name: &str, known: &[&str]) -> Self {
        let hint =
            if known.is_empty() { String::new() } else { format!("; there are: {}", known.join(", ")) };
        Self(Box::new(Repr::Unknown { what, name: name.to_owned(), hint }))
    }

    pub(crate) fn busy(name: &str, holder: impl Into<String>) -> Self {
        Self(Box::new(Repr::Busy { name: name.to_owned(), holder: holder.into() }))
    }

    pub(crate) fn apply(knob: &str, value: f64, why: impl Into<String>) -> Self {
        Self(Box::new(Repr::Apply { knob: knob.to_owned(), value, why: why.into() }))
    }
}
