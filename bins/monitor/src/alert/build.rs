//! Puts alerting together: looks up variables, reads the state, begins to deliver.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use tokio::sync::{Mutex, broadcast, watch};
use tokio::task::JoinSet;

use super::config::Config;
use super::deliver::{self, Way};
use super::engine::Engine;
use super::notice::Notice;
use super::receiver::{ReceiverConfig, Secret};
use super::service::{Alerts, Clock, Derive, ERRORS, Handle, Inner, MONITOR, Shared, hear};
use super::state::{Place, State};
use crate::event::Events;
use crate::http::Client;
use crate::series::{Reading, Round};

/// Puts alerting together.
pub struct Builder {
    config: Config,
    folder: PathBuf,
    /// Variables that receivers name.
    secrets: HashMap<String, Secret>,
    client: Option<Client>,
    external_url: String,
    events: Events,
    clock: Clock,
    began: String,
    derive: Derive,
}

impl Builder {
    /// With this configuration, which is completed here; its state stands in `folder`.
    #[must_use]
    pub fn new(config: Config, folder: PathBuf, events: Events) -> Self {
        Self {
            config,
            folder,
            secrets: HashMap::new(),
            client: None,
            external_url: String::new(),
            events,
            clock: Arc::new(|| jiff::Timestamp::now().as_millisecond()),
            began: String::new(),
            derive: Box::new(|_| Vec::new()),
        }
    }

    /// Looks up the variables that receivers name.
    #[must_use]
    pub fn secrets(mut self, look_up: impl Fn(&str) -> Option<String>) -> Self {
        let names = |receiver: &ReceiverConfig| {
            [receiver.url_env.clone(), receiver.secret_env.clone(), receiver.token_env.clone()]
                .into_iter()
                .flatten()
        };
        for name in self.config.receiver.iter().flat_map(names) {
            if let Some(value) = look_up(&name).filter(|value| !value.is_empty()) {
                self.secrets.insert(name, Secret::new(value));
            }
        }
        self
    }

    /// Sends by this client instead of one of its own.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.client = Some(client);
        self
    }

    /// Where a person sees the alerts; notifications link to it.
    #[must_use]
    pub fn external_url(mut self, url: &str) -> Self {
        url.clone_into(&mut self.external_url);
        self
    }

    /// What is said when watching begins; without it nothing is.
    #[must_use]
    pub fn began(mut self, words: &str) -> Self {
        words.clone_into(&mut self.began);
        self
    }

    /// What is computed of a target's round and looked at with it: its mean response, its share of errors.
    #[must_use]
    pub fn derive(mut self, derive: impl Fn(&Round) -> Vec<Reading> + Send + Sync + 'static) -> Self {
        self.derive = Box::new(derive);
        self
    }

    /// Milliseconds since 1970, for tests.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Reads the state, and starts to hear `rounds` and to deliver what is left of the last run.
    ///
    /// # Errors
    /// The field, variable or file that is wrong.
    pub async fn start(self, rounds: broadcast::Receiver<Arc<Round>>) -> Result<Alerts, String> {
        let config = self.config.clone().complete()?;
        let client = match self.client.clone() {
            Some(client) => client,
            None => Client::new(1 << 20).map_err(|error| format!("{error:#}"))?,
        };
        let ways =
            config.receiver.iter().map(|receiver| self.way(receiver)).collect::<Result<Vec<_>, _>>()?;
        let now_ms = (self.clock)();
        let place = Place::new(&self.folder);
        let seed = format!("{} {now_ms} {}", self.folder.display(), std::process::id());
        let state = place.read()?.unwrap_or_else(|| State::new(&seed));
        let mut engine = Engine::new(config.clone())?;
        let mut outbox = state.outbox.clone();
        outbox.keep_only(&config);
        let over = state.restore(now_ms, &mut engine);
        outbox.put(&config, &state.identity, &over);
        let wake = config.receiver.iter().map(|receiver| (receiver.name.clone(), Arc::default())).collect();
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner { engine, outbox, identity: state.identity }),
            place,
            clock: self.clock,
            keep_trying: config.keep_trying,
            events: self.events,
            derive: self.derive,
            wake,
            dirty: AtomicBool::new(true),
            delivered: AtomicU64::new(0),
            counted: std::sync::Mutex::default(),
            errors: ERRORS.iter().map(|kind| (*kind, AtomicU64::new(0))).collect(),
        });
        // Now rather than at the first alert: a folder that cannot be written is told at the start.
        shared
            .store(&mut *shared.inner.lock().await)
            .await
            .map_err(|error| format!("{}: {error}", self.folder.display()))?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for (receiver, way) in config.receiver.iter().zip(ways) {
            let wake = Arc::clone(&shared.wake[&receiver.name]);
            tasks.spawn(deliver::run(
                Arc::clone(&shared),
                client.clone(),
                receiver.clone(),
                way,
                wake,
                stopped.clone(),
            ));
        }
        let handle = Handle(Arc::clone(&shared));
        if !self.began.is_empty() {
            handle
                .notice(Notice {
                    name: super::STARTED.to_owned(),
                    severity: super::Severity::Info,
                    target: MONITOR.to_owned(),
                    summary: self.began,
                    recommendation: String::new(),
                })
                .await;
        }
        tasks.spawn(hear(shared, rounds, stopped));
        Ok(Alerts { handle, tasks, stop })
    }

    /// How one receiver is told.
    fn way(&self, receiver: &ReceiverConfig) -> Result<Way, String> {
        let variable = |field: &str, name: &Option<String>| match name {
            None => Ok(None),
            Some(name) => match self.secrets.get(name) {
                Some(value) => Ok(Some(value.clone())),
                None => Err(format!(
                    "alert receiver {:?}: `{field}` names the variable {name}, which is not set",
                    receiver.name
                )),
            },
        };
        let secret = variable("secret_env", &receiver.secret_env)?;
        let token = variable("token_env", &receiver.token_env)?;
        let url = receiver.url.clone().map(Secret::new).or(variable("url_env", &receiver.url_env)?);
        let url = url.map(|url| crate::address::Address::parse(url.reveal())).transpose();
        let url = url.map_err(|wants| format!("alert receiver {:?}: its address {wants}", receiver.name))?;
        Way::new(receiver, &self.folder, url, secret, token, &self.external_url)
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
    }
}
