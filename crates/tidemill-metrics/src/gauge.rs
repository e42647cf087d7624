//! A number that goes up and down.

use std::sync::Arc;

use crate::sync::{AtomicU64, Ordering};

/// Holds one value. Clones share it; the last `set` wins.
#[derive(Clone, Debug, Default)]
pub struct Gauge {
    bits: Arc<AtomicU64>,
}

impl Gauge {
    /// A gauge of its own at 0, outside any registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value.
    #[inline]
    pub fn set(&self, value: f64) {
        self.bits.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds to the value; no addition is lost between threads.
    pub fn add(&self, n: f64) {
        let _ = self.bits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
            Some((f64::from_bits(bits) + n).to_bits())
        });
    }

    /// Subtracts from the value.
    pub fn sub(&self, n: f64) {
        self.add(-n);
    }

    /// Adds 1 until the guard is dropped: what is in flight.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        self.add(1.0);
        InFlight(self.clone())
    }

    /// Whether nobody else holds this series, so that nobody can change it.
    pub(crate) fn is_unheld(&mut self) -> bool {
        Arc::get_mut(&mut self.bits).is_some()
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.bits.load(Ordering::Relaxed))
    }
}

/// Takes 1 off its gauge when dropped.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.sub(1.0);
    }
}
