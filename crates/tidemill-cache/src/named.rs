//! Caches by name, as a configuration has them: `[cache.prices] ttl = "60s" capacity = "64MB"`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::config::{Capacity, Config};
use crate::error::Error;

/// Of this process.
static INSTALLED: OnceLock<Named> = OnceLock::new();

/// The settings of each cache of a program, by name.
///
/// ```
/// use tidemill_cache::{Cache, Named};
///
/// let named: Named = serde_json::from_str(
///     r#"{"prices": {"ttl": "60s", "capacity": 2000}, "analysis": {"ttl": "10m", "capacity": 1000}}"#,
/// )
/// .unwrap();
/// let prices: Cache<String, f64> = Cache::builder(named.get("prices")?).build()?;
/// assert_eq!(prices.memory().capacity(), 2000);
/// assert!(named.get("news").unwrap_err().to_string().contains("analysis, prices"));
/// # Ok::<(), tidemill_cache::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Named(BTreeMap<String, Config>);

impl Named {
    /// The settings of one, checked.
    ///
    /// # Errors
    /// `Config`: there is none of this name, or a setting of it is out of its bounds.
    pub fn get(&self, name: &str) -> Result<Config, Error> {
        let Some(config) = self.0.get(name) else {
            let there: Vec<&str> = self.0.keys().map(String::as_str).collect();
            let reason = format!("no cache is called `{name}`; there are: {}", there.join(", "));
            return Err(Error::config("cache", reason));
        };
        config.check()?;
        Ok(config.clone())
    }

    /// Gives the functions behind the attribute `cached` their settings, by name: before the first of them is called.
    ///
    /// # Errors
    /// `Config`: it was done before.
    pub fn install(self) -> Result<(), Error> {
        let before = |_| Error::config("cache", "was installed before: do it once, at the start".to_owned());
        INSTALLED.set(self).map_err(before)
    }

    /// What [`install`](Self::install) has under this name; `None` when it has nothing.
    #[must_use]
    pub fn installed(name: &str) -> Option<Result<Config, Error>> {
        let named = INSTALLED.get()?;
        named.0.contains_key(name).then(|| named.get(name))
    }

    /// A capacity of so many entries in place of what the file says, as `CACHE_SIZE_PRICE_DATA=2000` asks for.
    pub fn set_entries(&mut self, name: &str, entries: u64) {
        self.0.entry(name.to_owned()).or_default().capacity = Capacity::Entries(entries);
    }

    /// Every name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_from_outside_replaces_the_files() {
        let mut named: Named =
            serde_json::from_str(r#"{"prices": {"ttl": "60s", "capacity": "64MB"}}"#).unwrap();
        named.set_entries("prices", 2000);
        named.set_entries("news", 500);
        let prices = named.get("prices").unwrap();
        assert_eq!((prices.capacity, prices.ttl.as_secs()), (Capacity::Entries(2000), 60));
        assert_eq!(named.names().collect::<Vec<&str>>(), ["news", "prices"]);
        assert_eq!(named.get("news").unwrap().capacity, Capacity::Entries(500));
    }

    #[test]
    fn a_bad_setting_is_found_when_it_is_asked_for() {
        let named: Named = serde_json::from_str(r#"{"prices": {"capacity": 0}}"#).unwrap();
        assert!(named.get("prices").unwrap_err().to_string().contains("capacity"));
        assert!(serde_json::from_str::<Named>(r#"{"prices": {"capcity": 0}}"#).is_err());
    }
}
