//! One tier on the disk: a store a period, so that what is too old goes with its folder.
//!
//! `DATA/history/raw/2026-11-21`, `…/minute/2026-11`, `…/hour/2026`: each a [`Store`] whose tables any Parquet reader
//! opens, with a table `series` that says what its ids stand for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use tidemill_storage::arrow::arrow_array::cast::AsArray as _;
use tidemill_storage::arrow::arrow_array::types::{Float64Type, TimestampMillisecondType};
use tidemill_storage::arrow::arrow_array::{
    ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use tidemill_storage::arrow::arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use tidemill_storage::{Changes, Config as StoreConfig, ErrorKind, Partition, Scan, Store, TableSpec};

use super::track::Span;
use crate::series::{BySeries, Kind, Series};

/// The tiers, from fine to coarse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// Every value as it was told; a folder a day.
    Raw,
    /// Least, most and mean of each minute; a folder a month.
    Minute,
    /// The same of each hour; a folder a year.
    Hour,
}

/// A row: the value of [`Tier::Raw`] stands in all three numbers.
#[derive(Clone, Debug)]
pub struct Row {
    /// Whose.
    pub series: Arc<Series>,
    /// When and what.
    pub span: Span,
}

/// The id of a series as it stands on the disk: 13 letters and digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id([u8; 13]);

/// Series whose ids are remembered of one store.
const KNOWN: usize = 20_000;

/// The table that says what ids stand for.
pub const SERIES: &str = "series";

/// The open stores of one tier. Belongs to the writing thread.
#[derive(Debug)]
pub(super) struct Stores {
    tier: Tier,
    dir: PathBuf,
    open: BTreeMap<String, Period>,
}

#[derive(Debug)]
struct Period {
    store: Store,
    /// What the store's table `series` explains.
    named: HashSet<Id>,
    /// Ids of series that were written since the start, so that they are not made again each time.
    known: BySeries<Id>,
    dirty: bool,
}

impl Tier {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Raw, Self::Minute, Self::Hour];

    /// Its folder and table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Minute => "minute",
            Self::Hour => "hour",
        }
    }

    /// The name of the period that a moment lies in.
    #[must_use]
    pub fn period(self, at_ms: i64) -> String {
        let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let form = match self {
            Self::Raw => "%Y-%m-%d",
            Self::Minute => "%Y-%m",
            Self::Hour => "%Y",
        };
        at.strftime(form).to_string()
    }

    fn schema(self) -> SchemaRef {
        let number = |name: &str| Field::new(name, DataType::Float64, false);
        let mut fields = vec![
            Field::new("series", DataType::Utf8, false),
            Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
        ];
        match self {
            Self::Raw => fields.push(number("value")),
            Self::Minute | Self::Hour => fields.extend(["min", "max", "mean"].map(number)),
        }
        Arc::new(Schema::new(fields))
    }

    fn table(self) -> TableSpec {
        let table = TableSpec::new(self.name(), self.schema(), ["series", "ts"]);
        match self {
            Self::Minute => table.partition(Partition::Day { column: "ts".into() }),
            Self::Raw | Self::Hour => table,
        }
    }

    /// The folders of this tier, oldest first.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn folders(self, history: &Path) -> Result<Vec<PathBuf>> {
        let dir = history.join(self.name());
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("cannot list {}", dir.display())),
        };
        let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        folders.retain(|path| path.is_dir() && !path.ends_with("lost+found"));
        folders.sort();
        Ok(folders)
    }
}

impl Id {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn read(text: &str) -> Option<Self> {
        text.as_bytes().try_into().ok().map(Self)
    }
}

/// The id of a series, made of what it reads like: the same in every process.
#[must_use]
pub fn id_of(series: &Series) -> Id {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut eat = |text: &str| {
        for byte in text.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    eat(&series.target);
    eat(&series.name);
    for (name, value) in &series.labels {
        eat(name);
        eat(value);
    }
    // FNV's upper bits are the better ones; a last stir spreads them.
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Id(std::array::from_fn(|at| b"0123456789abcdefghijklmnopqrstuv"[(hash >> (at * 5) & 31) as usize]))
}

impl Stores {
    pub(super) fn new(history: &Path, tier: Tier) -> Self {
        Self { tier, dir: history.join(tier.name()), open: BTreeMap::new() }
    }

    /// Keeps rows: they are durable when it returns.
    pub(super) fn commit(&mut self, rows: &[Row]) -> Result<()> {
        let mut periods: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
        // All rows of a round have one time, so that its name is made once.
        for rows in rows.chunk_by(|one, next| one.span.start_ms == next.span.start_ms) {
            periods.entry(self.tier.period(rows[0].span.start_ms)).or_default().extend(rows);
        }
        for (name, rows) in periods {
            let tier = self.tier;
            let period = self.period(&name)?;
            let mut ids = Vec::with_capacity(rows.len());
            let (mut fresh, mut unnamed) = (Vec::new(), Vec::new());
            for row in &rows {
                ids.push(match period.known.get(&row.series) {
                    Some(id) => *id,
                    None => {
                        let id = id_of(&row.series);
                        if !period.named.contains(&id) {
                            unnamed.push((id, &*row.series));
                        }
                        fresh.push((Arc::clone(&row.series), id));
                        id
                    }
                });
            }
            let mut changes = Changes::new().upsert(tier.name(), batch(tier, &ids, &rows)?);
            if !unnamed.is_empty() {
                changes = changes.upsert(SERIES, series_batch(&unnamed)?);
            }
            period.store.commit(changes).with_context(|| format!("cannot keep rows of {}", tier.name()))?;
            period.dirty = true;
            if period.known.len() + fresh.len() > KNOWN {
                period.known.clear();
            }
            period.named.extend(fresh.iter().map(|(_, id)| *id));
            period.known.extend(fresh);
        }
        Ok(())
    }

    /// Shows readers what was kept since, closes what is over, and takes away what is too old.
    pub(super) fn publish(&mut self, now_ms: i64, keep: Duration) -> Result<()> {
        // What is late by ten minutes still finds its store open.
        let current = self.tier.period(now_ms - 600_000);
        let mut over = Vec::new();
        for (name, period) in &mut self.open {
            if *name < current {
                period.store.close().with_context(|| format!("cannot close {name}"))?;
                over.push(name.clone());
            } else if std::mem::take(&mut period.dirty) {
                period.store.publish().with_context(|| format!("cannot publish {name}"))?;
            }
        }
        for name in over {
            self.open.remove(&name);
        }
        self.forget(now_ms, keep)
    }

    pub(super) fn needs_publish(&self) -> bool {
        self.open.values().any(|period| period.store.needs_publish())
    }

    /// Publishes and closes everything.
    pub(super) fn close(&mut self) -> Result<()> {
        for (name, period) in std::mem::take(&mut self.open) {
            period.store.close().with_context(|| format!("cannot close {name}"))?;
        }
        Ok(())
    }

    /// The stores of the periods that a stretch of time touches, oldest first.
    pub(super) fn within(&mut self, from_ms: i64, to_ms: i64) -> Result<Vec<Store>> {
        let (first, last) = (self.tier.period(from_ms), self.tier.period(to_ms));
        let names = self.names(&first, &last)?;
        names.iter().map(|name| Ok(self.period(name)?.store.clone())).collect()
    }

    fn names(&self, first: &str, last: &str) -> Result<Vec<String>> {
        let folders = self.tier.folders(self.dir.parent().unwrap_or(&self.dir))?;
        let names = folders.iter().filter_map(|path| path.file_name()?.to_str());
        Ok(names.filter(|name| (first..=last).contains(name)).map(str::to_owned).collect())
    }

    fn period(&mut self, name: &str) -> Result<&mut Period> {
        if !self.open.contains_key(name) {
            let dir = self.dir.join(name);
            std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
            let store = Store::builder(store_config())
                .table(self.tier.table())
                .table(series_table())
                .holder("tidemill-monitor")
                .open(&dir)
                .map_err(|error| match error.kind() {
                    ErrorKind::Locked => anyhow::Error::new(error)
                        .context("another monitor keeps its history there; give this one its own --data"),
                    _ => anyhow::Error::new(error),
                })
                .with_context(|| format!("cannot open {}", dir.display()))?;
            let mut named_ids = HashMap::new();
            for batch in store.scan(SERIES, &Scan::new())? {
                named(&batch?, &mut named_ids);
            }
            let named = named_ids.keys().filter_map(|id| Id::read(id)).collect();
            // What a crash left in the journal is published with the next rows.
            let known = BySeries::default();
            self.open.insert(name.to_owned(), Period { store, named, known, dirty: true });
        }
        self.open.get_mut(name).context("opened above")
    }

    fn forget(&self, now_ms: i64, keep: Duration) -> Result<()> {
        let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let first = self.tier.period(now_ms.saturating_sub(keep_ms));
        for folder in self.tier.folders(self.dir.parent().unwrap_or(&self.dir))? {
            let old =
                folder.file_name().and_then(|name| name.to_str()).is_some_and(|name| name < first.as_str());
            if old {
                std::fs::remove_dir_all(&folder)
                    .with_context(|| format!("cannot remove {}, which is too old", folder.display()))?;
                tracing::info!(folder = %folder.display(), "history beyond its retention was removed");
            }
        }
        Ok(())
    }
}

/// Small: a monitor's rows are few, and many stores are open.
fn store_config() -> StoreConfig {
    StoreConfig {
        flush_bytes: 4 << 20,
        cache_bytes: 256 << 10,
        footer_bytes: 1 << 20,
        ..StoreConfig::default()
    }
}

fn series_table() -> TableSpec {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let fields = ["id", "target", "name", "labels", "kind"].map(text);
    TableSpec::new(SERIES, Arc::new(Schema::new(fields.to_vec())), ["id"])
}

fn series_batch(fresh: &[(Id, &Series)]) -> Result<RecordBatch> {
    let labels = fresh.iter().map(|(_, series)| {
        let map: BTreeMap<&str, &str> =
            series.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        serde_json::to_string(&map)
    });
    let labels: Vec<String> = labels.collect::<Result<_, _>>()?;
    let text = |of: &dyn Fn(usize) -> String| {
        Arc::new(StringArray::from_iter_values((0..fresh.len()).map(of))) as ArrayRef
    };
    let kind = |kind: Kind| match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
        Kind::Unknown => "unknown",
    };
    let columns = vec![
        text(&|at| fresh[at].0.as_str().to_owned()),
        text(&|at| fresh[at].1.target.to_string()),
        text(&|at| fresh[at].1.name.to_string()),
        Arc::new(StringArray::from(labels)) as ArrayRef,
        text(&|at| kind(fresh[at].1.kind).to_owned()),
    ];
    Ok(RecordBatch::try_new(series_table().schema, columns)?)
}

fn batch(tier: Tier, ids: &[Id], rows: &[&Row]) -> Result<RecordBatch> {
    let number = |of: fn(&Span) -> f64| {
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| of(&row.span)))) as ArrayRef
    };
    let ts = TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.span.start_ms));
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(ids.iter().map(Id::as_str))),
        Arc::new(ts.with_timezone("UTC")),
    ];
    match tier {
        Tier::Raw => columns.push(number(|span| span.mean)),
        Tier::Minute | Tier::Hour => {
            columns.extend([number(|span| span.min), number(|span| span.max), number(|span| span.mean)]);
        }
    }
    Ok(RecordBatch::try_new(tier.schema(), columns)?)
}

/// The rows of `from_ms..=to_ms`, of all series or of one: oldest first within a series and a store.
pub(super) fn read(
    tier: Tier,
    stores: &[Store],
    (from_ms, to_ms): (i64, i64),
    only: Option<&str>,
    mut each: impl FnMut(&str, Span),
) -> Result<()> {
    let scan = Scan::new().range("ts", from_ms..to_ms.saturating_add(1));
    let scan = match only {
        Some(id) => scan.prefix([id]),
        None => scan,
    };
    for store in stores {
        for batch in store.scan(tier.name(), &scan)? {
            rows_of(tier, &batch?, &mut each);
        }
    }
    Ok(())
}

/// What the ids in these stores stand for.
pub(super) fn series_in(stores: &[Store]) -> Result<HashMap<String, Arc<Series>>> {
    let mut found = HashMap::new();
    for store in stores {
        for batch in store.scan(SERIES, &Scan::new())? {
            named(&batch?, &mut found);
        }
    }
    Ok(found)
}

/// The rows of a batch of this tier.
fn rows_of(tier: Tier, batch: &RecordBatch, each: &mut impl FnMut(&str, Span)) {
    let ids = batch.column(0).as_string::<i32>();
    let ts = batch.column(1).as_primitive::<TimestampMillisecondType>();
    let number = |column: usize| batch.column(column).as_primitive::<Float64Type>();
    let (min, max, mean) = match tier {
        Tier::Raw => (number(2), number(2), number(2)),
        Tier::Minute | Tier::Hour => (number(2), number(3), number(4)),
    };
    for row in 0..batch.num_rows() {
        let span =
            Span { start_ms: ts.value(row), min: min.value(row), max: max.value(row), mean: mean.value(row) };
        each(ids.value(row), span);
    }
}

/// What the ids of a batch of the table `series` stand for.
fn named(batch: &RecordBatch, found: &mut HashMap<String, Arc<Series>>) {
    let text = |column: usize| batch.column(column).as_string::<i32>();
    let (ids, targets, names, labels, kinds) = (text(0), text(1), text(2), text(3), text(4));
    for row in 0..batch.num_rows() {
        let map: BTreeMap<String, String> = serde_json::from_str(labels.value(row)).unwrap_or_default();
        let labels: Vec<(&str, &str)> =
            map.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let kind = match kinds.value(row) {
            "counter" => Kind::Counter,
            "gauge" => Kind::Gauge,
            "histogram" => Kind::Histogram,
            _ => Kind::Unknown,
        };
        let series = Series::new(&Arc::from(targets.value(row)), names.value(row), &labels, kind);
        found.insert(ids.value(row).to_owned(), Arc::new(series));
    }
}
