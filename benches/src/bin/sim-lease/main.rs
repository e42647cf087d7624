//! Owners of one key that are paused, killed and cut off, with the real limiter and the real rules of leases, and what the
//! server then counts: `cargo xtask sim lease`.

mod owner;
mod world;

use std::time::Duration;

use tidemill_benches::{Better, Row, Samples, UnitKind};

use self::world::{Broken, Fault, Outcome, QUOTA, RESERVE, World};

/// Runs of each kind.
const SEEDS: u64 = 1000;

fn main() -> std::io::Result<()> {
    let minute = Duration::from_secs(60);
    let kinds = [
        ("paused for 60 s", Fault::Pause(minute)),
        ("killed", Fault::Kill),
        ("cut off from the store for 60 s", Fault::CutOff(minute)),
    ];
    for (case, fault) in kinds {
        let runs = all(fault, Broken::Nothing);
        let bound = f64::from(QUOTA + RESERVE);
        worst(&format!("holder {case}, {SEEDS} seeds"), &runs, Some(bound))?;
        let takeovers: u64 = runs.iter().map(|run| run.takeovers).sum();
        count(&format!("holder {case}, takeovers"), takeovers, Better::Higher, Some(SEEDS as f64))?;
        let counted: usize = runs.iter().map(|run| run.counted).sum();
        let share = 100.0 * counted as f64 / (SEEDS as f64 * World::allowed());
        row(&format!("holder {case}, used of the quota"), "%", Better::Higher).ours(&one(share)).emit()?;
    }
    for (case, fault, broken) in [
        ("paused, no wait at the takeover (the control)", kinds[0].1, Broken::Guard),
        ("killed, no wait at the takeover (the control)", kinds[1].1, Broken::Guard),
        ("paused, sends without asking (the control)", kinds[0].1, Broken::MayAct),
        ("cut off, sends without asking (the control)", kinds[2].1, Broken::MayAct),
    ] {
        let runs = all(fault, broken);
        worst(&format!("holder {case}"), &runs, None)?;
        let above = runs.iter().filter(|run| run.fullest > QUOTA + RESERVE).count() as u64;
        count(&format!("holder {case}, runs above the bound"), above, Better::Higher, Some(100.0))?;
    }
    Ok(())
}

fn all(fault: Fault, broken: Broken) -> Vec<Outcome> {
    (0..SEEDS).map(|seed| World::new(seed, fault, broken).run()).collect()
}

fn worst(case: &str, runs: &[Outcome], bound: Option<f64>) -> std::io::Result<()> {
    let most = runs.iter().map(|run| run.fullest).max().unwrap_or(0);
    count(&format!("{case}: most in any window"), u64::from(most), Better::Lower, bound)
}

fn count(case: &str, value: u64, better: Better, goal: Option<f64>) -> std::io::Result<()> {
    let row = row(case, "count", better).ours(&one(value as f64));
    goal.map_or(row.clone(), |goal| row.goal(goal)).emit()
}

fn row(case: &str, unit: &str, better: Better) -> Row {
    Row::new("lease", case, unit, UnitKind::Count, better)
}

fn one(value: f64) -> Samples {
    [value].into_iter().collect()
}
