//! Narrowing keeps what was declared, on real bars: less memory, no value farther off than allowed.

use std::sync::Arc;

use tidemill_storage::{
    Changes, Config, ErrorKind, Narrowed, Narrowing, Scan, Store, TableSpec, Tolerance,
    arrow::{
        arrow_array::{cast::AsArray, types::*, *},
        arrow_schema::*,
    },
    decimal,
};

/// 300 daily bars of five companies (bokeh_sampledata 2026.1, BSD-3-Clause).
const BARS: &str = include_str!("../data/us5_daily_sample.csv");

fn real_bars() -> RecordBatch {
    let rows: Vec<Vec<&str>> = BARS.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let number = |at: usize| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row[at].parse::<f64>().unwrap())))
    };
    let day = |date: &str| {
        let mut parts = date.split('-').map(|part| part.parse::<i64>().unwrap());
        let (y, m, d) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        ((y - 1970) * 372 + m * 31 + d) * 86_400_000_000_000
    };
    let ts = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| day(row[1])));
    let volume = Int64Array::from_iter_values(rows.iter().map(|row| row[6].parse::<i64>().unwrap()));
    RecordBatch::try_from_iter([
        ("symbol", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row[0]))) as ArrayRef),
        ("ts", Arc::new(ts)),
        ("open", number(2)),
        ("high", number(3)),
        ("low", number(4)),
        ("close", number(5)),
        ("volume", Arc::new(volume)),
        ("adjusted", number(7)),
    ])
    .unwrap()
}

const PRICES: [&str; 5] = ["open", "high", "low", "close", "adjusted"];

#[test]
fn real_bars_take_a_third_less_memory_and_stay_within_the_tolerance() {
    let bars = real_bars();
    let narrowing =
        PRICES.iter().fold(Narrowing::new(), |n, column| n.float(*column, Tolerance::Relative(6e-8)));
    let narrowed = narrowing.apply(&bars).unwrap();
    let report = &narrowed.report;
    assert!(report.bytes_after * 100 <= report.bytes_before * 65, "{report:?}");
    assert!(report.columns.iter().all(|column| column.refused.is_none()));
    for name in PRICES {
        let wide = bars.column_by_name(name).unwrap().as_primitive::<Float64Type>();
        let narrow = narrowed.batch.column_by_name(name).unwrap().as_primitive::<Float32Type>();
        let largest = report.columns.iter().find(|c| c.name == name).unwrap().largest_error;
        for (wide, narrow) in wide.values().iter().zip(narrow.values()) {
            let error = (wide - f64::from(*narrow)).abs();
            assert!(error <= 6e-8 * wide && error <= largest);
        }
    }
    let volume = narrowed.batch.column_by_name("volume").unwrap();
    assert_eq!(volume.data_type(), &DataType::Int32);
    let symbol = narrowed.batch.column(0).as_dictionary::<Int8Type>();
    let names = symbol.values().as_string::<i32>();
    let back = symbol.keys().values().iter().map(|key| names.value(*key as usize));
    assert!(back.eq(bars.column(0).as_string::<i32>().iter().flatten()));
    let (before, after) = narrowing.on_disk(&bars, &Config::default()).unwrap();
    assert!(after < before, "{before} {after}");
}

#[test]
fn real_prices_are_decimals_of_four_places_and_adjusted_ones_are_not() {
    let bars = real_bars();
    let narrowing = PRICES.iter().fold(Narrowing::new(), |n, column| n.decimal(*column, 4, Tolerance::Exact));
    let Narrowed { batch, report } = narrowing.apply(&bars).unwrap();
    for name in PRICES {
        let column = report.columns.iter().find(|column| column.name == name).unwrap();
        let (wide, narrow) = (bars.column_by_name(name).unwrap(), batch.column_by_name(name).unwrap());
        assert_eq!(&decimal::to_f64(narrow).unwrap(), wide.as_primitive::<Float64Type>(), "bit by bit");
        if name == "adjusted" {
            assert!(column.refused.as_ref().unwrap().contains("row 0: 74.673048604034 becomes 74.673 "));
        } else {
            assert_eq!((column.to.as_str(), column.largest_error), ("Decimal32(9, 4)", 0.0));
        }
    }
    assert!(report.bytes_after * 100 <= report.bytes_before * 65, "{report:?}");
    let (before, after) = narrowing.on_disk(&bars, &Config::default()).unwrap();
    assert!(after * 100 < before * 95, "{before} {after}");
}

#[test]
fn what_would_move_too_far_is_refused_and_stays() {
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.5), None, Some(0.1)]));
    let long: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, i64::from(i32::MAX) + 1]));
    let odd: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY, -0.0]));
    let huge: ArrayRef = Arc::new(Float64Array::from(vec![1e300, 0.0, 0.0]));
    let batch =
        RecordBatch::try_from_iter([("floats", floats), ("long", long), ("odd", odd), ("huge", huge)])
            .unwrap();
    let narrowing = Narrowing::new()
        .float("floats", Tolerance::Exact)
        .float("odd", Tolerance::Exact)
        .float("huge", Tolerance::Absolute(1e299));
    let found = narrowing.apply(&batch).unwrap();
    assert!(found.report.columns[0].refused.as_ref().unwrap().contains("row 2: 0.1"), "{:?}", found.report);
    assert_eq!(found.batch.column(0), batch.column(0));
    assert_eq!(found.report.columns[1].to, "Int64");
    assert_eq!(found.report.columns[2].to, "Float32");
    assert!(found.report.columns[3].refused.is_some());
    let absolute = Narrowing::new().float("floats", Tolerance::Absolute(1e-8)).apply(&batch).unwrap();
    assert_eq!(absolute.report.columns[0].to, "Float32");
    assert!(absolute.batch.column(0).is_null(1));
    assert_eq!(
        Narrowing::new().float("long", Tolerance::Exact).apply(&batch).unwrap_err().kind(),
        ErrorKind::Input
    );
}

#[test]
fn a_table_of_narrow_columns_takes_wide_rows_or_refuses_the_commit() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("symbol", DataType::Utf8, false),
        Field::new("price", DataType::Float32, true),
        Field::new("count", DataType::Int32, false),
    ]));
    let spec = TableSpec::new("narrow", schema, ["symbol"])
        .narrow("price", Tolerance::Relative(1e-7))
        .narrow("count", Tolerance::Exact);
    let rows = |price: f64, count: i64| {
        RecordBatch::try_from_iter([
            ("count", Arc::new(Int64Array::from(vec![count])) as ArrayRef),
            ("price", Arc::new(Float64Array::from(vec![price]))),
            ("symbol", Arc::new(StringArray::from(vec!["A"]))),
        ])
        .unwrap()
    };
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(Config::default()).table(spec.clone()).open(dir.path()).unwrap();
    let commit = |price, count| store.commit(Changes::new().upsert("narrow", rows(price, count)));
    assert_eq!(commit(185.64, 7).unwrap().tables[0].stored, 1);
    assert_eq!(commit(185.64, 7).unwrap().tables[0].duplicate, 1, "narrowed alike");
    let error = commit(1e40, 7).unwrap_err();
    assert!(error.kind() == ErrorKind::Input && error.to_string().contains("price"), "{error}");
    assert!(commit(1.0, 1 << 40).unwrap_err().to_string().contains("count"));
    store.publish().unwrap();
    let found: Vec<_> = store.scan("narrow", &Scan::new()).unwrap().map(Result::unwrap).collect();
    assert_eq!(found[0].column(1).as_primitive::<Float32Type>().value(0), 185.64f32);

    let wide = spec.narrow("symbol", Tolerance::Exact);
    drop(store);
    let refused = Store::builder(Config::default()).table(wide).open(dir.path()).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Config);
}
