//! What an answer is checked against: calendar, time, tick, and the bounds on its size.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::calendar::Calendar;
use crate::reading::Header;

/// The checks for one answer. `Checks::new(now)` with the fields that differ replaced.
#[derive(Debug, Clone)]
pub struct Checks {
    /// Trading calendar of the rows; `None` takes every day for a session that ends at midnight UTC.
    pub calendar: Option<Calendar>,
    /// Now, UTC nanoseconds since 1970-01-01 (V12).
    pub now_ns: i64,
    /// Smallest price step: V4 forgives a difference of so much. Default 0 (a relative 1e-9 is always forgiven).
    pub tick: f64,
    /// V3 allows zero and negative prices (spreads, some futures). Default false.
    pub negative_prices: bool,
    /// V5 allows fractions, and volumes come as [`Volume::Fractional`](crate::Volume). Default: as the adapter says.
    pub fractional_volume: bool,
    /// What happens to a bar whose session has not ended. Default [`Provisional::Quarantine`].
    pub provisional: Provisional,
    /// V13 compares the header of the answer with this; a `None` inside is not compared. Default: nothing.
    pub header: Header,
    /// Longest body that is read, bytes. Default 16 MiB; at most 4 GiB - 1.
    pub max_body: usize,
    /// Most rows of one answer. Default 200 000; more is malformed.
    pub max_rows: usize,
    /// Deepest nesting of a JSON body. Default 32.
    pub max_depth: usize,
}

/// What happens to a bar whose time is not over (V12). A bar that begins in the future is always quarantined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Provisional {
    /// Held back: what is stored is final. The next request after the close brings it.
    #[default]
    Quarantine,
    /// Kept among the bars, and flagged.
    Keep,
}

impl Checks {
    /// The default checks at the given time, without a calendar.
    pub fn new(now: SystemTime) -> Self {
        Self::at_ns(
            now.duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)),
        )
    }

    /// The default checks at so many UTC nanoseconds since 1970-01-01, without a calendar.
    pub fn at_ns(now_ns: i64) -> Self {
        Self {
            calendar: None,
            now_ns,
            tick: 0.0,
            negative_prices: false,
            fractional_volume: false,
            provisional: Provisional::Quarantine,
            header: Header::default(),
            max_body: 16 << 20,
            max_rows: 200_000,
            max_depth: 32,
        }
    }

    /// The same checks with this calendar.
    #[must_use]
    pub fn with_calendar(mut self, calendar: Option<Calendar>) -> Self {
        self.calendar = calendar;
        self
    }
}
