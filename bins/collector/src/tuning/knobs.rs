//! What can be turned while the collector runs, and how far.
//!
//! No bound is below what the configuration asks for by so much that a quota could not be used up, and none lets more
//! wait for a permit than the limiter was built for.

use std::sync::Arc;
use std::time::Duration;

use tidemill_autotune::{DriverBuilder, Knob};
use tidemill_rate_limit::Scope;

use crate::config::{Collector, Config, Provider as Configured};
use crate::provider::Provider;
use crate::workers::Workers;
use crate::writer::Rhythm;

/// Requests prepared at once, at most, whatever is turned.
pub fn most_workers(config: &Collector) -> usize {
    (2 * config.workers).clamp(16, 1024)
}

/// Workers that use up the quotas while answers take a second, or the number configured if that is fewer. Without a
/// quota half of what is configured.
fn least_workers(config: &Config, keys: &[usize]) -> usize {
    let needed: Option<f64> =
        config.providers.iter().zip(keys).map(|(provider, keys)| requests_per_second(provider, *keys)).sum();
    let least = needed.map_or(config.collector.workers / 2, |needed| needed.ceil() as usize);
    least.max(2).min(config.collector.workers)
}

/// What the tightest limit allows with all keys; none without a limit.
fn requests_per_second(provider: &Configured, keys: usize) -> Option<f64> {
    let cost = f64::from(provider.cost.unwrap_or(1).max(1));
    let of = |limit: &tidemill_rate_limit::Limit| {
        let shares = if limit.scope == Scope::Key { keys.max(1) as f64 } else { 1.0 };
        shares * f64::from(limit.requests) / cost / limit.per.as_secs_f64().max(1e-3)
    };
    provider.limits.iter().map(of).reduce(f64::min)
}

/// Adds every knob to a driver.
pub(super) fn knobs(
    builder: DriverBuilder,
    config: &Config,
    providers: &[Arc<Provider>],
    workers: &Arc<Workers>,
    rhythm: &Arc<Rhythm>,
) -> DriverBuilder {
    let c = &config.collector;
    let keys: Vec<usize> = providers.iter().map(|provider| provider.pool.stats().keys.len()).collect();
    let (get, set) = (Arc::clone(workers), Arc::clone(workers));
    let builder = builder.knob(
        Knob::new("workers", least_workers(config, &keys) as f64, workers.most() as f64).step(1.0),
        move || get.get() as f64,
        move |value| {
            set.set(value as usize);
            Ok(())
        },
    );
    let (get, set) = (Arc::clone(rhythm), Arc::clone(rhythm));
    let builder = builder.knob(
        Knob::new("batch", c.group_commit.min(8) as f64, c.group_commit.max(256) as f64)
            .unit("commits")
            .step(1.0),
        move || get.group() as f64,
        move |value| {
            set.set_group(value as usize);
            Ok(())
        },
    );
    let (get, set) = (Arc::clone(rhythm), Arc::clone(rhythm));
    let builder = builder.knob(
        Knob::new("flush.linger", 0.0, c.linger.as_secs_f64().max(0.1)).unit("s"),
        move || get.linger().as_secs_f64(),
        move |value| {
            set.set_linger(Duration::from_secs_f64(value.max(0.0)));
            Ok(())
        },
    );
    let (get, set) = (Arc::clone(rhythm), Arc::clone(rhythm));
    let every = c.publish_every.as_secs_f64();
    builder.knob(
        Knob::new("flush.interval", every.min(1.0), every.max(120.0)).unit("s"),
        move || get.publish_every().as_secs_f64(),
        move |value| {
            set.set_publish_every(Duration::from_secs_f64(value.max(0.0)));
            Ok(())
        },
    )
}

#[cfg(test)]
mod tests {
    use tidemill_rate_limit::Limit;

    use super::*;

    fn with(workers: usize, limits: Vec<Limit>) -> Config {
        let mut config = Config::default();
        config.collector.workers = workers;
        config.providers.push(Configured { limits, ..Configured::default() });
        config
    }

    #[test]
    fn the_least_number_of_workers_still_uses_up_the_quota() {
        let limit = Limit::new(75, Duration::from_secs(10));
        assert_eq!(least_workers(&with(32, vec![limit.clone()]), &[4]), 30, "four keys of 7.5 a second");
        let account = Limit { scope: Scope::Account, ..limit.clone() };
        assert_eq!(least_workers(&with(32, vec![limit.clone(), account]), &[4]), 8);
        assert_eq!(least_workers(&with(4, vec![limit]), &[4]), 4, "never above what is configured");
        assert_eq!(least_workers(&with(32, vec![]), &[4]), 16);
        assert_eq!(least_workers(&with(1, vec![]), &[4]), 1);
    }

    #[test]
    fn the_most_is_within_what_a_configuration_may_ask_for() {
        for (configured, most) in [(1, 16), (32, 64), (1000, 1024), (1024, 1024)] {
            assert_eq!(most_workers(&Collector { workers: configured, ..Collector::default() }), most);
        }
    }
}
