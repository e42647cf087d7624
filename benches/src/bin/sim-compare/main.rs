//! Comparisons on trial: shares of 400 that call a change where nothing changed, and that find one of 5 %.
//!
//! `--recorded FILE` replays other turns than those of `benches/data/turns.csv` (`soak-compare --record FILE` makes one).

mod machines;

use tidemill_bench::compare::{Better, Comparison, Judge, Pair, Side, Verdict, compare, order};
use tidemill_bench::statistics::random::Random;
use tidemill_benches::{Better as Way, Row, Samples, UnitKind};

use machines::{Machine, Replayed, Turns, simulated};

const TRIALS: u64 = 400;
const PAIRS: usize = 10;
/// B of the second experiment is so much slower.
const SLOWER: f64 = 1.05;
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/turns.csv");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file =
        std::env::args().skip_while(|arg| arg != "--recorded").nth(1).unwrap_or_else(|| RECORDED.to_owned());
    let recorded = Replayed::read(&file)?;
    for (name, machine) in simulated() {
        trials(name, |seed| Turns::Simulated(Machine::new(machine, seed)))?;
    }
    trials("replayed turns", |seed| Turns::Replayed(recorded.from(Random::new(seed).below(recorded.len()))))?;
    Ok(())
}

/// Both experiments on one kind of machine, as rows.
fn trials(name: &str, turns: impl Fn(u64) -> Turns) -> Result<(), Box<dyn std::error::Error>> {
    let judged = |seed: u64, factor: f64| trial(&mut turns(seed), factor);
    let same: Vec<Comparison> = (0..TRIALS).map(|seed| judged(seed, 1.0)).collect::<Result<_, _>>()?;
    let slower: Vec<Comparison> = (0..TRIALS).map(|seed| judged(seed, SLOWER)).collect::<Result<_, _>>()?;
    let share = |found: &[Comparison], is: fn(&Comparison) -> bool| {
        let hits = found.iter().filter(|comparison| is(comparison)).count();
        Samples::from_iter([hits as f64 / found.len() as f64])
    };
    let changed = |comparison: &Comparison| !matches!(comparison.verdict, Verdict::NoDifference { .. });
    let rows = [
        ("nothing changed, called a change", share(&same, changed), Way::Lower, Some(0.05)),
        ("5 % slower, found", share(&slower, |c| c.verdict == Verdict::Worse), Way::Higher, Some(0.9)),
        (
            "5 % slower, interval holds the truth",
            share(&slower, |c| (c.low..=c.high).contains(&0.05)),
            Way::Higher,
            None,
        ),
    ];
    for (what, share, way, goal) in rows {
        let row = Row::new("compare", &format!("{name}: {what}"), "share of 400", UnitKind::Count, way)
            .ours(&share);
        goal.map_or(row.clone(), |goal| row.goal(goal)).emit()?;
    }
    let width: Samples = same.iter().map(|comparison| 50.0 * (comparison.high - comparison.low)).collect();
    Row::new("compare", &format!("{name}: half width of the interval"), "%", UnitKind::Count, Way::Lower)
        .ours(&width)
        .emit()?;
    Ok(())
}

fn trial(turns: &mut Turns, factor: f64) -> Result<Comparison, tidemill_bench::compare::Unfit> {
    let mut pairs = vec![Pair { a: [0.0; 2], b: [0.0; 2] }; PAIRS];
    for turn in order(PAIRS) {
        let value = turns.next();
        match turn.side {
            Side::A => pairs[turn.pair].a[turn.slot] = value,
            Side::B => pairs[turn.pair].b[turn.slot] = value * factor,
        }
    }
    compare(&pairs, &Judge::new(Better::Lower))
}
