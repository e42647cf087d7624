//! The first SIGINT or SIGTERM ends the run and its report is written; the second ends the process at once.

use anyhow::{Context as _, Result};
use tidemill_load::{Cancel, Ended, Plan, Progress, Summary};
use tidemill_shell::exit::Exit;
use tidemill_shell::signals::Shutdown;

/// Tells a run that somebody wants it to end.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    cancel: Cancel,
}

impl Interrupt {
    /// Listens for signals on a thread of its own until the process ends.
    ///
    /// # Errors
    /// When the operating system refuses the thread or a handler.
    pub fn listen() -> Result<Self> {
        let interrupt = Self::default();
        let (shutdown, heard) = (interrupt.clone(), std::sync::mpsc::channel());
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || listen(&shutdown, &heard.0))
            .context("cannot start the thread that listens for signals")?;
        heard.1.recv().context("cannot listen for signals")??;
        Ok(interrupt)
    }

    /// Runs a plan until its end or a signal's. A run that a signal ends while nothing is under way says so too.
    ///
    /// # Errors
    /// What makes the plan impossible to run.
    pub fn run(
        &self,
        plan: &Plan,
        progress: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<Summary, tidemill_load::Error> {
        let mut summary = tidemill_load::run(plan, progress, &self.cancel)?;
        if self.is_set() && summary.ended == Ended::Finished {
            summary.ended = Ended::Cancelled;
        }
        Ok(summary)
    }

    /// Whether somebody wants an end.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.cancel.is_cancelled()
    }
}

fn listen(interrupt: &Interrupt, heard: &std::sync::mpsc::Sender<Result<()>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return heard.send(Err(error.into())).unwrap_or(()),
    };
    runtime.block_on(async {
        let shutdown = match Shutdown::listen() {
            Ok(shutdown) => shutdown,
            Err(error) => return heard.send(Err(error.into())).unwrap_or(()),
        };
        // The receiver waits for this one message.
        heard.send(Ok(())).ok();
        shutdown.draining().await;
        interrupt.cancel.cancel();
        shutdown.immediate().await;
        std::process::exit(i32::from(Exit::STOPPED.code()));
    });
}
