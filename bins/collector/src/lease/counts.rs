//! What the leases of this process did, as metrics.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tidemill_lease::{Leases, Stats};
use tidemill_metrics::{Counter, Gauge, Registry};

/// How a metric is read.
type Pick = fn(&Stats) -> u64;

/// Name without its `lease_` and `_total`, what it counts, how it is read.
const COUNTED: [(&str, &str, Pick); 6] = [
    ("acquired", "Leases acquired.", |stats| stats.acquired),
    ("taken_over", "Leases taken over from an owner that had not given them back.", |stats| stats.taken_over),
    ("renewed", "Renewals.", |stats| stats.renewed),
    ("refused", "Acquisitions refused because another owner holds the lease.", |stats| stats.refused_held),
    ("lost", "Leases lost while they were held.", |stats| stats.lost),
    ("failed", "Operations that the store of the leases failed or did not answer in time.", |stats| {
        stats.failed
    }),
];

/// The leases with the metrics that show them.
#[derive(Clone)]
pub struct Counts {
    leases: Leases,
    seen: Arc<Mutex<Stats>>,
    counted: Vec<(Counter, Pick)>,
    held: Gauge,
}

impl Counts {
    /// Registers them.
    pub fn new(registry: &Registry, leases: &Leases) -> Result<Self> {
        let counter = |(name, help, pick): (&str, &str, Pick)| -> Result<(Counter, Pick)> {
            Ok((registry.counter(&format!("lease_{name}_total"), help).get()?, pick))
        };
        Ok(Self {
            leases: leases.clone(),
            seen: Arc::default(),
            counted: COUNTED.into_iter().map(counter).collect::<Result<_>>()?,
            held: registry.gauge("lease_held", "Leases held now.").get()?,
        })
    }

    /// Adds what was counted since it was read last.
    pub fn read(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stats = self.leases.stats();
        let news = stats.since(&seen);
        self.counted.iter().for_each(|(counter, pick)| counter.add(pick(&news)));
        self.held.set(stats.held as f64);
        *seen = stats;
    }
}

impl std::fmt::Debug for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counts").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidemill_lease::{Config, Memory, Name, Owner};

    use super::*;

    #[tokio::test]
    async fn what_the_leases_did_is_counted_once() {
        let store = Arc::new(Memory::default());
        let leases = |owner: &str| {
            let owner = Owner::try_new(owner).unwrap();
            Leases::builder(Config::with_term(Duration::from_secs(60)), store.clone(), owner).build().unwrap()
        };
        let registry = Registry::default();
        let (one, two) = (leases("one"), leases("two"));
        let counts = Counts::new(&registry, &two).unwrap();
        let key = Name::try_new("key").unwrap();
        let held = one.acquire(&key).await.unwrap();
        assert!(two.acquire(&key).await.is_err());
        counts.read();
        counts.read();
        one.release(&held, None).await.unwrap();
        let held = two.acquire(&key).await.unwrap();
        two.renew(&held, None).await.unwrap();
        counts.read();
        let text = registry.to_text();
        for line in
            ["lease_refused_total 1", "lease_acquired_total 1", "lease_renewed_total 1", "lease_lost_total 0"]
        {
            assert!(text.contains(&format!("{line}\n")), "{line} is missing:\n{text}");
        }
    }
}
