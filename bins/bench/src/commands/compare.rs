//! `compare`: B against A in interleaved turns.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use tidemill_load::{Model, Plan, Shape};
use tidemill_shell::exit::{Exit, Failure, OrExit as _};

use super::{bad_input, run};
use crate::args::Compare as Args;
use crate::compare::{Judge, MAX_PAIRS, MIN_PAIRS, Side, Turn, Verdict};
use crate::contenders::{
    Contest, Ended, Figure, Kind, LOAD_FIGURES, Measured, Served, TIMED_FIGURES, contest, kind, timed, turn,
};
use crate::interrupt::Interrupt;
use crate::live::Live;
use crate::plans;
use crate::report::{self, Beside, Compared, Content};
use crate::surroundings::Surroundings;

pub(super) fn compare(args: &Args, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let kind = kind(&args.a, &args.b).map_err(bad_input)?;
    let figures = if kind == Kind::Timed { TIMED_FIGURES } else { LOAD_FIGURES };
    let decides = check(args, figures).map_err(bad_input)?;
    let interrupt = Interrupt::listen()?;
    let mut live = Live::new(surroundings);
    let found = match kind {
        Kind::Timed => {
            let play = |turn: Turn| timed(pick(turn.side, &args.a, &args.b), args.turn, &interrupt);
            played(args, figures, &mut live, play).or_exit(Exit::BAD_INPUT)?
        }
        Kind::Address | Kind::Scenario | Kind::Served => {
            let sides = sides(kind, args, &interrupt, surroundings)?;
            let play = |at: Turn| {
                let side = pick(at.side, &sides.0, &sides.1);
                turn(&side.plan, args.turn, &mut |_| {}, &interrupt)
            };
            played(args, figures, &mut live, play).or_exit(Exit::BAD_INPUT)?
        }
    };
    live.clear();
    let compared = compared(args, figures, decides, &found);
    let exit = exit(&compared);
    surroundings.publish(Content::Comparison(Box::new(compared)), &args.reports)?;
    Ok(exit)
}

fn pick<'a, T: ?Sized>(side: Side, a: &'a T, b: &'a T) -> &'a T {
    match side {
        Side::A => a,
        Side::B => b,
    }
}

/// The figure that decides, by its place.
fn check(args: &Args, figures: &[Figure]) -> Result<usize> {
    if !(MIN_PAIRS..=MAX_PAIRS).contains(&args.pairs) {
        bail!("--pairs {}: a verdict needs {MIN_PAIRS} to {MAX_PAIRS}", args.pairs);
    }
    if args.turn < Duration::from_millis(10) || args.turn > Duration::from_secs(3600) {
        bail!("--turn must be between 10ms and 1h");
    }
    if !(50.0..=99.9).contains(&args.level) || !(0.0..1000.0).contains(&args.margin) {
        bail!("--level must be between 50 and 99.9 percent, --margin between 0 and 1000");
    }
    let Some(metric) = &args.metric else { return Ok(0) };
    figures.iter().position(|figure| figure.name == metric).ok_or_else(|| {
        let known: Vec<&str> = figures.iter().map(|figure| figure.name).collect();
        anyhow!("--metric {metric} is not known here; there are: {}", known.join(", "))
    })
}

fn played(
    args: &Args,
    figures: &[Figure],
    live: &mut Live,
    mut play: impl FnMut(Turn) -> Result<Measured>,
) -> Result<Contest> {
    let (total, begun) = (args.pairs * 4 + 2, Instant::now());
    let mut done = 0;
    contest(figures, args.pairs, |turn| {
        let measured = play(turn)?;
        done += 1;
        let left = begun.elapsed().as_secs_f64() / done as f64 * (total - done) as f64;
        live.step(done, total, left, &format!("pair {} of {}", turn.pair + 1, args.pairs));
        Ok(measured)
    })
}

/// A plan, and the server it is for when we started it.
struct Contender {
    plan: Plan,
    _server: Option<Served>,
}

fn sides(
    kind: Kind,
    args: &Args,
    interrupt: &Interrupt,
    surroundings: &Surroundings,
) -> Result<(Contender, Contender), Failure> {
    let make = |what: &str| -> Result<Contender, Failure> {
        match kind {
            Kind::Scenario => {
                let mut plan = run::scenario(Path::new(what), &[], surroundings)?;
                plans::request(&mut plan, &args.request).map_err(bad_input)?;
                plans::allowed(&mut plan, &args.safety).map_err(bad_input)?;
                Ok(Contender { plan, _server: None })
            }
            Kind::Served => {
                let server = Served::start(what, interrupt).or_exit(Exit::BAD_INPUT)?;
                let mut plan =
                    plan(&args.url.replace("{port}", &server.port().to_string()), args).map_err(bad_input)?;
                (plan.server.auto, plan.server.pid) = (false, Some(server.pid()));
                Ok(Contender { plan, _server: Some(server) })
            }
            Kind::Address | Kind::Timed => {
                Ok(Contender { plan: plan(what, args).map_err(bad_input)?, _server: None })
            }
        }
    };
    Ok((make(&args.a)?, make(&args.b)?))
}

/// A constant load; its length is stretched to the turn's.
fn plan(url: &str, args: &Args) -> Result<Plan> {
    let mut plan = Plan::new(url, Shape::constant(args.rate.unwrap_or(args.users), args.turn));
    plan.name = "compare".to_owned();
    if args.rate.is_none() {
        plan.load.model = Model::Closed;
    }
    plans::request(&mut plan, &args.request)?;
    plans::allowed(&mut plan, &args.safety)?;
    Ok(plan)
}

fn compared(args: &Args, figures: &[Figure], decides: usize, found: &Contest) -> Compared {
    let judge = |figure: &Figure| Judge {
        level: args.level / 100.0,
        margin: args.margin / 100.0,
        ..Judge::new(figure.better)
    };
    let side =
        |what: &str, n: usize| report::Side { what: what.to_owned(), label: args.names.get(n).cloned() };
    let beside = figures.iter().enumerate().filter(|(n, _)| *n != decides).filter_map(|(n, figure)| {
        let comparison = found.judged(n, &judge(figure))?;
        Some(Beside { metric: figure.name.to_owned(), unit: figure.unit.to_owned(), comparison })
    });
    let finite = |pair: &&crate::compare::Pair| pair.a.iter().chain(&pair.b).all(|value| value.is_finite());
    Compared {
        a: side(&args.a, 0),
        b: side(&args.b, 1),
        turn_s: args.turn.as_secs_f64(),
        metric: figures[decides].name.to_owned(),
        unit: figures[decides].unit.to_owned(),
        // JSON has no number for a turn that measured nothing.
        pairs: found.pairs[decides].iter().filter(finite).copied().collect(),
        comparison: found.judged(decides, &judge(&figures[decides])),
        beside: beside.collect(),
        invalid: found.invalid.clone(),
        interrupted: found.ended == Ended::Interrupted,
    }
}

fn exit(compared: &Compared) -> Exit {
    match &compared.comparison {
        _ if compared.interrupted => Exit::STOPPED,
        None => Exit::INVALID,
        Some(_) if !compared.invalid.is_empty() => Exit::INVALID,
        Some(comparison) if comparison.verdict == Verdict::Worse => Exit::REGRESSION,
        Some(_) => Exit::COMPLETE,
    }
}
