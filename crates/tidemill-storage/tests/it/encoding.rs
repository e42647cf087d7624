//! What is written is what is read, for every type and shape of data, and says the same of itself as arrow-rs would.

use std::{fs::File, sync::Arc};

use parquet::{
    arrow::{
        ArrowWriter,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
        arrow_writer::ArrowWriterOptions,
    },
    file::{
        metadata::{PageIndexPolicy, ParquetMetaData},
        page_index::column_index::ColumnIndexMetaData,
        properties::WriterProperties,
        statistics::Statistics,
    },
};
use tidemill_storage::{
    Compression, Config, Scan, Store, TableSpec,
    arrow::{arrow_array::*, arrow_schema::*},
};

const ROWS: usize = 1300;
const GROUP: usize = 500;
const PAGE: usize = 70;

/// Numbers of one shape: which repeat, follow each other, or do neither.
fn shaped(shape: usize, column: u64) -> Vec<u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(column + 1);
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^ state >> 29
    };
    let mut walk = 0u64;
    (0..ROWS as u64)
        .map(|row| match shape {
            0 => 7,
            1 => row / 100,
            2 => random() % 5,
            3 => row.wrapping_mul(1000).wrapping_add(random() % 7),
            4 => random(),
            _ => {
                walk = walk.wrapping_add(random() % 63).wrapping_sub(31);
                walk
            }
        })
        .collect()
}

/// One column of each type, of this shape; in some, nulls.
pub(crate) fn batch(shape: usize, nulls: usize) -> RecordBatch {
    let mut columns: Vec<(&str, ArrayRef)> =
        vec![("id", Arc::new(Int64Array::from_iter_values(0..ROWS as i64)))];
    let null = |row: usize| match nulls {
        0 => false,
        1 => row % 3 == 1 || (300..450).contains(&row),
        _ => true,
    };
    macro_rules! column {
        ($name:literal, $array:ty, $of:expr) => {
            column!($name, $array, $of, |array| array)
        };
        ($name:literal, $array:ty, $of:expr, $typed:expr) => {{
            let values = shaped(shape, columns.len() as u64).into_iter().enumerate();
            let array: $array = values.map(|(row, value)| (!null(row)).then(|| $of(value))).collect();
            columns.push(($name, Arc::new($typed(array))));
        }};
    }
    column!("bool", BooleanArray, |v: u64| v & 1 == 1);
    column!("i8", Int8Array, |v| v as i8);
    column!("i16", Int16Array, |v| v as i16);
    column!("i32", Int32Array, |v| v as i32);
    column!("i64", Int64Array, |v| v as i64);
    column!("u8", UInt8Array, |v| v as u8);
    column!("u16", UInt16Array, |v| v as u16);
    column!("u32", UInt32Array, |v| v as u32);
    column!("u64", UInt64Array, |v| v);
    column!("f32", Float32Array, |v| v as i16 as f32 / 8.0);
    column!("cents", Float64Array, |v| (v as i64 % (1 << 40)) as f64 / 100.0);
    column!("odd", Float64Array, |v| [f64::NAN, -0.0, 0.0, f64::INFINITY, 0.1 + 0.2, f64::from_bits(v)]
        [v as usize % 6]);
    column!("date", Date32Array, |v| v as i32);
    column!("time", TimestampMicrosecondArray, |v| v as i64);
    column!("decimal32", Decimal32Array, |v| v as i32 % 1_000_000_000, |array: Decimal32Array| array
        .with_precision_and_scale(9, 2)
        .unwrap());
    column!(
        "decimal64",
        Decimal64Array,
        |v| v as i64 % 1_000_000_000_000_000_000,
        |array: Decimal64Array| array.with_precision_and_scale(18, 4).unwrap()
    );
    column!("text", StringArray, |v: u64| format!("{v:x}").repeat(1 + v as usize % 9));
    column!("bytes", BinaryArray, |v: u64| v.to_le_bytes()[..v as usize % 8].to_vec());
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), *name != "id"))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect())
        .unwrap()
}

fn metadata(path: &std::path::Path) -> Arc<ParquetMetaData> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    ArrowReaderMetadata::load(&File::open(path).unwrap(), options).unwrap().metadata().clone()
}

#[test]
fn every_type_and_shape_leads_back_and_is_described_as_arrow_rs_does() {
    let codecs =
        [Compression::Auto, Compression::Zstd, Compression::Snappy, Compression::Lz4, Compression::None];
    for shape in 0..6 {
        for nulls in 0..3 {
            let rows = batch(shape, nulls);
            let config = Config {
                compression: codecs[(shape + nulls) % codecs.len()],
                row_group_rows: GROUP,
                page_rows: PAGE,
                ..Config::default()
            };
            let dir = tempfile::tempdir().unwrap();
            let spec = TableSpec::new("all", rows.schema(), ["id"]);
            let store = Store::builder(config).table(spec).open(dir.path()).unwrap();
            store.load("all", [rows.clone()]).unwrap();
            let mut at = 0;
            for found in store.scan("all", &Scan::new()).unwrap() {
                let found = found.unwrap();
                let given = rows.slice(at, found.num_rows());
                for (a, b) in found.columns().iter().zip(given.columns()) {
                    // Compared by their bytes: a NaN equals itself, and the zeros are two.
                    assert_eq!(a.to_data(), b.to_data(), "shape {shape}, nulls {nulls}");
                }
                at += found.num_rows();
            }
            assert_eq!(at, ROWS);

            let ours = dir.path().join("parquet/all/part-000001.parquet");
            let theirs = dir.path().join("theirs");
            write_theirs(&theirs, &rows);
            same(&metadata(&ours), &metadata(&theirs), &format!("shape {shape}, nulls {nulls}"));
        }
    }
}

fn write_theirs(path: &std::path::Path, rows: &RecordBatch) {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(GROUP))
        .set_data_page_row_count_limit(PAGE)
        .set_write_batch_size(PAGE)
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new_with_options(file, rows.schema(), options).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

/// Both describe the same rows: statistics of chunks and of pages.
fn same(ours: &ParquetMetaData, theirs: &ParquetMetaData, case: &str) {
    assert_eq!(ours.num_row_groups(), theirs.num_row_groups());
    for group in 0..ours.num_row_groups() {
        let columns = ours.row_group(group).columns().iter().zip(theirs.row_group(group).columns());
        for (at, (a, b)) in columns.enumerate() {
            let case = format!("{case}, group {group}, column {}", a.column_path());
            assert_eq!(a.num_values(), b.num_values(), "{case}");
            let text = |statistics: Option<&Statistics>| {
                format!("{statistics:?}").replace(
                    "is_min_max_backwards_compatible: true",
                    "is_min_max_backwards_compatible: false",
                )
            };
            assert_eq!(text(a.statistics()), text(b.statistics()), "{case}");
            let pages = |of: &ParquetMetaData| -> Vec<_> {
                let locations = of.offset_index().unwrap()[group][at].page_locations().clone();
                locations.iter().map(|page| page.first_row_index).collect()
            };
            assert_eq!(pages(ours), pages(theirs), "{case}");
            let index = |of: &ParquetMetaData| index(&of.column_index().unwrap()[group][at]);
            assert_eq!(index(ours), index(theirs), "{case}");
        }
    }
}

/// Null pages, null counts, least and greatest of each page.
fn index(index: &ColumnIndexMetaData) -> Vec<String> {
    macro_rules! pages {
        ($($variant:ident),*) => {
            match index {
                $(ColumnIndexMetaData::$variant(i) => (0..index.num_pages() as usize)
                    .map(|page| format!("{:?} {:?} {:?}", index.null_count(page), i.min_value(page), i.max_value(page)))
                    .collect(),)*
                _ => vec!["none".into()],
            }
        };
    }
    pages!(BOOLEAN, INT32, INT64, FLOAT, DOUBLE, BYTE_ARRAY)
}

#[test]
fn columns_say_what_was_chosen_for_them() {
    let rows = batch(5, 0);
    let dir = tempfile::tempdir().unwrap();
    let spec = TableSpec::new("all", rows.schema(), ["id"]);
    let store = Store::builder(Config::default()).table(spec).open(dir.path()).unwrap();
    store.load("all", [rows]).unwrap();
    let columns = Store::open_read_only(dir.path()).unwrap().columns("all").unwrap();
    let of = |name: &str| columns.iter().find(|column| column.name == name).unwrap();
    assert_eq!(of("id").encodings, ["DELTA_BINARY_PACKED"]);
    assert_eq!(of("bool").compression, "none", "bits of noise do not gain");
    assert_eq!(of("cents").encodings, ["PLAIN", "RLE", "RLE_DICTIONARY"], "{:?}", of("cents"));
    assert!(of("text").compression == "zstd");
    assert!(columns.iter().all(|column| column.bytes > 0 && column.bytes <= column.encoded_bytes + 64));
}
