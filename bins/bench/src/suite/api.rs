//! 50 round trips to a provider.

use std::time::{Duration, Instant};

use anyhow::Result;
use tidemill_sandbox::{Faults, Latency};

use super::figure::{Figure, Part};
use super::provider;
use crate::statistics::sample::Five;

/// How many requests the guide makes.
const CALLS: usize = 50;
/// What the guide's own stand-in for a provider takes.
const LATENCY: Duration = Duration::from_millis(100);

pub(super) fn part() -> Result<Part> {
    let times = provider::runtime()?.block_on(async {
        let sandbox = provider::start(Latency::Fixed { delay: LATENCY }, Faults::none()).await?;
        let mut times = Vec::with_capacity(CALLS);
        for symbol in provider::symbols(CALLS) {
            let begun = Instant::now();
            provider::ask(sandbox.addr(), symbol).await?;
            times.push(begun.elapsed().as_secs_f64());
        }
        provider::end(sandbox).await;
        anyhow::Ok(times)
    })?;
    let five = Five::of(&times);
    let own = (five.median - LATENCY.as_secs_f64()) * 1e3;
    Ok(Part {
        name: "api".into(),
        what: format!("{CALLS} requests to the sandbox, which takes {} ms for each", LATENCY.as_millis()),
        figures: vec![
            Figure::cost("mean", five.mean, "s").graded(3.0, 5.0),
            Figure::cost("min", five.min, "s"),
            Figure::cost("max", five.max, "s"),
            Figure::cost("median", five.median, "s"),
            Figure::cost("standard deviation", five.deviation, "s"),
            Figure::cost("beyond the provider's own time", own, "ms"),
        ],
    })
}
