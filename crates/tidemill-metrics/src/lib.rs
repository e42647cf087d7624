//! Counters, gauges and histograms that cost next to nothing, for Prometheus and for the program itself.
//!
//! ```
//! use tidemill_metrics::{Config, Registry};
//!
//! # fn main() -> Result<(), tidemill_metrics::Error> {
//! let registry = Registry::builder(Config { prefix: "collector".into(), ..Config::default() }).build()?;
//! let requests = registry.counter("requests_total", "Requests sent.").with(&[("provider", "vendor")])?;
//! let seconds = registry.histogram("request_duration_seconds", "Time to the last byte.").get()?;
//! requests.inc();
//! seconds.observe(0.120);
//! assert!((seconds.snapshot().quantile(0.99).unwrap() / 0.120 - 1.0).abs() < 0.044);
//!
//! let text = registry.to_text();
//! assert!(text.contains("collector_requests_total{provider=\"vendor\"} 1\n"));
//! # Ok(()) }
//! ```
//!
//! **Hot path.** Up to eight living threads of the process own a writer slot. Their counts go into cells that nobody
//! else writes: a load and a store, no locked instruction, no cache line shared with another thread. Further threads
//! share one more cell by atomic addition. When a thread ends, its slot and the values behind it pass to the next one,
//! so that no count is ever moved, lost or seen twice, and a reader never sees a counter step back. It works from
//! destructors of thread locals; it must not be used in signal handlers.
//!
//! **Histograms** have the buckets of Prometheus native schema 3, eight to each doubling, between 2^-30 and 2^34:
//! every quantile is within 4.4 %. Snapshots can be subtracted, which gives any window, and merged exactly.
//!
//! **Exposition** as Prometheus text, OpenMetrics or protobuf with native histograms: [`Registry::encode`]. Series that
//! are idle for [`Config::idle`] leave, unless somebody holds their handle: [`Registry::expire`]. A [`Collect`] tells
//! numbers that something else keeps. With the feature `tower`, `Scrape` serves them and `RequestLayer` counts requests;
//! with `facade`, `FacadeRecorder` takes what the macros of the `metrics` crate count.
//!
//! **Looking back.** [`History`] keeps samples: rates, quantiles of any window, export. [`Health`] judges vitals by
//! thresholds and against what is usual at this hour.
//!
//! **Bounds.** `max_families` metrics of `max_series` label sets; what is beyond shares one series. A counter takes
//! 76 bytes beside its name; a histogram 1 to 2 KB a thread, and never more than 16 KB.

mod advice;
mod baseline;
mod buckets;
mod collect;
mod config;
mod counter;
mod error;
mod exposition;
#[cfg(feature = "facade")]
mod facade;
mod family;
mod gauge;
mod health;
mod histogram;
mod history;
mod known;
mod labels;
mod name;
mod protobuf;
mod registry;
#[cfg(feature = "tower")]
mod requests;
#[cfg(feature = "tower")]
mod scrape;
mod snapshot;
mod stats;
mod sync;
mod text;
mod writer;

pub use baseline::{Baseline, Trend};
pub use buckets::{LARGEST, ZERO_THRESHOLD};
pub use collect::{Collect, Collected};
pub use config::Config;
pub use counter::Counter;
pub use error::{Error, ErrorKind};
pub use exposition::{CONTENT_TYPE, Format};
#[cfg(feature = "facade")]
pub use facade::FacadeRecorder;
pub use family::{Family, Instrument};
pub use gauge::{Gauge, InFlight};
pub use health::{Assessment, Finding, Health, HealthConfig, Limits, Status, Vital, Vitals};
pub use histogram::Histogram;
pub use history::{Columns, History, HistoryConfig, MinMax, Points, SeriesKind};
pub use known::OVERFLOW;
pub use labels::{By, LabelSet};
pub use registry::{Builder, Registry};
#[cfg(feature = "tower")]
pub use requests::{Endpoint, RequestFuture, RequestLayer, RequestService};
#[cfg(feature = "tower")]
pub use scrape::{Scrape, ScrapeBody};
pub use snapshot::HistogramSnapshot;
pub use stats::Stats;
