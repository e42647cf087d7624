//! A task that keeps a lease: acquires, renews, tells what changed, and gives it back when closed.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use crate::error::{Error, ErrorKind};
use crate::held::Held;
use crate::lease::Epoch;
use crate::leases::Leases;
use crate::name::Name;
use crate::tenure::{Step, Tenure};

/// What a [`Keeper`] tells its owner, in this order: `Gained`, any `Missed`, `Lost`, `Gained`...
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The lease is ours; act while the guard says so.
    Gained(Held),
    /// The lease is not ours any more; the guard was stopped before this call. When what was in the air has ended, say
    /// so by [`Leases::confirm`] with this epoch.
    Lost(Epoch),
    /// An operation failed and is tried again; the guard holds as long as it says.
    Missed(Error),
}

/// Keeps one lease; made by [`Leases::keep`]. Dropped, it stops acting at once and gives nothing back.
pub struct Keeper {
    shared: Arc<Shared>,
    leases: Leases,
    task: JoinHandle<()>,
}

struct Shared {
    name: Name,
    state: Mutex<State>,
    closing: Notify,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    payload: Option<Vec<u8>>,
}

/// What [`Keeper::close`] did.
#[derive(Debug)]
#[must_use]
pub struct Report {
    /// The epoch that was held at the end.
    pub epoch: Option<Epoch>,
    /// Whether it was given back cleanly. If not, the next owner waits for the end of the term.
    pub released: bool,
    /// Why it was not.
    pub error: Option<Error>,
}

impl Keeper {
    pub(crate) fn start(
        leases: Leases,
        name: Name,
        seed: u64,
        on_event: Box<dyn Fn(Event) + Send + Sync>,
    ) -> Self {
        let shared = Arc::new(Shared { name, state: Mutex::default(), closing: Notify::new() });
        let task = tokio::spawn(keep(leases.clone(), shared.clone(), seed, on_event));
        Self { shared, leases, task }
    }

    /// The guard, while the lease is ours.
    pub fn held(&self) -> Option<Held> {
        self.shared.state().held.clone()
    }

    /// Whether the owner may act at this moment.
    pub fn may_act(&self) -> bool {
        self.held().is_some_and(|held| held.may_act(self.leases.now()))
    }

    /// The payload that the next renewal writes, and the release by [`close`](Self::close).
    pub fn set_payload(&self, payload: Vec<u8>) {
        self.shared.state().payload = Some(payload);
    }

    /// Stops acting, ends the task and gives the lease back with the payload set last. Call it when **everything done under
    /// the lease has ended**; drop the keeper instead when that is not sure. Takes at most `deadline`.
    pub async fn close(mut self, deadline: Duration) -> Report {
        let until = Instant::now() + deadline;
        let held = self.held();
        if let Some(held) = &held {
            held.stop();
        }
        self.shared.closing.notify_one();
        if timeout_at(until, &mut self.task).await.is_err() {
            self.task.abort();
        }
        // The task may have gained it while it was told to end.
        let held = self.shared.state().held.take().or(held);
        let Some(held) = held else { return Report { epoch: None, released: false, error: None } };
        held.stop();
        let payload = self.shared.state().payload.take();
        let released = timeout_at(until, self.leases.release(&held, payload.as_deref())).await;
        let error = match released {
            Ok(result) => result.err(),
            Err(elapsed) => Some(Error::unavailable("release the lease before the deadline", elapsed)),
        };
        Report { epoch: Some(held.epoch()), released: error.is_none(), error }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(held) = self.held() {
            held.stop();
        }
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("name", &self.shared.name).field("held", &self.held()).finish()
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Only whole values are put in.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_up(&self) -> Option<Held> {
        let held = self.state().held.take()?;
        held.stop();
        Some(held)
    }
}

async fn keep(leases: Leases, shared: Arc<Shared>, seed: u64, on_event: Box<dyn Fn(Event) + Send + Sync>) {
    let mut task = Task {
        tenure: Tenure::new(leases.config().term, leases.config().slack(), seed),
        leases,
        shared: shared.clone(),
        on_event,
    };
    tokio::select! {
        biased;
        () = shared.closing.notified() => {}
        () = task.run() => {}
    }
}

struct Task {
    leases: Leases,
    shared: Arc<Shared>,
    tenure: Tenure,
    on_event: Box<dyn Fn(Event) + Send + Sync>,
}

impl Drop for Task {
    fn drop(&mut self) {
        // Whatever ended the task, nobody renews any more. `close` has its own clone to release by.
        if let Some(held) = &self.shared.state().held {
            held.stop();
            self.leases.counters().held.down();
        }
    }
}

impl Task {
    async fn run(&mut self) {
        loop {
            let now = self.leases.now();
            match self.tenure.poll(now) {
                Step::At(next) => sleep(next.saturating_sub(now)).await,
                Step::Acquire => self.acquire().await,
                Step::Renew => self.renew().await,
                Step::Lost => self.lose(),
            }
        }
    }

    async fn acquire(&mut self) {
        let asked = self.leases.now();
        match self.leases.acquire(&self.shared.name).await {
            Ok(held) => {
                self.tenure.granted(asked);
                self.shared.state().held = Some(held.clone());
                self.leases.counters().held.up();
                (self.on_event)(Event::Gained(held));
            }
            Err(error) => {
                let now = self.leases.now();
                match error.retry_after() {
                    Some(remaining) => self.tenure.refused(now, remaining),
                    None => {
                        self.tenure.failed(now);
                        (self.on_event)(Event::Missed(error));
                    }
                }
            }
        }
    }

    async fn renew(&mut self) {
        let (held, payload) = {
            let state = self.shared.state();
            (state.held.clone(), state.payload.clone())
        };
        let Some(held) = held else { return self.lose() };
        let asked = self.leases.now();
        // A store that hangs must not keep us from stopping in time.
        let left = held.remaining(asked);
        let renewed = tokio::time::timeout(left, self.leases.renew(&held, payload.as_deref())).await;
        match renewed {
            Ok(Ok(())) => self.tenure.granted(asked),
            Ok(Err(error)) if error.kind() == ErrorKind::Stale => self.lose(),
            Ok(Err(error)) => {
                self.tenure.failed(self.leases.now());
                (self.on_event)(Event::Missed(error));
            }
            Err(_) => self.tenure.failed(self.leases.now()),
        }
    }

    fn lose(&mut self) {
        self.tenure.lost(self.leases.now());
        if let Some(held) = self.shared.give_up() {
            self.leases.counters().held.down();
            self.leases.counters().lost.up();
            (self.on_event)(Event::Lost(held.epoch()));
        }
    }
}
