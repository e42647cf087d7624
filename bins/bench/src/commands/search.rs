//! `search`: the largest rate that keeps the promises.

use std::time::Duration;

use anyhow::Result;
use tidemill_load::{Ended, Plan, Probe, Search, SearchConfig, SearchEnd, Shape, Summary};
use tidemill_shell::exit::{Exit, Failure};

use super::{bad_input, refused};
use crate::args::{Promises, Search as Args};
use crate::interrupt::Interrupt;
use crate::live::Live;
use crate::plans;
use crate::report::{Content, Found, number};
use crate::surroundings::Surroundings;

/// What a rate must keep when nobody says.
const PROMISES: [&str; 2] = ["response.p99<1s", "errors<0.1%"];

pub(super) fn search(args: &Args, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let plan = plan(args).map_err(bad_input)?;
    let config = SearchConfig {
        low: args.low,
        high: args.high,
        tolerance: args.tolerance / 100.0,
        probes: args.probes,
        probe: args.probe_time,
        warm_up: args.request.warm_up.unwrap_or(Duration::from_secs((args.probe_time.as_secs() / 5).max(1))),
    };
    let mut search = Search::new(config.clone()).map_err(refused)?;
    let interrupt = Interrupt::listen()?;
    let mut live = Live::new(surroundings);
    let mut best: Option<(f64, Summary)> = None;
    let mut interrupted = false;
    while let Some(rate) = search.rate() {
        live.title(format!("probe {} at {} a second", search.capacity().probes.len() + 1, number(rate)));
        let summary = interrupt.run(&probe(&plan, rate, &config), &mut |p| live.show(p)).map_err(refused)?;
        if summary.ended == Ended::Cancelled {
            interrupted = true;
            break;
        }
        // A stop rule ends a probe early: that rate is too much.
        let kept = summary.ended == Ended::Finished && summary.passed();
        let achieved = summary.totals.ok as f64 / summary.counted_s.max(1e-9);
        search.record(Probe { rate, kept, achieved, conclusive: summary.verdict.valid });
        if kept && summary.verdict.valid && best.as_ref().is_none_or(|(so_far, _)| rate > *so_far) {
            best = Some((rate, summary));
        }
    }
    live.clear();
    let capacity = search.capacity();
    let exit = exit(&capacity.ended, capacity.rate, interrupted);
    let found =
        Found { target: args.url.clone(), capacity, best: best.map(|(_, summary)| summary), interrupted };
    surroundings.publish(Content::Search(Box::new(found)), &args.reports)?;
    Ok(exit)
}

fn exit(ended: &SearchEnd, rate: Option<f64>, interrupted: bool) -> Exit {
    match (interrupted, ended, rate) {
        (true, ..) => Exit::STOPPED,
        (_, SearchEnd::GeneratorLimit, _) => Exit::INVALID,
        (_, _, None) => Exit::THRESHOLD_MISSED,
        _ => Exit::COMPLETE,
    }
}

fn plan(args: &Args) -> Result<Plan> {
    let mut plan = Plan::new(&args.url, Shape::constant(args.high, Duration::from_secs(1)));
    plan.name = "search".to_owned();
    plan.load.connections = 256;
    plans::request(&mut plan, &args.request)?;
    plans::promises(&mut plan, &args.promises)?;
    if plan.pass.0.is_empty() {
        let asked = Promises { pass: PROMISES.map(str::to_owned).to_vec(), ..Promises::default() };
        plans::promises(&mut plan, &asked)?;
    }
    plans::allowed(&mut plan, &args.safety)?;
    Ok(plan)
}

fn probe(plan: &Plan, rate: f64, config: &SearchConfig) -> Plan {
    let mut probe = plan.clone();
    probe.load.shape = Shape::constant(rate, config.warm_up + config.probe);
    probe.load.warm_up = config.warm_up;
    probe.load.drain = Duration::from_secs(2);
    probe
}
