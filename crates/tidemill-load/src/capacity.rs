//! Drives a capacity search: one run a probe, judged by the plan's promises and by whether the server kept up.

use crate::error::Error;
use crate::plan::{Model, Plan};
use crate::run::{Cancel, run};
use crate::search::{Capacity, Probe, Search, SearchConfig};
use crate::shape::Shape;
use crate::slice::Progress;
use crate::summary::{Ended, Summary};

/// Finds the largest rate at which the plan's promises hold; the plan's own shape is replaced by a constant one. A rate
/// also counts as broken when less than it was answered, for then a backlog grows whatever the percentiles of so short
/// a probe say. `probed` sees each probe with its summary.
///
/// # Errors
/// As [`run`], and when the range and the probes do not fit.
pub fn search(
    plan: &Plan,
    config: &SearchConfig,
    probed: &mut dyn FnMut(&Probe, &Summary),
    progress: &mut dyn FnMut(&Progress<'_>),
    cancel: &Cancel,
) -> Result<Capacity, Error> {
    let mut search = Search::new(config.clone())?;
    let mut plan = plan.clone();
    plan.load.model = Model::Open;
    plan.load.warm_up = config.warm_up;
    plan.load.drain = plan.load.drain.min(config.probe);
    while let Some(rate) = search.rate() {
        plan.load.shape = Shape::constant(rate, config.warm_up + config.probe);
        let summary = run(&plan, progress, cancel)?;
        if summary.ended == Ended::Cancelled {
            break;
        }
        let probe = judge(rate, config, &summary);
        probed(&probe, &summary);
        search.record(probe);
    }
    Ok(search.capacity())
}

/// What a run says about its rate.
fn judge(rate: f64, config: &SearchConfig, summary: &Summary) -> Probe {
    // What ended after the end had waited; the rate counts what ended in time.
    let achieved = summary.totals.rate * summary.totals.ok as f64 / summary.totals.ended.max(1) as f64;
    let kept_up = achieved >= rate * (1.0 - 0.5 * config.tolerance);
    let kept = summary.passed() && kept_up && summary.ended == Ended::Finished;
    // An overloaded server makes nobody late but itself; only a rate that seems kept needs a generator that kept it.
    Probe { rate, kept, achieved, conclusive: summary.verdict.valid || !kept_up }
}
