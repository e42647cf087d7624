//! A plan is run, shown, reported and judged.

use tidemill_load::{Plan, Preset};
use tidemill_shell::exit::{Exit, Failure};

use super::{bad_input, refused};
use crate::args::Load;
use crate::interrupt::Interrupt;
use crate::live::Live;
use crate::outcome::Outcome;
use crate::plans;
use crate::report::{Content, Load as Loaded, Reports};
use crate::surroundings::Surroundings;

pub(super) fn preset(preset: Preset, args: &Load, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let plan = plans::preset(preset, args).map_err(bad_input)?;
    load(&plan, &args.reports, surroundings)
}

pub(super) fn load(plan: &Plan, reports: &Reports, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let interrupt = Interrupt::listen()?;
    let mut live = Live::new(surroundings);
    let summary = interrupt.run(plan, &mut |progress| live.show(progress));
    live.clear();
    let summary = summary.map_err(refused)?;
    let exit = Exit::from(Outcome::of(&summary));
    surroundings.publish(Content::Run(Box::new(Loaded { summary })), reports)?;
    Ok(exit)
}
