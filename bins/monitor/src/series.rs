//! What every part agrees on: a series, its reading, and one target's round of readings.

use std::hash::{BuildHasher as _, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

/// One value of one series at the round's time. Names follow Prometheus; units stand in the name.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Whose value.
    pub series: Arc<Series>,
    /// The value as the target told it: a counter is a total.
    pub value: f64,
}

/// Who a value belongs to. Labels are sorted by name; at most 32, bounded in bytes by the parser.
///
/// A series is looked up many times a round and made once, so that its hash is made with it: see [`BySeries`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Series {
    /// Name of the target in the configuration; `host` is this machine.
    pub target: Arc<str>,
    /// Name of the metric.
    pub name: Arc<str>,
    /// Names and values, sorted by name.
    #[serde(serialize_with = "as_map")]
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// What its values are.
    pub kind: Kind,
    #[serde(skip)]
    hash: u64,
}

/// A map by series that takes the hash each of them carries.
pub type BySeries<V> = std::collections::HashMap<Arc<Series>, V, BuildHasherDefault<Carried>>;

/// Passes on the one number that it is given: the hash that a [`Series`] carries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Carried(u64);

/// What the values of a series are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A total that grows until its process restarts; shown as a rate per second.
    Counter,
    /// A level.
    Gauge,
    /// A derived quantile or a bucket.
    Histogram,
    /// The target does not say.
    Unknown,
}

/// One target's answer. `error` is set: no readings, and it says why.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// Name of the target.
    pub target: Arc<str>,
    /// When it answered, in milliseconds since 1970.
    pub at_ms: i64,
    /// How long that took.
    pub took: Duration,
    /// Why there is no answer.
    pub error: Option<String>,
    /// Its values, each series once.
    pub readings: Vec<Reading>,
}

impl Round {
    /// Whether the target answered.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.error.is_none()
    }

    /// The value of the first series of this name, whatever its labels.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<f64> {
        self.readings.iter().find(|reading| &*reading.series.name == name).map(|reading| reading.value)
    }
}

impl Series {
    /// A series with its labels put in order.
    #[must_use]
    pub fn new(target: &Arc<str>, name: &str, labels: &[(&str, &str)], kind: Kind) -> Self {
        let mut labels: Vec<(Arc<str>, Arc<str>)> =
            labels.iter().map(|(name, value)| (Arc::from(*name), Arc::from(*value))).collect();
        labels.sort();
        Self::of(Arc::clone(target), Arc::from(name), labels, kind)
    }

    /// The same of texts that are shared already; labels are in order.
    pub(crate) fn of(
        target: Arc<str>,
        name: Arc<str>,
        labels: Vec<(Arc<str>, Arc<str>)>,
        kind: Kind,
    ) -> Self {
        // The key is drawn anew in every process: nobody can name series that all fall on one place.
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let hash = KEY.hash_one((&target, &name, &labels, kind));
        Self { target, name, labels, kind, hash }
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| &**label == name).map(|(_, value)| &**value)
    }
}

impl Hash for Series {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hasher for Carried {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, bytes: &[u8]) {
        // Nothing but a series comes here; should it, all of it counts.
        for byte in bytes {
            self.0 = self.0.rotate_left(5) ^ u64::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn as_map<S: Serializer>(labels: &[(Arc<str>, Arc<str>)], to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(labels.len()))?;
    for (name, value) in labels {
        map.serialize_entry(&**name, &**value)?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_by_series_tells_apart_what_differs_in_anything() {
        let target: Arc<str> = Arc::from("t");
        let other: Arc<str> = Arc::from("u");
        let all = [
            Series::new(&target, "n", &[("a", "1"), ("b", "2")], Kind::Gauge),
            Series::new(&other, "n", &[("a", "1"), ("b", "2")], Kind::Gauge),
            Series::new(&target, "m", &[("a", "1"), ("b", "2")], Kind::Gauge),
            Series::new(&target, "n", &[("a", "1")], Kind::Gauge),
            Series::new(&target, "n", &[("a", "1"), ("b", "3")], Kind::Gauge),
            Series::new(&target, "n", &[("a", "1"), ("b", "2")], Kind::Counter),
        ];
        let map: BySeries<usize> =
            all.iter().cloned().enumerate().map(|(at, one)| (Arc::new(one), at)).collect();
        assert_eq!(map.len(), all.len());
        let again = Series::new(&Arc::from("t"), "n", &[("b", "2"), ("a", "1")], Kind::Gauge);
        assert_eq!(map.get(&again), Some(&0), "in whatever order, made whenever");
    }
}
