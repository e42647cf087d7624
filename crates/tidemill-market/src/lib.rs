//! Answers of market data providers, classified, validated and turned into columns; nothing is dropped in silence.
//!
//! A provider is data: a [`Mapping`] (TOML) says how to ask, where the rows stand and what a body without rows means.
//! [`Adapter::request`] builds the request, the caller sends it, and [`Adapter::read`] turns the answer into a
//! [`Reading`]: a [`Class`], columns of [`Bars`], and every other row with the [`Rule`] it breaks and its raw bytes.
//! There is no I/O, no clock and no state in this crate; time comes in with [`Checks`].
//!
//! Two promises hold for any bytes:
//! - an unknown shape is never [`Class::Ok`], whatever the status says;
//! - `received == bars.len() + quarantined.len() + duplicates`.
//!
//! ```
//! use std::time::{Duration, UNIX_EPOCH};
//! use tidemill_market::{Adapter, Answer, Ask, Calendar, Checks, Class, Format, Rule};
//!
//! let provider = Adapter::alpha_vantage(Format::Json);
//! let ask = Ask::daily("IBM");
//! let request = provider.request(&ask, Some("secret"));
//! assert!(request.path_and_query.ends_with("apikey=secret&outputsize=compact"));
//! assert!(request.redacted().ends_with("apikey=***&outputsize=compact"));
//!
//! let now = UNIX_EPOCH + Duration::from_secs(1_710_000_000);
//! let checks = Checks::new(now).with_calendar(Some(Calendar::xnys()));
//! let body = br#"{"Meta Data": {"2. Symbol": "IBM"}, "Time Series (Daily)": {
//!     "2024-01-03": {"1. open":"161.0","2. high":"161.7","3. low":"160.1","4. close":"160.1","5. volume":"4086065"},
//!     "2024-01-01": {"1. open":"161.0","2. high":"161.7","3. low":"160.1","4. close":"160.1","5. volume":"1"}}}"#;
//! let reading = provider.read(&ask, Answer { status: 200, content_type: None, body }, &checks);
//! assert_eq!((reading.class, reading.bars.len()), (Class::Ok, 1));
//! assert_eq!(reading.quarantined[0].rule, Rule::V6); // New Year's Day is no session
//!
//! let body = br#"{"Information": "our standard API rate limit is 25 requests per day"}"#;
//! let reading = provider.read(&ask, Answer { status: 200, content_type: None, body }, &checks);
//! assert_eq!(reading.class, Class::Throttled);
//! assert_eq!(reading.quota_window, Some(Duration::from_secs(86_400)));
//! ```

mod adapter;
mod bars;
mod calendar;
mod checks;
mod classify;
mod csv;
mod date;
mod error;
mod flags;
mod hints;
mod interval;
mod json;
mod mapping;
mod reading;
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
mod request;
mod rows;
mod rule;
mod series;
mod sheet;
mod timestamp;
mod zone;

pub use adapter::{Adapter, Format};
pub use bars::{Bars, Volume};
pub use calendar::Calendar;
pub use checks::{Checks, Provisional};
pub use date::Date;
pub use error::{Error, ErrorKind};
pub use interval::Interval;
pub use mapping::{
    Field, Fields, HeaderAt, Mapping, Meaning, Rows, Shape, Sign, Template, Time, TimeFormat, Variables,
};
pub use reading::{Answer, Class, Flag, Header, Quarantined, Reading, Refused};
pub use request::{Ask, RequestParts};
pub use rule::Rule;
pub use zone::Zone;
