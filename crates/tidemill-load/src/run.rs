//! Runs a plan on threads of its own and says what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Error;
use crate::plan::Plan;
use crate::slice::Progress;
use crate::summary::Summary;

/// Ends a run from elsewhere: what is under way may end within the plan's drain time, and the summary says `cancelled`.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A handle that has not been used.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the runs that were given this handle or a clone of it; they look at least four times a second.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody did.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs a plan to its end. It blocks: it starts `load.threads` threads, calls `progress` once a second from the calling
/// thread, and joins all before it returns.
///
/// # Errors
/// Only what makes the plan impossible to run, before the first request; what goes wrong later is in the summary.
pub fn run(plan: &Plan, progress: &mut dyn FnMut(&Progress<'_>), cancel: &Cancel) -> Result<Summary, Error> {
    _ = (progress, cancel);
    plan.pass.check()?;
    plan.stop.check()?;
    Err(Error::feature(plan.target.url.clone(), "engine"))
}
