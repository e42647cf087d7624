//! What is asked of a target, as the plan writes it: scenarios, their steps and checks, data, sizes, readers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units;

/// A weighted sequence of requests on one connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What a report calls it. Default empty.
    #[serde(default)]
    pub name: String,
    /// Its share among all scenarios. Default 1.
    #[serde(default = "one")]
    pub weight: u32,
    /// In this order; a failed step ends the sequence.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

/// One request and what its answer must be. `{{name}}` in path, headers and body is a column of the data file, an
/// extracted value, or one of `{{arrival}}` (its number), `{{volume}}` (the size of now) and `{{payload}}` (so many
/// bytes).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Step {
    /// What a report calls it. Default method and path.
    pub name: String,
    /// Default `GET`, or `POST` with a body.
    pub method: String,
    /// Path and query; empty means the target URL's.
    pub path: String,
    /// Further request headers.
    pub headers: BTreeMap<String, String>,
    /// Body, or the bytes to send (`tcp`, `ws`). Default none.
    pub body: Option<String>,
    /// What must be true of the answer.
    pub check: Check,
    /// Variables for later steps: `token = "json:/auth/token"`, `"header:x-id"` or `"between:<b>|</b>"`.
    pub extract: BTreeMap<String, String>,
    /// Pause after this step. Default none.
    #[serde(with = "units::duration", skip_serializing_if = "Duration::is_zero")]
    pub pause: Duration,
}

/// What must be true of an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Check {
    /// Accepted status codes; empty means 200 to 399.
    pub status: Vec<u16>,
    /// A header that must contain a text.
    pub headers: BTreeMap<String, String>,
    /// A text that the body must contain. Default none.
    pub body: Option<String>,
    /// JSON pointers and the values that must stand there.
    pub json: BTreeMap<String, serde_json::Value>,
    /// The fewest bytes of body. Default 0.
    pub min_bytes: u64,
    /// With `tcp`: the answer ends with this text; without it, after `min_bytes`.
    pub until: Option<String>,
}

/// A CSV file with a header line; the columns are variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Where it is.
    pub path: PathBuf,
    /// Which row an arrival gets. Default `"in-turn"`.
    #[serde(default)]
    pub pick: Pick,
}

/// Which row of a data file an arrival gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// Arrival k gets row k, from the start again after the last.
    #[default]
    InTurn,
    /// Any, by the seed.
    Random,
}

/// Sizes that grow in steps: level i has `start · factor^i`. The report has percentiles a level, and the threshold
/// `volume.exponent` bounds how response grows with size (1 is linear).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// The first size, in bytes or in whatever `{{volume}}` counts.
    #[serde(with = "units::size")]
    pub start: u64,
    /// From one level to the next. Default 2.
    #[serde(default = "Volume::factor")]
    pub factor: f64,
    /// Levels, 1 to 64.
    pub levels: u32,
    /// How long each level lasts.
    #[serde(with = "units::duration")]
    pub each: Duration,
}

/// Standing readers of a WebSocket: each message holds the time it was sent, and its delay is measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// Sent once after connecting; `{{reader}}` is the reader's number. Default nothing.
    #[serde(default)]
    pub message: Option<String>,
    /// Where a message's time stands: a JSON pointer, or empty when the whole text is the number.
    #[serde(default)]
    pub sent_at: String,
    /// What that number counts since 1970. Default `"ns"`.
    #[serde(default)]
    pub unit: StampUnit,
}

/// What a time stamp in a message counts since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StampUnit {
    /// Nanoseconds.
    #[default]
    Ns,
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Seconds, also with a fraction.
    S,
}

impl Volume {
    fn factor() -> f64 {
        2.0
    }
}

fn one() -> u32 {
    1
}
