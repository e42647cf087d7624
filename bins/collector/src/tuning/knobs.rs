//! What can be turned while the collector runs, and how far.
//!
//! No bound is below what a quota needs to be used up, and none is so high that workers wait for permits in rows.

use std::sync::Arc;
use std::time::Duration;

use tidemill_autotune::{Aimd, DriverBuilder, Gradient, Knob};

use super::signals;
use crate::config::{Collector, ConcurrencyBy, Config, Provider as Configured};
use crate::pace::per_second;
use crate::provider::Provider;
use crate::workers::Workers;
use crate::writer::Rhythm;

/// Response time, in seconds, with which the fewest workers still use up the quotas.
const SLOW: f64 = 1.0;
/// The same of the lowest concurrency: what takes longer than that queues somewhere, or is believed to be slow.
const QUEUED: f64 = 0.25;
/// Mean response, in ms, above which there are too many under way, for the controller that is told a bound.
const TOO_SLOW_MS: f64 = 1500.0;

/// Bytes of rows in memory below which publishing would cost more than it saves.
const LEAST_BUFFER: f64 = (1 << 20) as f64;

/// Requests prepared at once, at most, whatever is turned.
pub fn most_workers(config: &Collector) -> usize {
    (2 * config.workers).clamp(16, 1024)
}

/// The bounds of the workers: what the quotas need when answers take a second, at most what is configured; and twice what they
/// need, at least what is configured. Without a quota from half to twice.
fn bounds_of_workers(config: &Config, keys: &[usize]) -> (usize, usize) {
    let configured = config.collector.workers;
    let providers = config.providers.iter().zip(keys);
    let needed: Option<f64> =
        providers.map(|(provider, keys)| per_second(provider, *keys, Duration::MAX)).sum();
    let needed = needed.map(|needed| (needed * SLOW).ceil() as usize);
    let least = needed.unwrap_or(configured / 2).max(2).min(configured);
    let most = needed.map_or(usize::MAX, |needed| needed.saturating_mul(2)).max(configured);
    (least, most.min(most_workers(&config.collector)))
}

/// The lowest concurrency that uses up a quota while nothing queues.
fn least_concurrency(provider: &Configured, keys: usize, most: u32) -> u32 {
    let needed = per_second(provider, keys, Duration::MAX).map_or(2.0, |rate| (rate * QUEUED).ceil());
    (needed as u32).max(2).min(most)
}

/// Adds every knob to a driver.
pub(super) fn knobs(
    builder: DriverBuilder,
    config: &Config,
    providers: &[Arc<Provider>],
    workers: &Arc<Workers>,
    rhythm: &Arc<Rhythm>,
) -> DriverBuilder {
    let keys: Vec<usize> = providers.iter().map(|provider| provider.pool.stats().keys.len()).collect();
    let (least, most) = bounds_of_workers(config, &keys);
    let (get, set) = (Arc::clone(workers), Arc::clone(workers));
    let builder = builder.knob(
        whole("workers", least as f64, most as f64),
        move || get.get() as f64,
        move |value| {
            set.set(value as usize);
            Ok(())
        },
    );
    let mut builder = writing(builder, &config.collector, rhythm);
    for (at, provider) in providers.iter().enumerate() {
        if let Some(most) = provider.most_concurrency() {
            let least = least_concurrency(&config.providers[at], keys[at], most);
            let (low, high) = (f64::from(least), f64::from(most));
            let knob = whole(&signals::of_provider("concurrency", "", providers, at), low, high);
            let full = signals::of_provider("response", ".full_ms", providers, at);
            let by = config.collector.concurrency_by;
            builder = concurrency(builder, knob.unit("requests"), provider, by, &full);
        }
        if provider.pace().is_limited() {
            let knob =
                Knob::new(&signals::of_provider("pace", "", providers, at), 0.1, 1.0).unit("of the quota");
            let (get, set) = (Arc::clone(provider.pace()), Arc::clone(provider.pace()));
            builder = builder.knob(
                knob,
                move || get.share(),
                move |value| {
                    set.set_share(value);
                    Ok(())
                },
            );
        }
    }
    builder
}

fn concurrency(
    builder: DriverBuilder,
    knob: Knob,
    provider: &Arc<Provider>,
    by: ConcurrencyBy,
    response: &str,
) -> DriverBuilder {
    let (high, provider) = (knob.high, Arc::clone(provider));
    let get = move || high;
    let set = move |value: f64| {
        provider.set_concurrency(value as u32);
        Ok(())
    };
    match by {
        ConcurrencyBy::Gradient => builder.controlled(knob, get, set, Gradient::new(response)),
        ConcurrencyBy::Aimd => builder.controlled(knob, get, set, Aimd::new(response, TOO_SLOW_MS, 1.0)),
        ConcurrencyBy::Rules => builder.knob(knob, get, set),
    }
}

/// A knob of whole numbers, also where there is only one.
fn whole(name: &str, low: f64, high: f64) -> Knob {
    Knob::new(name, low, high).step((high - low).min(1.0))
}

/// The writer's four.
fn writing(builder: DriverBuilder, config: &Collector, rhythm: &Arc<Rhythm>) -> DriverBuilder {
    let (get, set) = (Arc::clone(rhythm), Arc::clone(rhythm));
    let group = config.group_commit;
    let builder = builder.knob(
        whole("batch", group.min(8) as f64, group.max(256) as f64).unit("commits"),
        move || get.group() as f64,
        move |value| {
            set.set_group(value as usize);
            Ok(())
        },
    );
    let (get, set) = (Arc::clone(rhythm), Arc::clone(rhythm));
    let builder = builder.knob(
        Knob::new("flush.linger", 0.0, config.linger.as_secs_f64().max(0.1)).unit("s"),
        move || get.linger().as_secs_f64(),
        move |value| {
            set.set_linger(Duration::from_secs_f64(value.max(0.0)));
            Ok(())
        },
    );
    let (get, set) = (Arc::clone(rhythm), Arc::clone(rhythm));
    let most = rhythm.buffer_bytes() as f64;
    let builder = builder.knob(
        Knob::new("buffer.rows.capacity", most.min(LEAST_BUFFER), most).unit("bytes"),
        move || get.buffer_bytes() as f64,
        move |value| {
            set.set_buffer_bytes(value as u64);
            Ok(())
        },
    );
    let (get, set) = (Arc::clone(rhythm), Arc::clone(rhythm));
    let every = config.publish_every.as_secs_f64();
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
    use tidemill_rate_limit::{Limit, Scope};

    use super::*;

    fn with(workers: usize, limits: Vec<Limit>) -> Config {
        let mut config = Config::default();
        config.collector.workers = workers;
        config.providers.push(Configured { limits, ..Configured::default() });
        config
    }

    #[test]
    fn workers_always_use_up_the_quota_and_never_wait_in_rows() {
        let limit = Limit::new(75, Duration::from_secs(10));
        let bounds = |workers, limits| bounds_of_workers(&with(workers, limits), &[4]);
        assert_eq!(bounds(32, vec![limit.clone()]), (30, 60), "four keys of 7.5 a second");
        let account = Limit { scope: Scope::Account, ..limit.clone() };
        assert_eq!(bounds(32, vec![limit.clone(), account]), (8, 32));
        assert_eq!(bounds(4, vec![limit.clone()]), (4, 16), "never above what is configured");
        assert_eq!(bounds(32, vec![Limit::new(5, Duration::from_secs(60))]), (2, 32), "a slow quota");
        assert_eq!(bounds(32, vec![]), (16, 64));
        assert_eq!(bounds(1, vec![]), (1, 16));
        let least = |limits: Vec<Limit>, most| {
            least_concurrency(&Configured { limits, ..Configured::default() }, 4, most)
        };
        assert_eq!((least(vec![limit.clone()], 20), least(vec![limit], 3), least(vec![], 20)), (8, 3, 2));
    }

    #[test]
    fn the_most_is_within_what_a_configuration_may_ask_for() {
        for (configured, most) in [(1, 16), (32, 64), (1000, 1024), (1024, 1024)] {
            assert_eq!(most_workers(&Collector { workers: configured, ..Collector::default() }), most);
        }
    }
}
