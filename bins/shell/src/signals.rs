//! The first SIGTERM or SIGINT asks for a drain, the second for an end at once.

use tokio::sync::watch;

/// Tells when to stop. Clones see the same signals.
#[derive(Clone, Debug)]
pub struct Shutdown {
    stage: watch::Receiver<Stage>,
}

/// Asks for a stop without a signal: in tests, or when a fatal error ends a run. Dropping it changes nothing.
#[derive(Clone, Debug)]
pub struct Trigger {
    stage: watch::Sender<Stage>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Running,
    Draining,
    Immediate,
}

impl Shutdown {
    /// Listens for SIGTERM and SIGINT (elsewhere Ctrl-C) on a task of the current tokio runtime, until the process ends.
    ///
    /// # Errors
    /// When the operating system refuses a handler.
    pub fn listen() -> std::io::Result<Self> {
        let (shutdown, trigger) = Self::manual();
        let mut signals = Signals::new()?;
        tokio::spawn(async move {
            while let Some(name) = signals.next().await {
                let drains = !trigger.is_draining();
                tracing::info!(
                    signal = name,
                    "{}",
                    if drains { "draining; once more to stop at once" } else { "stopping" }
                );
                trigger.stop();
            }
        });
        Ok(shutdown)
    }

    /// Without signals: only the trigger stops it.
    pub fn manual() -> (Self, Trigger) {
        let (send, receive) = watch::channel(Stage::Running);
        (Self { stage: receive }, Trigger { stage: send })
    }

    /// Whether to take up nothing new.
    pub fn is_draining(&self) -> bool {
        *self.stage.borrow() >= Stage::Draining
    }

    /// Whether to end at once.
    pub fn is_immediate(&self) -> bool {
        *self.stage.borrow() >= Stage::Immediate
    }

    /// Ends when a drain is asked for; at once when it was asked for before. Cancel safe.
    pub async fn draining(&self) {
        self.reached(Stage::Draining).await;
    }

    /// Ends when an end at once is asked for. Cancel safe.
    pub async fn immediate(&self) {
        self.reached(Stage::Immediate).await;
    }

    async fn reached(&self, wanted: Stage) {
        let mut stage = self.stage.clone();
        if stage.wait_for(|stage| *stage >= wanted).await.is_err() {
            // Every trigger is gone: it can no longer happen.
            std::future::pending::<()>().await;
        }
    }
}

impl Trigger {
    /// One step further: from running to draining, from draining to an end at once.
    pub fn stop(&self) {
        self.stage.send_modify(|stage| {
            *stage = match stage {
                Stage::Running => Stage::Draining,
                Stage::Draining | Stage::Immediate => Stage::Immediate,
            };
        });
    }

    fn is_draining(&self) -> bool {
        *self.stage.borrow() >= Stage::Draining
    }
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> Option<&'static str> {
        tokio::select! {
            got = self.terminate.recv() => got.map(|()| "SIGTERM"),
            got = self.interrupt.recv() => got.map(|()| "SIGINT"),
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Option<&'static str> {
        tokio::signal::ctrl_c().await.ok().map(|()| "Ctrl-C")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_drains_and_the_second_ends() {
        let (shutdown, trigger) = Shutdown::manual();
        let minute = Duration::from_secs(60);
        assert!(tokio::time::timeout(minute, shutdown.draining()).await.is_err());
        trigger.stop();
        shutdown.draining().await;
        assert!(shutdown.is_draining() && !shutdown.is_immediate());
        assert!(tokio::time::timeout(minute, shutdown.immediate()).await.is_err());
        trigger.stop();
        shutdown.immediate().await;
        assert!(shutdown.clone().is_immediate());
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_trigger_stops_nothing() {
        let (shutdown, trigger) = Shutdown::manual();
        drop(trigger);
        assert!(tokio::time::timeout(Duration::from_secs(60), shutdown.draining()).await.is_err());
    }
}
