//! An open-loop load generator whose percentiles tell the truth, and which says when they cannot.
//!
//! ```
//! # use std::io::{Read as _, Write as _};
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! # let url = format!("http://{}/", listener.local_addr()?);
//! # std::thread::spawn(move || for mut stream in listener.incoming().flatten() {
//! #     std::thread::spawn(move || while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {
//! #         if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() { return }
//! #     });
//! # });
//! use std::time::Duration;
//! use tidemill_load::{Cancel, Plan, Shape, run};
//!
//! let mut plan = Plan::new(&url, Shape::constant(200.0, Duration::from_millis(500)));
//! plan.pass.set("response.p99", "<5s")?;
//! plan.stop.set("errors", "10% over 5s")?;
//! let summary = run(&plan, &mut |now| println!("{} /s", now.slice.ended), &Cancel::new())?;
//! assert_eq!(summary.totals.ok, 100);
//! println!("{}, promises kept: {}", summary.verdict, summary.passed());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Truth.** In the open model an arrival is due when the [`Curve`] says so, whatever the server does. What cannot be sent
//! waits, and its wait counts: response = lag + service. Of the lag, what is the generator's own fault is told apart
//! (`late`), and a run with too much of it is INVALID, as is one whose processors were taken away, whose sockets ran out, or
//! whose samples of the server have holes ([`Verdict`]). Timeouts count with the time waited, arrivals never sent as
//! `unsent`; errors are counted by kind, and the warm-up is shown and left out.
//!
//! **Plans** are TOML ([`Plan`]): shapes over time, scenarios with variables, checks and extracted values, sizes that
//! grow, standing readers of a WebSocket, promises and rules that stop. [`Preset`] has the usual ones. [`search()`] finds
//! the largest rate that keeps the promises.
//!
//! **Bounds.** Memory does not grow with requests or hours: six HdrHistograms of three digits a thread, at most
//! `record.max_slices` slices, 8 KB and a head's rest a connection; [`Limits`] cap rate, time, connections and the size of
//! whatever a server sends. Only loopback is loaded unless `target.owned` names the host.
//!
//! **Cost.** One runtime a thread, two system calls a request, one look at the clock, one uncontended lock; request bytes
//! are made once where they never change. Threads are those that `load.threads` asks for.
//!
//! **Features.** `tls` (rustls with ring), `http2` (hyper), `websocket`.

mod answer;
mod ask;
mod bounds;
mod capacity;
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
mod scenario;
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

pub use capacity::search;
pub use curve::Curve;
#[cfg(fuzzing)]
pub use engine::parse::trial::fuzz as fuzz_answer;
pub use error::{Error, ErrorKind};
pub use metric::{Metric, Unit};
pub use plan::{Arrivals, HttpVersion, Limits, Load, Model, Plan, Recording, ServerProbe, Target};
pub use preset::Preset;
pub use run::{Cancel, run};
pub use sample::ServerSample;
pub use scenario::{Check, Data, Pick, Scenario, StampUnit, Step, Subscribe, Volume};
pub use search::{Capacity, Probe, Search, SearchConfig, SearchEnd};
pub use shape::{Shape, Stage};
pub use slice::{Progress, Slice};
pub use stop::{StopRule, StopRules};
pub use summary::{ClientUse, Ended, Errors, Level, Percentiles, Quantile, StepStats, Summary, Totals};
pub use threshold::{Bound, Judged, Relation, Thresholds};
pub use verdict::{Reason, ReasonKind, Verdict};
