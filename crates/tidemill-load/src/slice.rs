//! One second of a run, as it is shown live, written to disk and kept in the summary.

use serde::{Deserialize, Serialize};

use crate::sample::ServerSample;
use crate::summary::{Errors, Percentiles, Totals};

/// What happened in one slice of time: a second, or more in the summary of a long run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Seconds since the start of the run at which the slice begins.
    pub at_s: f64,
    /// Its width in seconds.
    pub width_s: f64,
    /// Whether it lies in the warm-up and is not counted in the totals.
    pub warm_up: bool,
    /// What the plan's curve asks at its middle: arrivals a second, or users.
    pub level: f64,
    /// Requests sent.
    pub sent: u64,
    /// Requests that ended, well or not.
    pub ended: u64,
    /// Of those, ended badly, by kind.
    pub errors: Errors,
    /// Requests under way at its end (gauge).
    pub in_flight: u64,
    /// Arrivals that are due and wait for a connection at its end (gauge).
    pub backlog: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// From due to done: schedule lag + service.
    pub response: Percentiles,
    /// From sent to done.
    pub service: Percentiles,
    /// From due to sent.
    pub lag: Percentiles,
    /// The part of the lag that is the generator's own fault.
    pub late: Percentiles,
    /// Of WebSocket messages: from the sender's stamp to here.
    pub delivery: Percentiles,
    /// The server's use of the machine, sampled at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerSample>,
}

/// What a live view shows, once a second.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress<'a> {
    /// Seconds since the start.
    pub elapsed_s: f64,
    /// Seconds that the plan asks for, drain not included.
    pub planned_s: f64,
    /// The second that just ended.
    pub slice: &'a Slice,
    /// Everything so far, warm-up not included.
    pub totals: &'a Totals,
    /// Errors so far, warm-up not included.
    pub errors: &'a Errors,
}
