//! The leases of one owner: the rules over a store, with time-outs and the owner's clock.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Cause, Error, ErrorKind};
use crate::held::Held;
use crate::keeper::{Event, Keeper};
use crate::lease::{Epoch, Lease, MAX_PAGE, Record};
use crate::name::{Name, Owner};
use crate::rules::{self, Claim};
use crate::stats::{Counters, Stats};
use crate::store::{Loaded, Store};

/// How often a write is done again when others wrote in between.
const TRIES: u32 = 8;

/// Acquires, renews, releases and reads leases as one owner. Clones share everything.
#[derive(Clone)]
pub struct Leases {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    store: Arc<dyn Store>,
    owner: Owner,
    clock: Clock,
    counters: Counters,
}

/// Builds [`Leases`].
pub struct Builder {
    config: Config,
    store: Arc<dyn Store>,
    owner: Owner,
    clock: Clock,
}

impl Builder {
    /// The clock that terms are measured with on this side; default [`Clock::boottime`].
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// # Errors
    /// `Config` names the field that is out of bounds.
    pub fn build(self) -> Result<Leases, Error> {
        self.config.validate()?;
        let Self { config, store, owner, clock } = self;
        Ok(Leases { inner: Arc::new(Inner { config, store, owner, clock, counters: Counters::default() }) })
    }
}

impl Leases {
    /// Starts from a configuration, a store and the name of a process; see [`Owner`].
    pub fn builder(config: Config, store: Arc<dyn Store>, owner: Owner) -> Builder {
        Builder { config, store, owner, clock: Clock::boottime() }
    }

    /// Takes the lease if it is free, expired, or our own of an earlier life; its epoch is a new one.
    ///
    /// Whether the predecessor stopped cleanly is told by [`Held::handover`], what it left by [`Held::inherited`].
    ///
    /// # Errors
    /// `Held` with the time to wait; `Unconfirmed`, `Full`, `Contended`, `Unavailable`.
    pub async fn acquire(&self, name: &Name) -> Result<Held, Error> {
        let inner = &*self.inner;
        let claim =
            Claim { owner: inner.owner.clone(), term: inner.config.term, reserve: inner.config.reserve };
        let decide = |found: &Loaded| {
            rules::acquire(name, found.record.as_ref(), found.now, &claim)
                .map(|(next, how)| Some((next, how)))
        };
        let (asked, written) = self.change(name, decide).await?;
        let Some((record, handover)) = written else { return Err(contended(name)) };
        inner.counters.acquired.up();
        if !handover.is_clean() {
            inner.counters.taken_over.up();
        }
        let answered = inner.clock.now();
        Ok(Held::granted(name.clone(), record, handover, asked, answered, &inner.config))
    }

    /// Another term from now on, and a new payload if one is given. Only with the current epoch.
    ///
    /// # Errors
    /// `Stale`, after which `held` is stopped; `Input`, `Contended`, `Unavailable`.
    pub async fn renew(&self, held: &Held, payload: Option<&[u8]>) -> Result<(), Error> {
        let (name, epoch, term) = (held.name(), held.epoch(), self.inner.config.term);
        let decide = |found: &Loaded| {
            rules::renew(name, found.record.as_ref(), found.now, epoch, term, payload)
                .map(|next| Some((next, ())))
        };
        match self.change(name, decide).await {
            Ok((asked, _)) => {
                held.renewed(asked, &self.inner.config);
                self.inner.counters.renewed.up();
                Ok(())
            }
            Err(error) => {
                if error.kind() == ErrorKind::Stale {
                    held.stop();
                }
                Err(error)
            }
        }
    }

    /// Gives the lease back cleanly, with a last payload if one is given: **everything done under it has ended.** The guard
    /// is stopped first, whatever comes of the rest.
    ///
    /// # Errors
    /// `Stale` when it was lost before: then [`confirm`](Self::confirm) says that we stopped. `Input`, `Contended`,
    /// `Unavailable`.
    pub async fn release(&self, held: &Held, payload: Option<&[u8]>) -> Result<(), Error> {
        held.stop();
        let (name, epoch) = (held.name(), held.epoch());
        let decide = |found: &Loaded| {
            rules::release(name, found.record.as_ref(), found.now, epoch, payload)
                .map(|next| Some((next, ())))
        };
        self.change(name, decide).await?;
        self.inner.counters.released.up();
        Ok(())
    }

    /// The former owner of `epoch` has nothing in the air any more. It says so itself when it finds that it lost the lease, or
    /// whoever knows that its process is gone. `false` if it is not among the unconfirmed.
    ///
    /// # Errors
    /// `Contended`, `Unavailable`.
    pub async fn confirm(&self, name: &Name, epoch: Epoch) -> Result<bool, Error> {
        let decide = |found: &Loaded| Ok(rules::confirm(found.record.as_ref(), epoch).map(|next| (next, ())));
        let (_, written) = self.change(name, decide).await?;
        if written.is_some() {
            self.inner.counters.confirmed.up();
        }
        Ok(written.is_some())
    }

    /// The lease as it stands; `None` if nobody ever had it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn read(&self, name: &Name) -> Result<Option<Lease>, Error> {
        let found = self.in_time(self.inner.store.load(name)).await?;
        Ok(found.record.map(|record| Lease::from_record(name.clone(), record, found.now)))
    }

    /// The leases whose names follow `after`, in the order of their bytes: at most `limit`, and at most
    /// [`MAX_PAGE`].
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn list(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Lease>, Error> {
        let page = self.in_time(self.inner.store.page(after, limit.min(MAX_PAGE))).await?;
        let now = page.now;
        Ok(page.records.into_iter().map(|(name, record)| Lease::from_record(name, record, now)).collect())
    }

    /// Starts a task on the current tokio runtime that acquires `name`, renews it at a third of the term, and acquires it
    /// anew when it was lost; `on_event` is called in that task and must not block. `seed` is for the jitter.
    pub fn keep(&self, name: Name, seed: u64, on_event: impl Fn(Event) + Send + Sync + 'static) -> Keeper {
        Keeper::start(self.clone(), name, seed, Box::new(on_event))
    }

    /// What was done so far.
    pub fn stats(&self) -> Stats {
        self.inner.counters.read()
    }

    /// Who we are.
    pub fn owner(&self) -> &Owner {
        &self.inner.owner
    }

    /// The time to ask [`Held::may_act`] with.
    pub fn now(&self) -> Duration {
        self.inner.clock.now()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// Loads, decides and writes until nobody wrote in between; with when the decisive try was begun.
    async fn change<T>(
        &self,
        name: &Name,
        decide: impl Fn(&Loaded) -> Result<Option<(Record, T)>, Error>,
    ) -> Result<(Duration, Option<(Record, T)>), Error> {
        let store = &self.inner.store;
        let attempts = async {
            for _ in 0..TRIES {
                let asked = self.inner.clock.now();
                let found = store.load(name).await?;
                let Some((next, with)) = decide(&found)? else { return Ok((asked, None)) };
                if store.swap(name, found.record.as_ref(), &next).await? {
                    return Ok((asked, Some((next, with))));
                }
                self.inner.counters.conflicts.up();
            }
            Err(contended(name))
        };
        let result = self.in_time(attempts).await;
        match result.as_ref().map_err(Error::kind) {
            Err(ErrorKind::Held) => self.inner.counters.refused_held.up(),
            Err(ErrorKind::Stale) => self.inner.counters.refused_stale.up(),
            _ => {}
        }
        result
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let timeout = self.inner.config.timeout;
        let result = match tokio::time::timeout(timeout, work).await {
            Ok(result) => result,
            Err(_) => Err(Cause::Late { timeout }.into()),
        };
        if matches!(&result, Err(error) if error.kind() == ErrorKind::Unavailable) {
            self.inner.counters.failed.up();
        }
        result
    }
}

impl std::fmt::Debug for Leases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leases")
            .field("owner", &self.inner.owner)
            .field("config", &self.inner.config)
            .finish()
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("owner", &self.owner).field("config", &self.config).finish()
    }
}

fn contended(name: &Name) -> Error {
    Cause::Contended { name: name.clone(), tries: TRIES }.into()
}
