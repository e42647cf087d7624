//! An open-loop load generator whose percentiles tell the truth, and which says when they cannot.

mod answer;
mod ask;
mod bounds;
mod check;
mod client;
mod cookies;
mod curve;
mod data;
mod deadline;
mod desk;
mod engine;
mod error;
mod failure;
mod lane;
mod metric;
mod plan;
mod preset;
mod probe;
mod random;
mod readers;
mod recorder;
mod run;
mod sample;
mod schedule;
mod script;
mod search;
mod shape;
mod slice;
mod stop;
mod summary;
mod tally;
mod target;
mod template;
mod threshold;
mod timer;
mod times;
mod units;
mod verdict;

pub use curve::Curve;
pub use error::{Error, ErrorKind};
pub use metric::{Metric, Unit};
pub use plan::{
    Arrivals, Check, Data, HttpVersion, Limits, Load, Model, Pick, Plan, Recording, Scenario, ServerProbe,
    StampUnit, Step, Subscribe, Target, Volume,
};
pub use preset::Preset;
pub use run::{Cancel, run};
pub use sample::ServerSample;
pub use search::{Capacity, Probe, Search, SearchConfig, SearchEnd};
pub use shape::{Shape, Stage};
pub use slice::{Progress, Slice};
pub use stop::{StopRule, StopRules};
pub use summary::{ClientUse, Ended, Errors, Level, Percentiles, Quantile, StepStats, Summary, Totals};
pub use threshold::{Bound, Judged, Relation, Thresholds};
pub use verdict::{Reason, ReasonKind, Verdict};
