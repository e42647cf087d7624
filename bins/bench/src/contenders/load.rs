//! A turn of load: a short run of a plan, and the figures it is compared by.

use std::time::Duration;

use anyhow::Result;
use tidemill_load::{Ended, Plan, Progress, Summary};

use super::measured::{Figure, Measured};
use crate::interrupt::Interrupt;
use crate::plans;

/// What turns of load are compared by. `server.cpu` is the server's processor time a request, where it is sampled.
pub const FIGURES: &[Figure] = &[
    Figure::cost("response.p50", "ms"),
    Figure::cost("response.mean", "ms"),
    Figure::cost("response.p90", "ms"),
    Figure::cost("response.p99", "ms"),
    Figure::cost("service.p50", "ms"),
    Figure::rate("rate", "1/s"),
    Figure::cost("server.cpu", "us"),
];

/// Runs the plan for so long, without a warm-up: the caller plays a turn of each side first that is not counted.
///
/// # Errors
/// What makes the plan impossible to run.
pub fn turn(
    plan: &Plan,
    length: Duration,
    live: &mut dyn FnMut(&Progress<'_>),
    interrupt: &Interrupt,
) -> Result<Measured> {
    let mut plan = plan.clone();
    let time = length.as_secs_f64() / plan.duration().as_secs_f64();
    plans::stretch(&mut plan, 1.0, time);
    plan.load.warm_up = Duration::ZERO;
    plan.load.drain = plan.load.drain.min(Duration::from_secs(2));
    plan.record.path = None;
    let summary = interrupt.run(&plan, live)?;
    Ok(measured(&summary))
}

fn measured(summary: &Summary) -> Measured {
    let response = &summary.response;
    let ms = |us: f64| us / 1e3;
    let cores =
        summary.server.iter().map(|sample| sample.cpu_cores).sum::<f64>() / summary.server.len() as f64;
    let cpu_us = 1e6 * cores * summary.counted_s / summary.totals.ended as f64;
    Measured {
        values: vec![
            ms(response.p50_us),
            ms(response.mean_us),
            ms(response.p90_us),
            ms(response.p99_us),
            ms(summary.service.p50_us),
            summary.totals.ok as f64 / summary.counted_s.max(1e-9),
            cpu_us,
        ],
        invalid: (!summary.verdict.valid).then(|| summary.verdict.to_string()),
        interrupted: summary.ended == Ended::Cancelled,
    }
}
