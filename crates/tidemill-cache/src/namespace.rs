//! Namespaces: parts of a cache that are declared when it is built and forgotten as a whole.

use crate::error::Error;
use crate::generation;

/// A part of a cache's entries, as `prices` or `news`. Declared to the builder by
/// [`namespaces`](crate::Builder::namespaces), it is forgotten by one store whatever the number of its entries, in every tier
/// and process.
///
/// ```
/// use tidemill_cache::{Config, Memory, Namespace};
///
/// const PRICES: Namespace = Namespace::new("prices");
/// const NEWS: Namespace = Namespace::new("news");
///
/// let of = |key: &(Namespace, u32), _: &String| key.0;
/// let memory: Memory<(Namespace, u32), String> =
///     Memory::builder(Config::default()).namespaces([PRICES, NEWS], of).build()?;
/// memory.insert((PRICES, 7), "189.5".to_owned());
/// memory.insert((NEWS, 7), "up".to_owned());
/// memory.invalidate_namespace(PRICES)?;
/// assert_eq!(memory.get(&(PRICES, 7)), None);
/// assert!(memory.get(&(NEWS, 7)).is_some());
/// assert!(memory.invalidate_namespace(Namespace::new("prizes")).is_err());
/// # Ok::<(), tidemill_cache::Error>(())
/// ```
///
/// It differs from a tag in three things: an entry has one, one that was not declared is an error and not a call without an
/// effect, and no two of a cache share a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(&'static str);

impl Namespace {
    /// By its name, which is the same in every process that shares a tier.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }

    /// Not that of a tag of the same name.
    pub(crate) fn hash(self) -> u32 {
        generation::hash(&("namespace", self.0))
    }
}

/// The namespaces of one cache.
#[derive(Clone, Debug, Default)]
pub(crate) struct Declared(Vec<Namespace>);

impl Declared {
    pub(crate) fn new(declared: impl IntoIterator<Item = Namespace>) -> Self {
        Self(declared.into_iter().collect())
    }

    pub(crate) fn has(&self, namespace: Namespace) -> bool {
        self.0.contains(&namespace)
    }

    /// No two may share one of `slots` generations, which is a power of two.
    pub(crate) fn check(&self, slots: usize) -> Result<(), Error> {
        let slot = |namespace: &Namespace| namespace.hash() as usize & (slots - 1);
        let mut there = self.0.clone();
        there.sort_unstable_by_key(slot);
        let Some(pair) = there.windows(2).find(|pair| slot(&pair[0]) == slot(&pair[1])) else {
            return Ok(());
        };
        let (one, other) = (pair[0].0, pair[1].0);
        let reason = if one == other {
            format!("`{one}` is declared twice")
        } else {
            format!("`{one}` and `{other}` share a generation: rename one, or raise `tag_slots`")
        };
        Err(Error::config("namespaces", reason))
    }

    /// The hash by which a declared one is struck.
    pub(crate) fn find(&self, namespace: Namespace) -> Result<u32, Error> {
        if self.has(namespace) {
            return Ok(namespace.hash());
        }
        let there: Vec<&str> = self.0.iter().map(|namespace| namespace.0).collect();
        let reason = format!("`{}` was not declared; there are: {}", namespace.0, there.join(", "));
        Err(Error::config("namespaces", reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_share_a_generation_are_refused() {
        let names: Vec<String> = (0..200).map(|n| format!("part {n}")).collect();
        let names: Vec<Namespace> =
            names.into_iter().map(|name| Namespace::new(Box::leak(name.into_boxed_str()))).collect();
        let says = |declared: &[Namespace], slots| {
            Declared::new(declared.iter().copied()).check(slots).map_err(|error| error.to_string())
        };
        assert!(says(&names, 64).unwrap_err().contains("rename one"));
        assert!(says(&[names[0], names[1], names[0]], 4096).unwrap_err().contains("declared twice"));
        assert_eq!(says(&names[..3], 4096), Ok(()));
    }
}
