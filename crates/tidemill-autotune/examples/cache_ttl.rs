//! A cache whose entries live too short: the rule tries a longer life, and keeps it because it helps.

#![expect(clippy::print_stdout, reason = "an example talks")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_autotune::{Config, Driver, Knob, Random, Rule};

fn main() -> Result<(), tidemill_autotune::Error> {
    let ttl_s = Arc::new(AtomicU64::new(60));
    let mut rule = Rule::new("cache-misses", "cache.hit_percent < 60 for 3", &["cache.prices.ttl * 1.5"])?;
    rule.objective = Some("cache.hit_percent higher".parse()?);
    rule.cooldown = Duration::from_secs(60);
    let config =
        Config { rule: vec![rule], builtin: false, block_steps: 5, washout_steps: 1, ..Config::default() };

    let (get, set, seen) = (Arc::clone(&ttl_s), Arc::clone(&ttl_s), Arc::clone(&ttl_s));
    let noise = Mutex::new(Random::new(1));
    let mut driver = Driver::builder(config)
        .knob(
            Knob::new("cache.prices.ttl", 1.0, 3600.0).unit("s").step(1.0),
            move || get.load(Ordering::Relaxed) as f64,
            move |value| {
                set.store(value as u64, Ordering::Relaxed);
                Ok(())
            },
        )
        .signal("cache.hit_percent", move || {
            let ttl = seen.load(Ordering::Relaxed) as f64;
            let noise = noise.lock().map_or(0.0, |mut random| random.normal());
            Some(100.0 * ttl / (ttl + 60.0) + noise)
        })
        .build()?;
    // An hour, a step a second; a program would sleep in between.
    for second in 0..3600 {
        driver.tick(Duration::from_secs(second));
        for record in driver.take_records() {
            println!("{:>5} s  {}", record.at.as_secs(), record.words());
        }
    }
    println!("entries live {} s", ttl_s.load(Ordering::Relaxed));
    Ok(())
}
