//! What a fact is called, and what it means.

use std::fmt;
use std::sync::Arc;

/// One value.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Whose: the same allocation each time it is told.
    pub about: Arc<About>,
    /// Its value; never infinite or no number.
    pub value: f64,
}

/// Name, labels and meaning of a value, in the terms of Prometheus.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct About {
    pub(super) name: Box<str>,
    pub(super) labels: Vec<(&'static str, Box<str>)>,
    pub(super) kind: FactKind,
    pub(super) help: &'static str,
}

/// What the values of a fact are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FactKind {
    /// A total that grows until the machine restarts.
    Counter,
    /// A level.
    Gauge,
}

/// A name with what it means, as the readers know it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: FactKind,
    pub(super) help: &'static str,
}

impl About {
    /// Name of the metric, `node_…`, with its unit.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names and values of the labels, in the order of their names.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = (&'static str, &str)> {
        self.labels.iter().map(|(name, value)| (*name, &**value))
    }

    /// What the values are.
    #[must_use]
    pub fn kind(&self) -> FactKind {
        self.kind
    }

    /// What is measured, in a sentence; the same for all of a name.
    #[must_use]
    pub fn help(&self) -> &'static str {
        self.help
    }

    pub(super) fn is(&self, name: &str, labels: &[(&'static str, &str)]) -> bool {
        *self.name == *name
            && self.labels.len() == labels.len()
            && self.labels.iter().zip(labels).all(|(known, told)| known.0 == told.0 && *known.1 == *told.1)
    }
}

/// As Prometheus' text format writes it: `node_load1`, `node_disk_io_now{device="vda"}`.
impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (at, (name, value)) in self.labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            write!(f, "{before}{name}=\"{value}\"")?;
        }
        f.write_str(if self.labels.is_empty() { "" } else { "}" })
    }
}

impl Family {
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: FactKind::Counter, help }
    }

    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: FactKind::Gauge, help }
    }
}
