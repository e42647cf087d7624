//! A command timed from start to end: the processor time it burnt, and how long it took.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};

use super::measured::{Figure, Measured};
use super::pair::words;
use crate::interrupt::Interrupt;

/// What timed commands are compared by.
pub const FIGURES: &[Figure] = &[Figure::cost("cpu", "ms"), Figure::cost("wall", "ms")];

/// Runs the command again and again until the turn is over, at least once, and reports the mean of a run.
///
/// # Errors
/// When it cannot be started, or ends with an error: what fails must not win.
pub fn timed(line: &str, length: Duration, interrupt: &Interrupt) -> Result<Measured> {
    let words = words(line)?;
    let begun = Instant::now();
    let mut runs = 0;
    let before = children()?;
    while runs == 0 || begun.elapsed() < length {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status().with_context(|| format!("cannot start {}", words[0]))?;
        if interrupt.is_set() {
            return Ok(Measured { interrupted: true, ..Measured::default() });
        }
        if !status.success() {
            bail!("{line} ended with {status}; only commands that succeed are compared");
        }
        runs += 1;
    }
    let runs = f64::from(runs);
    let values = vec![1e3 * (children()? - before) / runs, 1e3 * begun.elapsed().as_secs_f64() / runs];
    Ok(Measured { values, ..Measured::default() })
}

/// Processor seconds, user and system, of all children that were waited for.
fn children() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot read the children's processor time")?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}
