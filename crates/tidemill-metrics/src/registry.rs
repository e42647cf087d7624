//! All metrics of a program by name: registering the same twice gives the same, differently is an error.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::{Config, check_buckets};
use crate::counter::Counter;
use crate::error::{Error, Use};
use crate::family::{Family, Instrument, Known, sealed::Sealed};
use crate::gauge::Gauge;
use crate::histogram::Histogram;
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

#[derive(Debug)]
struct Inner {
    config: Config,
    names: Mutex<Names>,
    overflowed: Counter,
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

    /// How much it holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let families = self.families();
        Stats {
            families: families.len(),
            series: families.iter().map(|family| family.lock().series.len()).sum(),
            overflowed: self.inner.overflowed.get(),
            renders: self.inner.renders.get(),
        }
    }

    /// All families in the order of their registration.
    pub(crate) fn families(&self) -> Vec<Arc<Known>> {
        self.lock().families.clone()
    }

    pub(crate) fn rendered(&self) {
        self.inner.renders.inc();
    }

    fn register<I: Instrument>(
        &self,
        name: &str,
        help: &str,
        bounds: &[f64],
        at: &'static Location<'static>,
    ) -> Result<Arc<Known>, Error> {
        let config = &self.inner.config;
        let full =
            if config.prefix.is_empty() { name.to_owned() } else { format!("{}_{name}", config.prefix) };
        if !name::is_metric(&full) {
            return Err(Error::name("metric", &full, "not of the form [a-zA-Z_:][a-zA-Z0-9_:]*", at));
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
        let known = Arc::new(Known::new::<I>(full, help, at, bounds, config.max_series, overflowed));
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
        Ok(Registry {
            inner: Arc::new(Inner {
                config: self.config,
                names: Mutex::default(),
                overflowed: Counter::new(),
                renders: Counter::new(),
            }),
        })
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            inner: Arc::new(Inner {
                config: Config::default(),
                names: Mutex::default(),
                overflowed: Counter::new(),
                renders: Counter::new(),
            }),
        }
    }
}
