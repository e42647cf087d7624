//! The second home of the dataset: where `[storage.s3]` says it is, and the thread that brings snapshots there.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;
use tidemill_metrics::Registry;
use tidemill_shell::logs::Redactor;
use tidemill_storage::{Builder, PublishedTable, Store};

use crate::config::S3;

/// Sends snapshots from time to time until it is closed. Without a remote it does nothing.
#[derive(Debug, Default)]
pub struct Pusher {
    #[cfg(feature = "s3")]
    running: Option<with::Running>,
}

/// Gives the store its remote. The keys are registered with the redactor before anything else is done with them.
#[cfg(feature = "s3")]
pub fn attach(
    builder: Builder,
    s3: Option<&S3>,
    redactor: &Redactor,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Builder> {
    match s3 {
        Some(s3) => Ok(builder.remote(with::remote(s3, redactor, env)?)),
        None => Ok(builder),
    }
}

/// A program without the feature says so instead of keeping rows in one place in silence.
#[cfg(not(feature = "s3"))]
pub fn attach(
    builder: Builder,
    s3: Option<&S3>,
    _redactor: &Redactor,
    _env: &dyn Fn(&str) -> Option<String>,
) -> Result<Builder> {
    anyhow::ensure!(s3.is_none(), WITHOUT);
    Ok(builder)
}

/// Brings every table of the bucket back into a folder that holds none of them, and takes them over.
#[cfg(feature = "s3")]
pub fn restore(
    s3: &S3,
    redactor: &Redactor,
    env: &dyn Fn(&str) -> Option<String>,
    data: &Path,
    now: SystemTime,
) -> Result<Vec<PublishedTable>> {
    Ok(with::remote(s3, redactor, env)?.restore(data, now)?)
}

/// As [`attach`].
#[cfg(not(feature = "s3"))]
pub fn restore(
    _s3: &S3,
    _redactor: &Redactor,
    _env: &dyn Fn(&str) -> Option<String>,
    _data: &Path,
    _now: SystemTime,
) -> Result<Vec<PublishedTable>> {
    anyhow::bail!(WITHOUT)
}

#[cfg(not(feature = "s3"))]
const WITHOUT: &str = "storage.s3 is configured and this program was built without the feature `s3`: \
     build it with `cargo build --release --package tidemill-collector --features s3`";

impl Pusher {
    /// Starts the thread, if there is something for it to do.
    pub fn start(store: &Store, s3: Option<&S3>, registry: &Registry) -> Result<Self> {
        #[cfg(feature = "s3")]
        if let Some(s3) = s3 {
            let meters = with::Meters::new(registry)?;
            return Ok(Self { running: Some(with::Running::start(store.clone(), s3.push_every, meters)?) });
        }
        let _ = (store, s3, registry);
        Ok(Self::default())
    }

    /// Ends the thread and sends what is published. What could not be sent stays on the disk for the next run; with
    /// `ack = "remote"` nothing that was acknowledged is among it. Blocks.
    pub fn close(self, store: &Store) {
        #[cfg(feature = "s3")]
        if let Some(running) = self.running {
            running.close(store);
        }
        let _ = store;
    }
}

#[cfg(feature = "s3")]
mod with {
    use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
    use std::thread::JoinHandle;
    use std::time::Duration;

    use anyhow::{Context as _, Result};
    use tidemill_metrics::{Counter, Gauge, Registry};
    use tidemill_shell::logs::Redactor;
    use tidemill_storage::{Ack, Credentials, ErrorKind, Remote, RemoteConfig, RemoteStats, Store};

    use crate::config::S3;

    pub(super) fn remote(
        s3: &S3,
        redactor: &Redactor,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Remote> {
        let key = |name: &str| {
            let key = env(name).filter(|key| !key.trim().is_empty());
            let key = key.with_context(|| format!("storage.s3: environment variable {name} is not set"))?;
            redactor.register(&key);
            Ok::<_, anyhow::Error>(key)
        };
        let mut keys = Credentials::new(key(&s3.key_id_env)?, key(&s3.secret_env)?);
        // Only temporary keys have one.
        if let Ok(token) = key(&s3.token_env) {
            keys = keys.session_token(token);
        }
        let config = RemoteConfig {
            bucket: s3.bucket.clone(),
            prefix: s3.prefix.clone(),
            region: s3.region.clone(),
            endpoint: s3.endpoint.clone(),
            ack: if s3.ack_remote() { Ack::Remote } else { Ack::Local },
            timeout: s3.timeout,
            ..RemoteConfig::default()
        };
        Remote::s3(config, keys).context("storage.s3")
    }

    /// What the bucket has got, as metrics.
    #[derive(Debug)]
    pub(super) struct Meters {
        pushes: Counter,
        uploaded_bytes: Counter,
        errors: Counter,
        refused: Counter,
        behind: Gauge,
        seen: RemoteStats,
    }

    impl Meters {
        pub(super) fn new(registry: &Registry) -> Result<Self> {
            let counter = |name, help| registry.counter(name, help).get();
            Ok(Self {
                pushes: counter("remote_pushes_total", "Snapshots that became the bucket's.")?,
                uploaded_bytes: counter("remote_uploaded_bytes_total", "Bytes of files sent to the bucket.")?,
                errors: counter("remote_errors_total", "Pushes that failed for any reason.")?,
                refused: counter("remote_refused_total", "Pushes refused because another writer took over.")?,
                behind: registry
                    .gauge("remote_tables_behind", "Tables the bucket lacks the newest of.")
                    .get()?,
                seen: RemoteStats::default(),
            })
        }

        fn read(&mut self, store: &Store) {
            let Some(stats) = store.remote_stats() else { return };
            let new = stats.since(&self.seen);
            self.pushes.add(new.pushes);
            self.uploaded_bytes.add(new.uploaded_bytes);
            self.errors.add(new.errors);
            self.refused.add(new.refused);
            self.behind.set(stats.behind as f64);
            self.seen = stats;
        }
    }

    #[derive(Debug)]
    pub(super) struct Running {
        stop: Sender<()>,
        thread: JoinHandle<Meters>,
    }

    impl Running {
        pub(super) fn start(store: Store, every: Duration, mut meters: Meters) -> Result<Self> {
            let (stop, stopped) = channel();
            let work = move || {
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(every) {
                    let again = push(&store);
                    meters.read(&store);
                    if !again {
                        break;
                    }
                }
                meters
            };
            let thread = std::thread::Builder::new().name("pusher".into()).spawn(work);
            Ok(Self { stop, thread: thread.context("cannot start the pushing thread")? })
        }

        /// Sends what is left.
        pub(super) fn close(self, store: &Store) {
            drop(self.stop);
            let Ok(mut meters) = self.thread.join() else {
                tracing::error!("the pushing thread panicked");
                return;
            };
            push(store);
            meters.read(store);
        }
    }

    /// False when there is no sense in trying again.
    fn push(store: &Store) -> bool {
        match store.push() {
            Ok(report) if report.tables.is_empty() => true,
            Ok(report) => {
                tracing::debug!(?report, "pushed");
                true
            }
            Err(error) if error.kind() == ErrorKind::Stale => {
                tracing::error!(error = %error, "another collector has taken the bucket over");
                false
            }
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::warn!(error, "cannot push now; published rows stay on the disk");
                true
            }
        }
    }
}
