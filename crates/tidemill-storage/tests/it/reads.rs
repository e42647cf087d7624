//! What a scan finds is what arrow-rs' own reader finds and a plain loop leaves of it, whatever is asked, and whatever was kept.

use std::{fs::File, ops::Range, path::Path};

use arrow_select::{concat::concat_batches, filter::filter_record_batch};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use tidemill_storage::{
    Compression, Config, ErrorKind, Scan, Store, TableSpec,
    arrow::{
        arrow_array::{
            Array, ArrayRef, BooleanArray, Date32Array, Decimal32Array, Decimal64Array, Int8Array,
            Int16Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
            TimestampNanosecondArray, cast::AsArray, types::Float64Type,
        },
        arrow_schema::{Schema, SchemaRef},
    },
};

use crate::{DAY, bars, bars_of, encoding::batch};

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as usize % bound
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

/// The whole file by arrow-rs, which takes decimals for wider ones unless it is told.
fn plain(path: &Path, schema: SchemaRef) -> RecordBatch {
    let (file, options) = (File::open(path).unwrap(), ArrowReaderOptions::new().with_schema(schema));
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap();
    let (schema, reader) = (reader.schema().clone(), reader.build().unwrap());
    concat_batches(&schema, &reader.map(Result::unwrap).collect::<Vec<_>>()).unwrap()
}

/// Each value of a signed column; none for a null.
fn signed(column: &ArrayRef) -> Vec<Option<i64>> {
    macro_rules! widened {
        ($($array:ty),*) => {
            $(if let Some(array) = column.as_any().downcast_ref::<$array>() {
                return array.iter().map(|value| value.map(i64::from)).collect();
            })*
        };
    }
    widened!(Int8Array, Int16Array, Int32Array, Int64Array, Date32Array);
    widened!(TimestampMicrosecondArray, TimestampNanosecondArray, Decimal32Array, Decimal64Array);
    panic!("{} is not signed", column.data_type())
}

fn keep(rows: &RecordBatch, wanted: impl Fn(usize) -> bool) -> RecordBatch {
    let mask: BooleanArray = (0..rows.num_rows()).map(|row| Some(wanted(row))).collect();
    filter_record_batch(rows, &mask).unwrap()
}

/// The same columns and rows, bit by bit.
fn assert_same(found: &[RecordBatch], expected: &RecordBatch, case: &str) {
    let rows: usize = found.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, expected.num_rows(), "{case}");
    if let Some(first) = found.first() {
        let found = concat_batches(&first.schema(), found).unwrap();
        assert_eq!(found.num_columns(), expected.num_columns(), "{case}");
        for (at, (a, b)) in found.columns().iter().zip(expected.columns()).enumerate() {
            assert_eq!(found.schema().field(at).name(), expected.schema().field(at).name(), "{case}");
            assert_eq!(a.to_data(), b.to_data(), "{case}, column {at}");
        }
    }
}

/// Some of the columns, in their order; now and then none at all.
fn some_columns(schema: &Schema, random: &mut Random) -> Vec<usize> {
    let odds = random.of(&[1, 2, 2, 4, 20]);
    (0..schema.fields().len()).filter(|_| random.below(odds) == 0).collect()
}

#[test]
fn ranges_and_projections_find_what_a_plain_loop_does() {
    let codecs =
        [Compression::Auto, Compression::Zstd, Compression::Snappy, Compression::Lz4, Compression::None];
    let mut random = Random(3);
    let (mut empty, mut part) = (0, 0);
    for table in 0..18 {
        let rows = batch(table % 6, table / 6);
        let config = Config {
            compression: codecs[table % codecs.len()],
            row_group_rows: random.of(&[100, 300, 5000]),
            page_rows: random.of(&[7, 37, 500]),
            // Half of them parse each footer anew.
            footer_bytes: random.of(&[0, 16 << 20]),
            ..Config::default()
        };
        let dir = tempfile::tempdir().unwrap();
        let schema = rows.schema();
        let spec = TableSpec::new("all", schema.clone(), ["id"]);
        let store = Store::builder(config).table(spec).open(dir.path()).unwrap();
        store.load("all", [rows]).unwrap();
        let all = plain(&dir.path().join("parquet/all/part-000001.parquet"), schema);
        for round in 0..crate::rounds(20, 1000) {
            let name =
                random.of(&["id", "id", "i8", "i16", "i32", "i64", "date", "time", "decimal32", "decimal64"]);
            let values = signed(all.column_by_name(name).unwrap());
            // From one value that is there to another, or from end to end.
            let mut end = || random.of(&values).unwrap_or([i64::MIN, i64::MAX, 0][random.below(3)]);
            let (a, b) = (end(), end());
            let range: Range<i64> = a.min(b)..a.max(b).saturating_add(random.below(2) as i64);
            let columns = some_columns(&all.schema(), &mut random);
            let names: Vec<_> = columns.iter().map(|at| all.schema().field(*at).name().clone()).collect();
            let scan = Scan::new().range(name, range.clone()).columns(names);
            let case = format!("table {table}, round {round}: {scan:?}");
            let found: Result<Vec<_>, _> = store.scan("all", &scan).unwrap().collect();
            let within = |row: usize| values[row].is_some_and(|value| range.contains(&value));
            let expected = keep(&all, within).project(&columns).unwrap();
            assert_same(&found.unwrap(), &expected, &case);
            empty += usize::from(expected.num_rows() == 0);
            part += usize::from((1..all.num_rows()).contains(&expected.num_rows()));
        }
    }
    assert!(empty > 10 && part > 100, "{empty} found nothing, {part} a part");
}

#[test]
fn prefixes_and_ranges_find_what_a_plain_loop_does() {
    let mut random = Random(5);
    for table in 0..6 {
        let days: Vec<i64> = (0..7).map(|_| random.below(900) as i64).collect();
        let series = days.iter().enumerate().flat_map(|(at, days)| {
            (0..*days)
                .map(move |day| (format!("S{at}"), day * 2, day as f64 / 4.0, (day % 3 > 0).then_some(day)))
        });
        let config = Config {
            row_group_rows: random.of(&[200, 1000]),
            page_rows: random.of(&[10, 150]),
            ..Config::default()
        };
        let dir = tempfile::tempdir().unwrap();
        let spec = TableSpec::new("us_daily", bars().schema, ["symbol", "ts"]);
        let store = Store::builder(config).table(spec).open(dir.path()).unwrap();
        store.load("us_daily", [bars_of(series)]).unwrap();
        let all = plain(&dir.path().join("parquet/us_daily/part-000001.parquet"), bars().schema);
        let symbols: StringArray = all.column(0).as_string::<i32>().clone();
        for round in 0..crate::rounds(60, 1000) {
            let symbol = format!("S{}", random.below(9));
            let (a, b) = (random.below(2000) as i64, random.below(2000) as i64);
            let (name, range) = match random.below(3) {
                0 => ("ts", a.min(b) * DAY..a.max(b) * DAY),
                1 => ("volume", a.min(b)..a.max(b)),
                _ => ("ts", i64::MIN..i64::MAX),
            };
            let columns = some_columns(&all.schema(), &mut random);
            let names: Vec<_> = columns.iter().map(|at| all.schema().field(*at).name().clone()).collect();
            let mut scan = Scan::new().prefix([symbol.clone()]).columns(names);
            let ranged = random.below(4) > 0;
            if ranged {
                scan = scan.range(name, range.clone());
            }
            let values = signed(all.column_by_name(name).unwrap());
            let wanted = |row: usize| {
                let inside = values[row].is_some_and(|value| range.contains(&value));
                symbols.value(row) == symbol && (inside || !ranged)
            };
            let found: Result<Vec<_>, _> = store.scan("us_daily", &scan).unwrap().collect();
            let expected = keep(&all, wanted).project(&columns).unwrap();
            assert_same(&found.unwrap(), &expected, &format!("table {table}, round {round}: {scan:?}"));
        }
    }
}

/// Footers are kept, and never believed of a file that is no longer the one they were read from.
#[test]
fn a_kept_footer_is_not_used_of_another_file() {
    let rows = |last: i64| {
        bars_of((0..3000).map(|n| ("A".to_owned(), n, if n == 2000 { last as f64 } else { 1.0 }, None)))
    };
    let config = Config { row_group_rows: 1000, page_rows: 100, ..Config::default() };
    let load = |dir: &Path, last| {
        let spec = TableSpec::new("us_daily", bars().schema, ["symbol", "ts"]);
        let store = Store::builder(config.clone()).table(spec).open(dir).unwrap();
        store.load("us_daily", [rows(last)]).unwrap();
        (store, dir.join("parquet/us_daily/part-000001.parquet"))
    };
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ((store, path), (_, other)) = (load(here.path(), 2), load(there.path(), 3));
    let range = Scan::new().range("ts", 1500 * DAY..2500 * DAY).columns(["close"]);
    let read = |scan: &Scan| -> Result<usize, ErrorKind> {
        let found: Result<Vec<_>, _> = store.scan("us_daily", scan).unwrap().collect();
        found.map(|found| found.iter().map(RecordBatch::num_rows).sum()).map_err(|error| error.kind())
    };
    let (sound, other) = (std::fs::read(&path).unwrap(), std::fs::read(other).unwrap());
    assert_eq!((read(&Scan::new()), read(&range)), (Ok(3000), Ok(1000)), "footers are kept from here on");
    assert!(sound != other && sound.len() == other.len(), "the control wants files of one length");

    // Another file of the same length, one byte of a page, one of the page index, one of the footer, one too few.
    let changed = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        bytes
    };
    let page = sound.windows(8).rposition(|bytes| bytes == 2f64.to_le_bytes()).unwrap();
    let cases = [
        ("another file", other),
        ("a page", changed(page)),
        ("the footer", changed(sound.len() - 60)),
        ("a byte too few", sound[..sound.len() - 1].to_vec()),
    ];
    for (case, bytes) in cases {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(read(&range), Err(ErrorKind::Corrupt), "{case}");
        std::fs::write(&path, &sound).unwrap();
        assert_eq!(read(&range), Ok(1000), "{case}, put right again");
    }
}

/// Rows that a snapshot replaced are not found by what was kept of the one before it.
#[test]
fn each_snapshot_is_read_by_its_own_footers() {
    let dir = tempfile::tempdir().unwrap();
    let spec = TableSpec::new("us_daily", bars().schema, ["symbol", "ts"]);
    let store = Store::builder(Config::default()).table(spec).open(dir.path()).unwrap();
    for turn in 0..5 {
        let rows = bars_of((0..500).map(|n| ("A".to_owned(), n + turn * 100, turn as f64, None)));
        store.commit(tidemill_storage::Changes::new().upsert("us_daily", rows)).unwrap();
        store.publish().unwrap();
        let scan = Scan::new().range("ts", turn * 100 * DAY..(turn * 100 + 500) * DAY).columns(["close"]);
        for _ in 0..2 {
            let found: Vec<_> = store.scan("us_daily", &scan).unwrap().map(Result::unwrap).collect();
            let closes = found.iter().flat_map(|batch| {
                let closes = batch.column(0).as_primitive::<Float64Type>();
                closes.values().to_vec()
            });
            assert_eq!(closes.collect::<Vec<_>>(), vec![turn as f64; 500]);
        }
    }
}
