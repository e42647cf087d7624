//! Numbers that are asked for when somebody looks: a collector is called once for each exposition.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::panic::Location;
use std::sync::Arc;

use crate::error::{Error, Use};
use crate::family::sealed::Sealed as _;
use crate::known::Known;
use crate::name;
use crate::registry::Registry;
use crate::{Counter, Gauge};

/// Tells numbers that something else keeps: the operating system, a queue, a command.
///
/// ```
/// use tidemill_metrics::{Collected, Registry};
///
/// let registry = Registry::new();
/// registry.collect_from(|out: &mut Collected<'_>| {
///     out.gauge("queue_length", "Jobs that wait.", &[("queue", "mail")], 17.0)?;
///     Ok(())
/// });
/// assert!(registry.to_text().contains("queue_length{queue=\"mail\"} 17\n"));
/// ```
pub trait Collect: Send + Sync + 'static {
    /// Puts the numbers as they are now. It is called within a scrape and should be quick.
    ///
    /// # Errors
    /// Whatever failed; what was put before stays in the exposition, and the registry counts the failure.
    fn collect(&self, out: &mut Collected<'_>) -> Result<(), Box<dyn StdError + Send + Sync>>;
}

impl<F> Collect for F
where
    F: Fn(&mut Collected<'_>) -> Result<(), Box<dyn StdError + Send + Sync>> + Send + Sync + 'static,
{
    fn collect(&self, out: &mut Collected<'_>) -> Result<(), Box<dyn StdError + Send + Sync>> {
        self(out)
    }
}

/// Takes what collectors tell, under the same rules and bounds as registered metrics.
#[derive(Debug)]
pub struct Collected<'r> {
    registry: &'r Registry,
    families: Vec<Arc<Known>>,
    index: HashMap<String, usize>,
}

impl<'r> Collected<'r> {
    pub(crate) fn new(registry: &'r Registry) -> Self {
        Self { registry, families: Vec::new(), index: HashMap::new() }
    }

    /// A level.
    ///
    /// # Errors
    /// A malformed name, one that is registered or of another kind, or the same labels twice.
    #[track_caller]
    pub fn gauge(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        value: f64,
    ) -> Result<(), Error> {
        self.put(Gauge::KIND, name, help, labels, value)
    }

    /// A total that only grows, kept by somebody else; its name should end in `_total`.
    ///
    /// # Errors
    /// As for [`gauge`](Self::gauge).
    #[track_caller]
    pub fn counter(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        total: f64,
    ) -> Result<(), Error> {
        self.put(Counter::KIND, name, help, labels, total)
    }

    pub(crate) fn into_families(self) -> Vec<Arc<Known>> {
        self.families
    }

    #[track_caller]
    fn put(
        &mut self,
        kind: &'static str,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        value: f64,
    ) -> Result<(), Error> {
        let at = Location::caller();
        let full = self.registry.full_name(name);
        let number = match self.index.get(&full) {
            Some(&number) => number,
            None => self.family(kind, full, help, at)?,
        };
        let known = &self.families[number];
        if known.kind != kind {
            return Err(Error::clash(Use { name: &known.name, kind, at }, known.as_use()));
        }
        known.put(labels, at, value)
    }

    fn family(
        &mut self,
        kind: &'static str,
        full: String,
        help: &str,
        at: &'static Location<'static>,
    ) -> Result<usize, Error> {
        if !name::is_metric(&full) {
            return Err(Error::name("metric", &full, name::METRIC, at));
        }
        self.registry.admits(Use { name: &full, kind, at }, self.families.len())?;
        self.families.push(Arc::new(self.registry.collected(full.clone(), help, kind, at)));
        self.index.insert(full, self.families.len() - 1);
        Ok(self.families.len() - 1)
    }
}
