//! The ledger: one row a (dataset, symbol) that says when it was last answered and what came of every row.
//!
//! It is a table of the store like any other, committed in the same frame as the rows it speaks of, so after a crash the
//! two never disagree.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use tidemill_storage::arrow::arrow_array::cast::AsArray as _;
use tidemill_storage::arrow::arrow_array::types::{Int64Type, TimestampNanosecondType};
use tidemill_storage::arrow::arrow_array::{
    Array as _, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use tidemill_storage::arrow::arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use tidemill_storage::{Batches, TableSpec};

/// Name of the table.
pub const TABLE: &str = "ledger";

/// What came of asking for a symbol the last time it was answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answered {
    /// With rows.
    Rows,
    /// With none, and the provider said so.
    Empty,
    /// The provider does not know the symbol, or does not sell it to us.
    Refused,
}

impl Answered {
    fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Empty => "empty",
            Self::Refused => "refused",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Rows, Self::Empty, Self::Refused].into_iter().find(|a| a.as_str() == text)
    }
}

/// One row of the ledger; `received = accepted + quarantined + duplicate`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// What came of it.
    pub answered: Answered,
    /// When the answer arrived.
    pub at: SystemTime,
    /// Rows in the answer.
    pub received: u64,
    /// Rows given to the store.
    pub accepted: u64,
    /// Rows put into quarantine.
    pub quarantined: u64,
    /// Rows that stood in the answer twice.
    pub duplicate: u64,
    /// Time of the last bar, nanoseconds since 1970 UTC.
    pub last_ts_ns: Option<i64>,
}

/// The ledger in memory, by dataset and symbol.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: HashMap<String, HashMap<String, Entry>>,
}

impl Ledger {
    /// Reads the ledger back from a scan of its table.
    pub fn load(batches: Result<Batches, tidemill_storage::Error>) -> Result<Self> {
        let mut ledger = Self::default();
        for batch in batches.context("cannot read the ledger")? {
            ledger.take(&batch.context("cannot read the ledger")?)?;
        }
        Ok(ledger)
    }

    /// The entry of a symbol.
    pub fn get(&self, dataset: &str, symbol: &str) -> Option<&Entry> {
        self.entries.get(dataset)?.get(symbol)
    }

    /// Remembers an entry whose commit was acknowledged.
    pub fn put(&mut self, dataset: &str, symbol: &str, entry: Entry) {
        match self.entries.get_mut(dataset) {
            Some(of) => _ = of.insert(symbol.to_owned(), entry),
            None => _ = self.entries.entry(dataset.to_owned()).or_default().insert(symbol.to_owned(), entry),
        }
    }

    /// Entries of a dataset, in no order.
    pub fn of<'a>(&'a self, dataset: &str) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        self.entries.get(dataset).into_iter().flatten().map(|(s, e)| (s.as_str(), e))
    }

    /// Every entry with its dataset and symbol, in no order.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str, &Entry)> {
        self.entries
            .iter()
            .flat_map(|(dataset, of)| of.iter().map(|(s, e)| (dataset.as_str(), s.as_str(), e)))
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let column =
            |name: &str| batch.column_by_name(name).with_context(|| format!("ledger has no column {name}"));
        let datasets = column("dataset")?.as_string::<i32>();
        let symbols = column("symbol")?.as_string::<i32>();
        let answered = column("answered")?.as_string::<i32>();
        let at = column("at")?.as_primitive::<TimestampNanosecondType>();
        let last = column("last_ts")?.as_primitive::<TimestampNanosecondType>();
        let counts = ["received", "accepted", "quarantined", "duplicate"].map(column);
        let [received, accepted, quarantined, duplicate] = counts;
        let (received, accepted) =
            (received?.as_primitive::<Int64Type>(), accepted?.as_primitive::<Int64Type>());
        let (quarantined, duplicate) =
            (quarantined?.as_primitive::<Int64Type>(), duplicate?.as_primitive::<Int64Type>());
        for i in 0..batch.num_rows() {
            let entry = Entry {
                answered: Answered::parse(answered.value(i)).with_context(|| {
                    format!("ledger row {i} holds {:?}, which this version does not know", answered.value(i))
                })?,
                at: UNIX_EPOCH + Duration::from_nanos(at.value(i).max(0) as u64),
                received: received.value(i) as u64,
                accepted: accepted.value(i) as u64,
                quarantined: quarantined.value(i) as u64,
                duplicate: duplicate.value(i) as u64,
                last_ts_ns: last.is_valid(i).then(|| last.value(i)),
            };
            self.put(datasets.value(i), symbols.value(i), entry);
        }
        Ok(())
    }
}

/// The table as the store knows it.
pub fn table() -> TableSpec {
    TableSpec::new(TABLE, schema(), ["dataset", "symbol"])
}

/// One entry as a batch of one row.
pub fn row(dataset: &str, symbol: &str, entry: &Entry) -> Result<RecordBatch> {
    let count = |n: u64| Arc::new(Int64Array::from(vec![n as i64])) as _;
    let columns = vec![
        Arc::new(StringArray::from(vec![dataset])) as _,
        Arc::new(StringArray::from(vec![symbol])) as _,
        Arc::new(StringArray::from(vec![entry.answered.as_str()])) as _,
        Arc::new(TimestampNanosecondArray::from(vec![nanos(entry.at)]).with_timezone("UTC")) as _,
        count(entry.received),
        count(entry.accepted),
        count(entry.quarantined),
        count(entry.duplicate),
        Arc::new(TimestampNanosecondArray::from(vec![entry.last_ts_ns]).with_timezone("UTC")) as _,
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

fn schema() -> SchemaRef {
    static SCHEMA: std::sync::LazyLock<SchemaRef> = std::sync::LazyLock::new(|| {
        let time = || DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        Arc::new(Schema::new(vec![
            Field::new("dataset", DataType::Utf8, false),
            Field::new("symbol", DataType::Utf8, false),
            Field::new("answered", DataType::Utf8, false),
            Field::new("at", time(), false),
            Field::new("received", DataType::Int64, false),
            Field::new("accepted", DataType::Int64, false),
            Field::new("quarantined", DataType::Int64, false),
            Field::new("duplicate", DataType::Int64, false),
            Field::new("last_ts", time(), true),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// Nanoseconds since 1970 UTC; times outside the range of `i64` (the years 1677 to 2262) are clamped.
pub fn nanos(at: SystemTime) -> i64 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_survives_the_way_through_arrow() {
        let entry = Entry {
            answered: Answered::Rows,
            at: UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789),
            received: 103,
            accepted: 100,
            quarantined: 2,
            duplicate: 1,
            last_ts_ns: Some(1_362_096_000_000_000_000),
        };
        let empty =
            Entry { answered: Answered::Empty, last_ts_ns: None, received: 0, accepted: 0, ..entry.clone() };
        let mut ledger = Ledger::default();
        ledger.take(&row("us_daily", "AAPL", &entry).unwrap()).unwrap();
        ledger.take(&row("us_daily", "NONE", &empty).unwrap()).unwrap();
        assert_eq!(ledger.get("us_daily", "AAPL"), Some(&entry));
        assert_eq!(ledger.get("us_daily", "NONE"), Some(&empty));
        assert_eq!(ledger.get("other", "AAPL"), None);
    }
}
