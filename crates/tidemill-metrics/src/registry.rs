//! All metrics of a program by name: registering the same twice gives the same, differently is an error.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use crate::collect::{Collect, Collected};
use crate::config::{Config, check_buckets};
use crate::counter::Counter;
use crate::error::{Error, Use};
use crate::family::{Family, Instrument, sealed::Sealed};
use crate::gauge::Gauge;
use crate::histogram::Histogram;
use crate::known::Known;
use crate::name;
use crate::stats::Stats;

/// Holds metrics and renders them. Clones share them.
#[derive(Clone, Debug)]
pub struct Registry {
    inner: Arc<Inner>,
}

/// Builds a [`Registry`].
#[derive(Clone, Debug)]
pub struct Builder {
    config: Config,
}

struct Inner {
    config: Config,
    names: Mutex<Names>,
    collectors: RwLock<Vec<Arc<dyn Collect>>>,
    overflowed: Counter,
    expired: Counter,
    failed_collections: Counter,
    renders: Counter,
}

#[derive(Debug, Default)]
struct Names {
    families: Vec<Arc<Known>>,
    /// Every exposed name, `_bucket`, `_sum` and `_count` included, and the family that uses it.
    taken: HashMap<String, usize>,
}

impl Registry {
    /// A registry without prefix and with the default bounds.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts from a configuration.
    #[must_use]
    pub fn builder(config: Config) -> Builder {
        Builder { config }
    }

    /// A counter by name; it should end in `_total`. A clash is reported by [`Family::with`].
    #[track_caller]
    pub fn counter(&self, name: &str, help: &str) -> Family<Counter> {
        Family::new(self.register::<Counter>(name, help, &[], Location::caller()))
    }

    /// A gauge by name. A clash is reported by [`Family::with`].
    #[track_caller]
    pub fn gauge(&self, name: &str, help: &str) -> Family<Gauge> {
        Family::new(self.register::<Gauge>(name, help, &[], Location::caller()))
    }

    /// A histogram by name; it should end in its unit, `_seconds` or `_bytes`. A clash is reported by
    /// [`Family::with`].
    #[track_caller]
    pub fn histogram(&self, name: &str, help: &str) -> Family<Histogram> {
        let bounds = &self.inner.config.buckets;
        Family::new(self.register::<Histogram>(name, help, bounds, Location::caller()))
    }

    /// A histogram with classic buckets of its own; see [`Config::buckets`].
    #[track_caller]
    pub fn histogram_with(&self, name: &str, help: &str, buckets: &[f64]) -> Family<Histogram> {
        let at = Location::caller();
        Family::new(check_buckets(buckets).and_then(|()| self.register::<Histogram>(name, help, buckets, at)))
    }

    /// Asks `collector` for its numbers at every exposition, after the registered metrics and in the order of these
    /// calls.
    pub fn collect_from(&self, collector: impl Collect) {
        let mut collectors = self.inner.collectors.write().unwrap_or_else(PoisonError::into_inner);
        collectors.push(Arc::new(collector));
    }

    /// Takes out the series that nobody holds a handle of and that have not changed since a call at least
    /// [`Config::idle`] before `now`, the time since any origin. It looks at values alone: counting pays nothing for
    /// it. How many series went. The scrape service calls it for each scrape.
    pub fn expire(&self, now: Duration) -> usize {
        let Some(idle) = self.inner.config.idle else { return 0 };
        let expired = self.families().iter().map(|family| family.expire(now, idle)).sum();
        self.inner.expired.add(expired as u64);
        expired
    }

    /// How much it holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let families = self.families();
        Stats {
            families: families.len(),
            series: families.iter().map(|family| family.lock().series.len()).sum(),
            overflowed: self.inner.overflowed.get(),
            expired: self.inner.expired.get(),
            failed_collections: self.inner.failed_collections.get(),
            renders: self.inner.renders.get(),
        }
    }

    /// All families in the order of their registration.
    pub(crate) fn families(&self) -> Vec<Arc<Known>> {
        self.lock().families.clone()
    }

    /// All families, and what the collectors tell now.
    pub(crate) fn gather(&self) -> Vec<Arc<Known>> {
        let mut families = self.families();
        let collectors = self.inner.collectors.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut collected = Collected::new(self);
        for collector in collectors {
            if collector.collect(&mut collected).is_err() {
                self.inner.failed_collections.inc();
            }
        }
        families.extend(collected.into_families());
        self.inner.renders.inc();
        families
    }

    /// The name with the prefix before it.
    pub(crate) fn full_name(&self, name: &str) -> String {
        let prefix = &self.inner.config.prefix;
        if prefix.is_empty() { name.to_owned() } else { format!("{prefix}_{name}") }
    }

    /// Whether a collector may use a name, beside `others` collected ones.
    pub(crate) fn admits(&self, this: Use<'_>, others: usize) -> Result<(), Error> {
        let names = self.lock();
        if let Some(&number) = names.taken.get(this.name) {
            return Err(Error::clash(this, names.families[number].as_use()));
        }
        if names.families.len() + others >= self.inner.config.max_families {
            return Err(Error::full(this.name, self.inner.config.max_families, this.at));
        }
        Ok(())
    }

    /// A family for one exposition.
    pub(crate) fn collected(
        &self,
        full: String,
        help: &str,
        kind: &'static str,
        at: &'static Location<'static>,
    ) -> Known {
        Known::new(full, help, kind, at, &[], self.inner.config.max_series, self.inner.overflowed.clone())
    }

    fn register<I: Instrument>(
        &self,
        name: &str,
        help: &str,
        bounds: &[f64],
        at: &'static Location<'static>,
    ) -> Result<Arc<Known>, Error> {
        let config = &self.inner.config;
        let full = self.full_name(name);
        if !name::is_metric(&full) {
            return Err(Error::name("metric", &full, name::METRIC, at));
        }
        let mut names = self.lock();
        let this = Use { name: &full, kind: I::KIND, at };
        if let Some(known) = names.taken.get(&full).map(|&number| &names.families[number]) {
            let same = known.name == full && known.kind == I::KIND && known.bounds == bounds;
            return if same { Ok(Arc::clone(known)) } else { Err(Error::clash(this, known.as_use())) };
        }
        let mut exposed = vec![full.clone()];
        if I::KIND == Histogram::KIND {
            exposed.extend(["bucket", "sum", "count"].map(|suffix| format!("{full}_{suffix}")));
        }
        if let Some(&number) = exposed.iter().find_map(|name| names.taken.get(name)) {
            return Err(Error::clash(this, names.families[number].as_use()));
        }
        if names.families.len() >= config.max_families {
            return Err(Error::full(&full, config.max_families, at));
        }
        let overflowed = self.inner.overflowed.clone();
        let known = Arc::new(Known::new(full, help, I::KIND, at, bounds, config.max_series, overflowed));
        let number = names.families.len();
        names.families.push(Arc::clone(&known));
        names.taken.extend(exposed.into_iter().map(|name| (name, number)));
        Ok(known)
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        self.inner.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Builder {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) names the field.
    pub fn build(self) -> Result<Registry, Error> {
        self.config.check()?;
        Ok(Registry { inner: Arc::new(Inner::new(self.config)) })
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self { inner: Arc::new(Inner::new(Config::default())) }
    }
}

impl Inner {
    fn new(config: Config) -> Self {
        Self {
            config,
            names: Mutex::default(),
            collectors: RwLock::default(),
            overflowed: Counter::new(),
            expired: Counter::new(),
            failed_collections: Counter::new(),
            renders: Counter::new(),
        }
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("config", &self.config).field("names", &self.names).finish()
    }
}
