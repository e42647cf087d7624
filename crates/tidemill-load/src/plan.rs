//! What to do to whom, as plain data read from TOML: target, load, scenarios, promises and limits.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::scenario::{Data, Scenario, Subscribe, Volume};
use crate::shape::Shape;
use crate::stop::StopRules;
use crate::threshold::Thresholds;
use crate::units;

/// A whole run. Durations are written `"30s"`, sizes `"64KB"`.
///
/// ```
/// let plan = tidemill_load::Plan::from_toml(r#"
///     [target]
///     url = "http://127.0.0.1:8080/items"
///     [load]
///     shape = { kind = "constant", level = 1000, duration = "30s" }
///     [pass]
///     "response.p99" = "<250ms"
///     "lag.p99" = "<5ms"
///     [stop]
///     errors = "10% over 5s"
/// "#)?;
/// assert_eq!(plan.load.connections, 32);
/// # Ok::<(), tidemill_load::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Number of this format: 1.
    #[serde(default = "one")]
    pub config_version: u32,
    /// What a report calls the run. Default empty.
    #[serde(default)]
    pub name: String,
    /// Whom.
    pub target: Target,
    /// How much, how fast, by how many.
    pub load: Load,
    /// What is asked; each arrival runs one scenario, chosen by weight. Without any, a GET of the target's URL.
    #[serde(default, rename = "scenario", skip_serializing_if = "Vec::is_empty")]
    pub scenarios: Vec<Scenario>,
    /// A CSV file whose columns are the variables of templates. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
    /// Sizes that grow during the run. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<Volume>,
    /// Standing readers of a WebSocket, instead of requests. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<Subscribe>,
    /// How the server's own use of the machine is sampled. Default not at all.
    #[serde(default)]
    pub server: ServerProbe,
    /// What must hold at the end: `"response.p99" = "<250ms"`. Default nothing.
    #[serde(default)]
    pub pass: Thresholds,
    /// What ends the run early: `errors = "10% over 5s"`. Default nothing.
    #[serde(default)]
    pub stop: StopRules,
    /// Caps over everything above.
    #[serde(default)]
    pub limits: Limits,
    /// What is kept of the run.
    #[serde(default)]
    pub record: Recording,
}

/// Whom to load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// `http://`, `https://` (feature `tls`), `ws://`, `wss://` (feature `websocket`) or `tcp://HOST:PORT`.
    pub url: String,
    /// `"1.1"` or `"2"` (feature `http2`). Default `"1.1"`.
    #[serde(default)]
    pub version: HttpVersion,
    /// Hosts that are not this machine and that you may load, exactly as the URL names them. Default none: only loopback
    /// is accepted.
    #[serde(default)]
    pub owned: Vec<String>,
    /// A PEM file with certificates to trust besides the public ones. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

/// The version of HTTP that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpVersion {
    /// One request at a time on a connection.
    #[default]
    #[serde(rename = "1.1")]
    Http1,
    /// Streams on shared connections.
    #[serde(rename = "2")]
    Http2,
}

/// How much load, and by what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Whether arrivals wait for answers. Default `"open"`: they do not.
    #[serde(default)]
    pub model: Model,
    /// Arrivals a second over time (`open`) or users over time (`closed`).
    pub shape: Shape,
    /// How arrivals of the open model are spaced. Default `"even"`.
    #[serde(default)]
    pub arrivals: Arrivals,
    /// The most connections (open model; a closed user has his own). Default 32.
    #[serde(default = "Load::connections")]
    pub connections: usize,
    /// Streams that share an HTTP/2 connection. Default 32.
    #[serde(default = "Load::connections")]
    pub streams: usize,
    /// Threads, each with its own runtime and share of the load. Default 1.
    #[serde(default = "Load::threads")]
    pub threads: usize,
    /// From sending to the last byte of an answer. Default `"10s"`.
    #[serde(default = "Load::timeout", with = "units::duration")]
    pub timeout: Duration,
    /// Sent at the start and not counted. Default `"0s"`.
    #[serde(default, with = "units::duration")]
    pub warm_up: Duration,
    /// How long what is due but unsent may still be sent after the end. Default `"5s"`.
    #[serde(default = "Load::drain", with = "units::duration")]
    pub drain: Duration,
    /// Pause of a closed user between two scenarios. Default `"0s"`.
    #[serde(default, with = "units::duration")]
    pub think: Duration,
    /// Users that a closed run starts a second; 0 means as the shape says. Default 0.
    #[serde(default)]
    pub spawn_rate: f64,
    /// How finely sends are timed: all that is due within one quantum is sent together, up to a quantum late. `"0s"` is
    /// exact and costs a wake-up a request. Default: exact up to 10 000 arrivals a second and thread, 100 µs beyond.
    #[serde(default, with = "quantum", skip_serializing_if = "Option::is_none")]
    pub quantum: Option<Duration>,
    /// Whether connections are used again. Default true.
    #[serde(default = "yes")]
    pub keep_alive: bool,
    /// Seed of everything random. Default 0.
    #[serde(default)]
    pub seed: u64,
}

/// Whether arrivals wait for answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// Arrivals come when they are due, as a crowd does; what cannot be sent waits, and its wait counts.
    #[default]
    Open,
    /// Each user sends, waits for the answer, thinks, and sends again.
    Closed,
}

/// How arrivals are spaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// Evenly under the shape.
    #[default]
    Even,
    /// As independent clients: exponential gaps, rate by the shape.
    Poisson,
}

/// How the server's use of the machine is sampled, once a second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerProbe {
    /// A process of this machine, with its children. Default none.
    pub pid: Option<u32>,
    /// Finds the process that listens on the target's port. Default false.
    pub auto: bool,
    /// A Prometheus page with `process_cpu_seconds_total` and `process_resident_memory_bytes`; its host needs no
    /// `owned`. Default none.
    pub metrics: Option<String>,
}

/// Caps over the whole plan, against slips of the hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The most arrivals a second. Default 1 000 000.
    pub rate: f64,
    /// The longest run. Default `"25h"`.
    #[serde(with = "units::duration")]
    pub duration: Duration,
    /// The most connections or users. Default 20 000.
    pub connections: usize,
    /// The largest head of an answer. Default `"64KB"`.
    #[serde(with = "units::size")]
    pub head: u64,
    /// The most of a body that is kept for checks; the rest is counted and dropped. Default `"1MB"`.
    #[serde(with = "units::size")]
    pub body: u64,
    /// The largest whole answer or WebSocket message. Default `"1GB"`.
    #[serde(with = "units::size")]
    pub answer: u64,
    /// The largest data file or arrival log. Default `"64MB"`.
    #[serde(with = "units::size")]
    pub data: u64,
    /// The generator's own lateness, at p99, beyond which a run is INVALID. Default `"5ms"`.
    #[serde(with = "units::duration")]
    pub lateness: Duration,
    /// The share of sends (0-1) that may be more than 1 ms late by the generator's fault. Default 0.01.
    pub late_share: f64,
    /// The share of the machine (0-1) that others may take from its virtual processors. Default 0.05.
    pub steal: f64,
    /// The share of the server's samples (0-1) that may be missing. Default 0.1.
    pub lost_samples: f64,
}

/// What is kept of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recording {
    /// A file that gets one line of JSON a second ([`Slice`](crate::Slice)). Default none.
    pub path: Option<PathBuf>,
    /// The most slices in a [`Summary`](crate::Summary); longer runs have wider slices there. Default 3600.
    pub max_slices: usize,
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// [`ErrorKind::Plan`](crate::ErrorKind::Plan) with line and field.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        Ok(toml::from_str(text)?)
    }

    /// A plan that GETs one URL under a shape, with defaults for the rest.
    #[must_use]
    pub fn new(url: &str, shape: Shape) -> Self {
        Self {
            config_version: 1,
            name: String::new(),
            target: Target { url: url.to_owned(), version: HttpVersion::Http1, owned: Vec::new(), ca: None },
            load: Load::new(shape),
            scenarios: Vec::new(),
            data: None,
            volume: None,
            subscribe: None,
            server: ServerProbe::default(),
            pass: Thresholds::default(),
            stop: StopRules::default(),
            limits: Limits::default(),
            record: Recording::default(),
        }
    }

    /// Open or closed; readers are a closed crowd whatever the load says.
    pub(crate) fn model(&self) -> Model {
        if self.subscribe.is_some() { Model::Closed } else { self.load.model }
    }

    /// How long arrivals come, warm-up included, drain not.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.load.shape.duration()
    }
}

impl Load {
    /// The open model under a shape, with defaults for the rest.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self {
            model: Model::Open,
            shape,
            arrivals: Arrivals::Even,
            connections: Self::connections(),
            streams: Self::connections(),
            threads: Self::threads(),
            timeout: Self::timeout(),
            warm_up: Duration::ZERO,
            drain: Self::drain(),
            think: Duration::ZERO,
            spawn_rate: 0.0,
            quantum: None,
            keep_alive: true,
            seed: 0,
        }
    }

    fn connections() -> usize {
        32
    }

    fn threads() -> usize {
        1
    }

    fn timeout() -> Duration {
        Duration::from_secs(10)
    }

    fn drain() -> Duration {
        Duration::from_secs(5)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rate: 1_000_000.0,
            duration: Duration::from_secs(25 * 3600),
            connections: 20_000,
            head: 64_000,
            body: 1_000_000,
            answer: 1_000_000_000,
            data: 64_000_000,
            lateness: Duration::from_millis(5),
            late_share: 0.01,
            steal: 0.05,
            lost_samples: 0.1,
        }
    }
}

impl Default for Recording {
    fn default() -> Self {
        Self { path: None, max_slices: 3600 }
    }
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

/// `Option<Duration>` as text.
mod quantum {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    use crate::units::duration;

    pub(super) fn serialize<S: Serializer>(value: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => duration::serialize(value, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        duration::deserialize(from).map(Some)
    }
}
