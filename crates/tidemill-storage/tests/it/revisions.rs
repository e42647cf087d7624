//! Tables that keep every version of a row, against a map from rows to their versions.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use proptest::prelude::*;
use tidemill_journal::sim::SimDisk;
use tidemill_storage::{
    Changes, Compression, Config, ErrorKind, Partition, ReadOnly, Scan, Store, TableSpec,
    arrow::{
        arrow_array::{
            Array, Float64Array, RecordBatch, StringArray, TimestampNanosecondArray,
            cast::AsArray,
            types::{Float64Type, TimestampNanosecondType},
        },
        arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit},
    },
    verify_on,
};

use crate::DAY;

/// Symbol, day, known since, close.
type Row = (u8, i64, i64, u8);

/// (symbol, day) to (known since, close).
type Versions = BTreeMap<(String, i64), BTreeMap<i64, u64>>;

fn schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("symbol", DataType::Utf8, false),
        Field::new("ts", time(), false),
        Field::new("known", time(), false),
        Field::new("close", DataType::Float64, false),
    ]))
}

fn spec() -> TableSpec {
    TableSpec::new("estimates", schema(), ["symbol", "ts", "known"])
        .partition(Partition::Year { column: "ts".into() })
        .revisions()
}

fn rows(rows: &[Row]) -> RecordBatch {
    let time = |of: fn(&Row) -> i64| {
        TimestampNanosecondArray::from_iter_values(rows.iter().map(of)).with_timezone("UTC")
    };
    let columns: Vec<Arc<dyn Array>> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| format!("S{}", row.0)))),
        Arc::new(time(|row| row.1 * DAY)),
        Arc::new(time(|row| row.2)),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| f64::from(row.3)))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn open(disk: &SimDisk, split_bytes: u64) -> Store {
    let config = Config {
        row_group_rows: 5,
        cache_bytes: 400,
        split_bytes,
        compression: Compression::None,
        ..Config::default()
    };
    Store::builder(config).table(spec()).disk(Arc::new(disk.clone())).open(Path::new("/data/store")).unwrap()
}

/// Every row of the batches, with a version each.
fn versions<E: std::fmt::Debug>(
    batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
) -> (Versions, usize) {
    let (mut out, mut count) = (Versions::new(), 0);
    for batch in batches {
        let batch = batch.unwrap();
        let symbol = batch.column(0).as_string::<i32>();
        let ts = batch.column(1).as_primitive::<TimestampNanosecondType>();
        let known = batch.column(2).as_primitive::<TimestampNanosecondType>();
        let close = batch.column(3).as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            let of = out.entry((symbol.value(row).to_owned(), ts.value(row) / DAY)).or_default();
            of.insert(known.value(row), close.value(row).to_bits());
            count += 1;
        }
    }
    (out, count)
}

/// Of each row, the version known at a moment.
fn seen(model: &Versions, as_of: i64) -> Versions {
    let at = |versions: &BTreeMap<i64, u64>| {
        versions.range(..=as_of).next_back().map(|(known, close)| BTreeMap::from([(*known, *close)]))
    };
    model.iter().filter_map(|(row, versions)| Some((row.clone(), at(versions)?))).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Row>),
    Publish,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let row = (0u8..3, prop::sample::select(vec![0i64, 1, 365, 366]), 0i64..8, 0u8..3);
    prop_oneof![
        5 => prop::collection::vec(row, 0..10).prop_map(Step::Commit),
        2 => Just(Step::Publish),
        1 => Just(Step::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_table_with_revisions_is_a_map_of_maps(
        steps in prop::collection::vec(step(), 1..14),
        split_bytes in prop::sample::select(vec![1024u64, 1 << 28]),
    ) {
        let mut disk = SimDisk::new();
        let mut store = open(&disk, split_bytes);
        let mut model = Versions::new();
        for step in steps {
            match step {
                Step::Commit(batch) => {
                    let mut stored = 0;
                    for (symbol, day, known, close) in &batch {
                        let close = f64::from(*close).to_bits();
                        let of = model.entry((format!("S{symbol}"), *day)).or_default();
                        // What the version before says already is no version.
                        if of.range(..=known).next_back().is_none_or(|(_, before)| *before != close) {
                            of.insert(*known, close);
                            stored += 1;
                        }
                    }
                    let receipt = store.commit(Changes::new().upsert("estimates", rows(&batch))).unwrap();
                    let counts = &receipt.tables[0];
                    prop_assert_eq!((counts.received, counts.stored), (batch.len() as u64, stored));
                    prop_assert_eq!(counts.duplicate, counts.received - counts.stored);
                }
                Step::Publish => {
                    store.publish().unwrap();
                    let reader = ReadOnly::open_on(Arc::new(disk.clone()), Path::new("/data/store")).unwrap();
                    if reader.tables().count() > 0 {
                        let all = versions(reader.scan("estimates", &Scan::new().revisions()).unwrap());
                        prop_assert_eq!(&all.0, &model);
                        prop_assert_eq!(all.1 as u64, reader.rows("estimates").unwrap(), "versions are counted");
                        let newest = versions(reader.scan("estimates", &Scan::new()).unwrap()).0;
                        prop_assert_eq!(newest, seen(&model, i64::MAX));
                    }
                }
                Step::Kill => {
                    disk = disk.kill();
                    store = open(&disk, split_bytes);
                }
            }
            let (all, count) = versions(store.scan("estimates", &Scan::new().revisions()).unwrap());
            prop_assert_eq!(&all, &model);
            prop_assert_eq!(count, model.values().map(BTreeMap::len).sum::<usize>());
            for as_of in [-1, 0, 3, 5, i64::MAX] {
                let (found, count) = versions(store.scan("estimates", &Scan::new().as_of(as_of)).unwrap());
                let expected = seen(&model, as_of);
                prop_assert_eq!(count, expected.len(), "one version of each row");
                prop_assert_eq!(found, expected);
            }
            let one = Scan::new().prefix(["S1"]).range("ts", 0..2 * DAY).as_of(4);
            let found = versions(store.scan("estimates", &one).unwrap()).0;
            let wanted = |row: &(String, i64)| row.0 == "S1" && row.1 < 2;
            let expected: Versions = seen(&model, 4).into_iter().filter(|(row, _)| wanted(row)).collect();
            prop_assert_eq!(found, expected);
        }
        prop_assert!(verify_on(&disk, Path::new("/data/store")).unwrap().is_sound());
    }
}

#[test]
fn what_is_asked_for_is_shown_and_what_makes_no_sense_is_refused() {
    let disk = SimDisk::new();
    let store = open(&disk, 1 << 28);
    let batch = rows(&[(1, 0, 10, 1), (1, 0, 20, 2), (1, 1, 10, 3), (1, 1, 30, 4), (1, 400, 10, 5)]);
    store.commit(Changes::new().upsert("estimates", batch)).unwrap();
    store.publish().unwrap();
    // Only the column that was asked for, although the key decides.
    let scan = Scan::new().columns(["close"]).as_of(20);
    let found: Vec<RecordBatch> = store.scan("estimates", &scan).unwrap().map(Result::unwrap).collect();
    let closes: Vec<f64> =
        found.iter().flat_map(|b| b.column(0).as_primitive::<Float64Type>().values().to_vec()).collect();
    assert_eq!((found[0].num_columns(), closes), (1, vec![2.0, 3.0, 5.0]));
    // The last two rows of a series, not the last two versions.
    let last = versions(store.latest("estimates", &["S1"], 2).unwrap().into_iter().map(Ok::<_, ()>)).0;
    let days: Vec<i64> = last.keys().map(|row| row.1).collect();
    assert_eq!(days, [1, 400]);
    assert_eq!(last[&("S1".into(), 1)], BTreeMap::from([(30, 4f64.to_bits())]));

    let error = store.scan("estimates", &Scan::new().range("known", 0..20)).unwrap_err();
    assert!(error.kind() == ErrorKind::Input && error.to_string().contains("revisions()"), "{error}");
    assert!(store.scan("estimates", &Scan::new().range("known", 0..20).revisions()).is_ok());
    drop(store);
    // Opened without them, every version would be a row.
    let mut plain = spec();
    plain.revisions = false;
    let config = Config { compression: Compression::None, ..Config::default() };
    let open = |spec: TableSpec| {
        let builder = Store::builder(config.clone()).table(spec).disk(Arc::new(disk.kill()));
        builder.open(Path::new("/data/store"))
    };
    let error = open(plain).unwrap_err();
    assert!(error.to_string().contains("choice about revisions"), "{error}");
    for key in [vec!["known"], vec!["symbol", "ts", "close"], vec!["known", "symbol"]] {
        let error = open(TableSpec::new("other", schema(), key).revisions()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
    let by_known = TableSpec::new("other", schema(), ["symbol", "ts", "known"]);
    let by_known = by_known.partition(Partition::Year { column: "known".into() }).revisions();
    assert!(open(by_known).unwrap_err().to_string().contains("several folders"));
}
