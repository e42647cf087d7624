//! `run`: a scenario from a file, with the environment and flags above it.

use std::path::Path;

use anyhow::anyhow;
use tidemill_load::Plan;
use tidemill_shell::config::{self as layers, Flag, Sources};
use tidemill_shell::exit::{Exit, Failure};

use super::{bad_input, load};
use crate::args::Run;
use crate::plans;
use crate::surroundings::{Surroundings, print};

pub(super) fn run(args: &Run, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let mut plan = scenario(&args.scenario, &args.set, surroundings)?;
    plans::promises(&mut plan, &args.promises).map_err(bad_input)?;
    plans::allowed(&mut plan, &args.safety).map_err(bad_input)?;
    if args.check {
        print(&format!(
            "{}: {} for {}\n",
            args.scenario.display(),
            plan.target.url,
            humantime::format_duration(plan.duration())
        ));
        return Ok(Exit::COMPLETE);
    }
    load::load(&plan, &args.reports, surroundings)
}

/// Reads a scenario: file, then environment, then flags. It is named after its file when it has no name.
pub(super) fn scenario(path: &Path, set: &[String], surroundings: &Surroundings) -> Result<Plan, Failure> {
    let mut sources = Sources::new(surroundings.env.clone()).file(path);
    sources.not_fields = vec!["TIDEMILL_LOG"];
    for setting in set {
        let (field, value) = setting.split_once('=').ok_or_else(|| {
            bad_input(anyhow!("--set {setting} has no value; write it as --set load.timeout=5s"))
        })?;
        sources = sources.flag(Flag::new(field, value).named("--set"));
    }
    let mut plan = layers::load::<Plan>(sources).map_err(bad_input)?.value;
    if plan.name.is_empty() {
        plan.name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    }
    // Files named in a scenario stand beside it.
    let base = path.parent().unwrap_or(Path::new(""));
    if let Some(data) = &mut plan.data {
        data.path = base.join(&data.path);
    }
    if let tidemill_load::Shape::Replay { path, .. } = &mut plan.load.shape {
        *path = base.join(&*path);
    }
    if let Some(ca) = &mut plan.target.ca {
        *ca = base.join(&*ca);
    }
    Ok(plan)
}
