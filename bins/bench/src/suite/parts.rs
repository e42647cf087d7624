//! Which parts the suite has, and how they are run one after the other.

use anyhow::{Result, bail};

use super::figure::{Part, Suite};
use super::{api, before_after, concurrency, data, memory, storage};
use crate::interrupt::Interrupt;

/// A part by name, and what runs it.
pub type Name = (&'static str, fn() -> Result<Part>);

/// All parts, in the order they run.
const PARTS: &[Name] = &[
    ("api", api::part),
    ("data", data::part),
    ("storage", storage::part),
    ("memory", memory::part),
    ("concurrency", concurrency::part),
    ("before-after", before_after::part),
];

/// The parts of these names, all without any.
///
/// # Errors
/// A name that is none, with those there are.
pub fn chosen(only: &[String]) -> Result<Vec<Name>> {
    for name in only {
        if !PARTS.iter().any(|(known, _)| known == name) {
            let known: Vec<&str> = PARTS.iter().map(|(known, _)| *known).collect();
            bail!("--only {name}: there is no such part; there are: {}", known.join(", "));
        }
    }
    Ok(PARTS
        .iter()
        .filter(|(name, _)| only.is_empty() || only.iter().any(|one| one == name))
        .copied()
        .collect())
}

/// Runs them; a signal ends the suite after the part that is under way.
///
/// # Errors
/// The first part that cannot be run.
pub fn run(parts: &[Name], interrupt: &Interrupt, progress: &mut dyn FnMut(usize, &str)) -> Result<Suite> {
    let mut suite = Suite::default();
    for (done, (name, part)) in parts.iter().enumerate() {
        progress(done, name);
        if interrupt.is_set() {
            suite.interrupted = true;
            break;
        }
        suite.parts.push(part()?);
    }
    Ok(suite)
}
