//! The rules a bar must pass, by the numbers under which they are reported.

use std::fmt;

/// One of the twenty rules for bars. A row that breaks a *quarantine* rule is kept aside with its raw bytes; a *flag*
/// only says that somebody should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// The time parses, has a zone, rows are in order. Quarantine; flag for rows in no order.
    V1,
    /// One row per (symbol, time, interval). Quarantine of every row that contradicts another.
    V2,
    /// Prices are finite and positive. Quarantine.
    V3,
    /// low <= min(open, close) <= max(open, close) <= high within a tick. Quarantine.
    V4,
    /// Volume is not negative, and whole unless declared fractional. Quarantine.
    V5,
    /// The time lies in a session and on the interval's grid. Quarantine; flag outside regular hours.
    V6,
    /// No session is missing between the first and the last bar. Flag.
    V7,
    /// No return lies far beyond the series' own spread. Flag.
    V8,
    /// No ratio looks like a change of unit or a missing split. Flag.
    V9,
    /// No run of flat bars without volume. Flag.
    V10,
    /// No bar repeats the bar before it in every field. Flag.
    V11,
    /// The bar is in the past and finished. Quarantine, or flag if provisional bars are kept.
    V12,
    /// Currency, exchange and zone of the header are the expected ones. Flag; quarantine where it would move times.
    V13,
    /// The symbol answered is the symbol asked. Quarantine of the whole answer.
    V14,
    /// The row has the agreed fields, each once. Quarantine; flag for unknown fields.
    V15,
    /// The rows are not samples. Quarantine of the whole answer.
    V16,
    /// received = stored + quarantined + duplicate. Flag; it would be a defect of this crate.
    V20,
}

impl Rule {
    /// `"V4"`.
    pub fn id(self) -> &'static str {
        match self {
            Rule::V1 => "V1",
            Rule::V2 => "V2",
            Rule::V3 => "V3",
            Rule::V4 => "V4",
            Rule::V5 => "V5",
            Rule::V6 => "V6",
            Rule::V7 => "V7",
            Rule::V8 => "V8",
            Rule::V9 => "V9",
            Rule::V10 => "V10",
            Rule::V11 => "V11",
            Rule::V12 => "V12",
            Rule::V13 => "V13",
            Rule::V14 => "V14",
            Rule::V15 => "V15",
            Rule::V16 => "V16",
            Rule::V20 => "V20",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}
