//! `suite`: what our own parts do on this machine.

use tidemill_shell::exit::{Exit, Failure};

use super::bad_input;
use crate::args::Suite as Args;
use crate::interrupt::Interrupt;
use crate::live::Live;
use crate::report::{Content, Document};
use crate::suite;
use crate::surroundings::Surroundings;

pub(super) fn suite(args: &Args, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let parts = suite::chosen(&args.only).map_err(bad_input)?;
    let earlier = match &args.earlier {
        Some(path) => match Document::read(path).map_err(bad_input)?.content {
            Content::Suite(earlier) => Some(earlier),
            _ => return Err(bad_input(anyhow::anyhow!("{} is no report of suite", path.display()))),
        },
        None => None,
    };
    let interrupt = Interrupt::listen()?;
    let mut live = Live::new(surroundings);
    let mut found =
        suite::run(&parts, &interrupt, &mut |done, name| live.step(done, parts.len(), 0.0, name))?;
    live.clear();
    found.noticeable = args.noticeable / 100.0;
    if let Some(earlier) = &earlier {
        found.beside(earlier);
    }
    let exit = match () {
        () if found.interrupted => Exit::STOPPED,
        () if !found.slower().is_empty() => Exit::REGRESSION,
        () if found.needs_work() => Exit::THRESHOLD_MISSED,
        () => Exit::COMPLETE,
    };
    surroundings.publish(Content::Suite(Box::new(found)), &args.reports)?;
    Ok(exit)
}
