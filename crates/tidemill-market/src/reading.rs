//! What an answer turned out to be: its class, its bars, and every row that is not among them.

use std::time::Duration;

use crate::bars::Bars;
use crate::rule::Rule;

/// A provider's HTTP answer as it came off the wire, decompressed.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// HTTP status.
    pub status: u16,
    /// The `Content-Type` header, if it came.
    pub content_type: Option<&'a str>,
    /// The whole body.
    pub body: &'a [u8],
}

/// What kind of answer it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// Rows in a known shape: at least one bar stands, or all rows are only provisional (V12).
    Ok,
    /// A known shape that says there is nothing.
    Empty,
    /// Asked too often: wait, then ask again.
    Throttled,
    /// A ban, a challenge page or a wall: stop asking for a while.
    Blocked,
    /// Asking again changes nothing before somebody acts.
    Refused(Refused),
    /// The provider failed (5xx): ask again later.
    ServerError,
    /// A broken or unknown shape. Never taken for success.
    Malformed,
}

/// Why an answer is refused for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refused {
    /// The key is unknown, expired or revoked.
    KeyRevoked,
    /// The plan does not include this.
    NotEntitled,
    /// There is no such symbol.
    UnknownSymbol,
    /// Anything else that is final.
    Other,
}

/// Everything one answer gave. `received == bars.len() + quarantined.len() + duplicates`, always.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Reading {
    /// What kind of answer it was.
    pub class: Class,
    /// Rows that passed every quarantine rule.
    pub bars: Bars,
    /// Rows that did not, each with its raw bytes.
    pub quarantined: Vec<Quarantined>,
    /// Rows that stood a second time in the same answer with the same values.
    pub duplicates: u32,
    /// Rows in the answer.
    pub received: u32,
    /// Doubts that do not hold a row back.
    pub flags: Vec<Flag>,
    /// The provider's own words or what is wrong, at most 300 characters. A key may stand in it: scrub before logging.
    pub message: Option<String>,
    /// How long the body itself says to wait (the `Retry-After` header is the limiter's business).
    pub retry_after: Option<Duration>,
    /// The window the provider's words name: "25 requests per day" gives 24 hours.
    pub quota_window: Option<Duration>,
    /// Address of the next page, if the answer is one of several: for [`Adapter::request_next`](crate::Adapter::request_next).
    pub next: Option<String>,
    /// What the header of the answer says about its rows.
    pub header: Header,
}

/// A row that is kept aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The first rule it breaks.
    pub rule: Rule,
    /// What is wrong, with the value.
    pub reason: String,
    /// The row's bytes as received. A row of a columnar answer is rebuilt as `[time,open,high,low,close,volume]`.
    pub raw: Vec<u8>,
    /// The time of the row, where it could be told.
    pub ts: Option<i64>,
}

/// A doubt about rows that were nevertheless accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The rule.
    pub rule: Rule,
    /// The first bar concerned, where there is one.
    pub ts: Option<i64>,
    /// What was seen, with the values.
    pub reason: String,
}

/// What the header of an answer says; each is `None` where the provider does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// Currency of the prices.
    pub currency: Option<String>,
    /// Exchange of the rows.
    pub exchange: Option<String>,
    /// Zone of the times.
    pub zone: Option<String>,
}

impl Reading {
    /// V20: every row received is among the bars, the quarantine or the duplicates.
    pub fn balances(&self) -> bool {
        self.received as usize == self.bars.len() + self.quarantined.len() + self.duplicates as usize
    }
}

impl Class {
    /// True if rows arrived.
    pub fn is_ok(self) -> bool {
        self == Class::Ok
    }
}

impl Reading {
    /// Nothing received, nothing known.
    pub(crate) fn bare(symbol: &str) -> Self {
        Self {
            class: Class::Malformed,
            bars: Bars { symbol: symbol.to_owned(), ..Bars::default() },
            quarantined: Vec::new(),
            duplicates: 0,
            received: 0,
            flags: Vec::new(),
            message: None,
            retry_after: None,
            quota_window: None,
            next: None,
            header: Header::default(),
        }
    }
}
