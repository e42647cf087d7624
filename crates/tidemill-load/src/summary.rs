//! The result of a run as plain data: the one format that reports, comparisons and histories read.

use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::sample::ServerSample;
use crate::slice::Slice;
use crate::threshold::Judged;
use crate::verdict::Verdict;

/// A whole run. Times are microseconds (`_us`) or seconds (`_s`); the warm-up is in `slices` only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of this format: [`Summary::VERSION`]. Fields may be added under one number, never change their meaning.
    pub version: u32,
    /// The plan's name.
    pub name: String,
    /// Milliseconds since 1970 at the start.
    pub started_unix_ms: u64,
    /// How long the run took, drain included.
    pub elapsed_s: f64,
    /// How long was counted: without warm-up and drain.
    pub counted_s: f64,
    /// How the run ended.
    pub ended: Ended,
    /// Whether its figures may be believed.
    pub verdict: Verdict,
    /// What became of the plan's promises.
    pub thresholds: Vec<Judged>,
    /// Counts.
    pub totals: Totals,
    /// What ended badly, by kind.
    pub errors: Errors,
    /// From due to done: schedule lag + service. Answers that fail a check are in it, timeouts with the time waited;
    /// requests without an answer are not.
    pub response: Percentiles,
    /// From sent to done.
    pub service: Percentiles,
    /// From due to sent: waiting for a free connection and the generator's lateness together.
    pub lag: Percentiles,
    /// The generator's own lateness: from the moment both the arrival was due and a connection free.
    pub late: Percentiles,
    /// Setting up connections.
    pub connect: Percentiles,
    /// Of WebSocket messages: from the sender's stamp to here.
    pub delivery: Percentiles,
    /// Points of the response's distribution, for a chart.
    pub response_curve: Vec<Quantile>,
    /// By scenario and step, in the plan's order.
    pub steps: Vec<StepStats>,
    /// By size, when the plan has a volume.
    pub levels: Vec<Level>,
    /// In time; at most `record.max_slices`.
    pub slices: Vec<Slice>,
    /// The server's use of its machine, at most `record.max_slices`.
    pub server: Vec<ServerSample>,
    /// What the generator itself used.
    pub client: ClientUse,
    /// Why `record.path` lacks the seconds after some moment; none when it is whole or nobody asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unrecorded: Option<String>,
    /// What was run.
    pub plan: Plan,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum Ended {
    /// As planned.
    Finished,
    /// By a stop rule.
    Stopped {
        /// Which, and what it saw.
        rule: String,
    },
    /// By the caller.
    Cancelled,
}

/// Counts of a run, without its warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Arrivals that were due.
    pub due: u64,
    /// Requests sent.
    pub sent: u64,
    /// Requests that ended, well or not.
    pub ended: u64,
    /// Requests that ended well.
    pub ok: u64,
    /// Requests that ended a second of the counted time.
    pub rate: f64,
    /// Sends that were more than 1 ms late by the generator's own fault.
    pub late: u64,
    /// Connections set up.
    pub connections: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// WebSocket messages received.
    pub messages: u64,
}

/// What ended badly, by kind; each request counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Errors {
    /// The connection was refused or could not be set up.
    pub connect: u64,
    /// This machine had no socket or port left, which makes the run INVALID.
    pub sockets: u64,
    /// TLS could not be agreed on.
    pub tls: u64,
    /// No whole answer within the timeout.
    pub timeout: u64,
    /// The connection was closed or reset before the answer was whole.
    pub reset: u64,
    /// The answer breaks its protocol.
    pub protocol: u64,
    /// The answer is larger than the plan's limits.
    pub too_large: u64,
    /// The status was not accepted.
    pub status: u64,
    /// Header or body failed a check.
    pub check: u64,
    /// The arrival was due and no connection became free until the drain's end.
    pub unsent: u64,
}

/// A distribution of times, in microseconds; all 0 when `count` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct Percentiles {
    pub count: u64,
    pub min_us: f64,
    pub mean_us: f64,
    pub stddev_us: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p95_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub p9999_us: f64,
    pub max_us: f64,
}

/// A point of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantile {
    /// 0 to 1.
    pub q: f64,
    /// The time below which that share lies.
    pub us: f64,
}

/// One step of a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepStats {
    /// The scenario's name.
    pub scenario: String,
    /// The step's name.
    pub step: String,
    /// Requests that ended, well or not.
    pub ended: u64,
    /// Of those, ended badly.
    pub errors: Errors,
    /// From sent to done.
    pub service: Percentiles,
}

/// One size of a volume run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Bytes, or what the plan counts.
    pub size: u64,
    /// Requests that ended, well or not.
    pub ended: u64,
    /// Of those, ended badly.
    pub errors: Errors,
    /// From due to done.
    pub response: Percentiles,
}

/// What the generator itself used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientUse {
    /// Processor time of its threads, user and system.
    pub cpu_s: f64,
    /// The most resident memory of the process.
    pub memory_bytes: u64,
    /// The share of the run (0-1) in which its threads were ready and had to wait for a processor.
    pub waited_share: f64,
    /// The share of the machine (0-1) that others took from its virtual processors.
    pub steal_share: f64,
}

impl Summary {
    /// The number of this format.
    pub const VERSION: u32 = 1;

    /// Whether every promise was kept.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.thresholds.iter().all(|judged| judged.met)
    }

    /// How the mean response grows with size: the slope of log(mean) over log(size), 1 is linear. `None` with fewer than
    /// two levels that answered.
    #[must_use]
    pub fn volume_exponent(&self) -> Option<f64> {
        let points: Vec<(f64, f64)> = self
            .levels
            .iter()
            .filter(|level| level.response.count > 0 && level.size > 0 && level.response.mean_us > 0.0)
            .map(|level| ((level.size as f64).ln(), level.response.mean_us.ln()))
            .collect();
        let n = points.len() as f64;
        let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / n, y + point.1 / n));
        let (xy, xx) = points.iter().fold((0.0, 0.0), |(xy, xx), point| {
            (xy + (point.0 - x) * (point.1 - y), xx + (point.0 - x) * (point.0 - x))
        });
        (xx > 0.0).then(|| xy / xx)
    }

    /// The median of the slices' p99 in the last quarter of the run over that of the first: 1 is no drift.
    #[must_use]
    pub fn drift_response(&self) -> Option<f64> {
        let counted = self.slices.iter().filter(|slice| !slice.warm_up && slice.response.count > 0);
        drift(counted.map(|slice| slice.response.p99_us).collect())
    }

    /// The median of the server's memory in the last quarter of the run over that of the first: 1 is no growth.
    #[must_use]
    pub fn drift_memory(&self) -> Option<f64> {
        drift(self.server.iter().map(|sample| sample.memory_bytes as f64).collect())
    }
}

fn drift(values: Vec<f64>) -> Option<f64> {
    let quarter = values.len() / 4;
    let median = |part: &[f64]| {
        let mut part = part.to_vec();
        part.sort_by(f64::total_cmp);
        part[part.len() / 2]
    };
    (quarter > 0).then(|| median(&values[values.len() - quarter..]) / median(&values[..quarter]))
}

impl Errors {
    /// The kinds, in the order of the fields.
    pub const NAMES: &[&str] = &[
        "connect",
        "sockets",
        "tls",
        "timeout",
        "reset",
        "protocol",
        "too_large",
        "status",
        "check",
        "unsent",
    ];

    /// Each kind and its count, zeros too.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = [
            self.connect,
            self.sockets,
            self.tls,
            self.timeout,
            self.reset,
            self.protocol,
            self.too_large,
            self.status,
            self.check,
            self.unsent,
        ];
        Self::NAMES.iter().copied().zip(counts)
    }

    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.iter().map(|(_, count)| count).sum()
    }

    /// Adds another count to this one.
    pub fn add(&mut self, other: &Self) {
        self.connect += other.connect;
        self.sockets += other.sockets;
        self.tls += other.tls;
        self.timeout += other.timeout;
        self.reset += other.reset;
        self.protocol += other.protocol;
        self.too_large += other.too_large;
        self.status += other.status;
        self.check += other.check;
        self.unsent += other.unsent;
    }
}
