//! Decimals: as keys, beside floats, out of floats; what does not fit is refused with the row, the value and what to do.

use std::sync::Arc;

use tidemill_storage::{
    ArrowRs, Changes, Codec, Config, ErrorKind, Narrowing, Scan, Store, TableSpec, Tolerance,
    arrow::{
        arrow_array::{types::*, *},
        arrow_schema::*,
    },
    decimal, verify,
};

/// A book of orders: the price is part of the key.
fn book() -> TableSpec {
    let schema = Schema::new(vec![
        Field::new("symbol", DataType::Utf8, false),
        Field::new("price", DataType::Decimal64(18, 2), false),
        Field::new("fee", DataType::Decimal32(9, 4), true),
    ]);
    TableSpec::new("book", Arc::new(schema), ["symbol", "price"])
}

fn orders(rows: &[(&str, i64, Option<i32>)]) -> RecordBatch {
    let price = Decimal64Array::from_iter_values(rows.iter().map(|row| row.1));
    let fee = Decimal32Array::from_iter(rows.iter().map(|row| row.2));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(price.with_precision_and_scale(18, 2).unwrap()),
        Arc::new(fee.with_precision_and_scale(9, 4).unwrap()),
    ];
    RecordBatch::try_new(book().schema, columns).unwrap()
}

fn found(store: &Store, scan: &Scan) -> Vec<(i64, Option<i32>)> {
    let batches = store.scan("book", scan).unwrap().map(Result::unwrap);
    let rows = batches.flat_map(|batch| {
        let price = batch.column(1).as_any().downcast_ref::<Decimal64Array>().unwrap().clone();
        let fee = batch.column(2).as_any().downcast_ref::<Decimal32Array>().unwrap().clone();
        (0..batch.num_rows()).map(move |row| (price.value(row), fee.is_valid(row).then(|| fee.value(row))))
    });
    rows.collect()
}

#[test]
fn a_decimal_may_be_a_key_and_sorts_as_its_value_does() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::builder(Config::default()).table(book()).open(dir.path()).unwrap();
    let store = open();
    let commit = |store: &Store, rows: &[(&str, i64, Option<i32>)]| {
        store.commit(Changes::new().upsert("book", orders(rows))).unwrap().tables[0].clone()
    };
    commit(&store, &[("A", 500, Some(1)), ("A", -2, None), ("A", 0, Some(-3)), ("A", -70_000, Some(4))]);
    drop(store); // Without a publish: what is there comes out of the journal.
    let store = open();
    let sorted = vec![(-70_000, Some(4)), (-2, None), (0, Some(-3)), (500, Some(1))];
    assert_eq!(found(&store, &Scan::new()), sorted);
    store.publish().unwrap();
    assert_eq!(commit(&store, &[("A", -2, None), ("A", 500, Some(9))]).duplicate, 1);
    for _ in 0..2 {
        assert_eq!(
            found(&store, &Scan::new().range("price", -2..501)),
            [(-2, None), (0, Some(-3)), (500, Some(9))]
        );
        assert_eq!(found(&store, &Scan::new().range("fee", -3..5)), [(-70_000, Some(4)), (0, Some(-3))]);
        store.publish().unwrap();
    }
    store.close().unwrap();
    assert!(verify(dir.path()).unwrap().is_sound());

    // A program that keeps another scale must not take one for the other.
    let mut other = book();
    let fields = other.schema.fields().iter().map(|field| match field.name().as_str() {
        "fee" => field.as_ref().clone().with_data_type(DataType::Decimal32(9, 2)),
        _ => field.as_ref().clone(),
    });
    other.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let refused = Store::builder(Config::default()).table(other).open(dir.path()).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Config);
}

#[test]
fn more_digits_than_declared_are_refused_though_arrow_lets_them_pass() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(Config::default()).table(book()).open(dir.path()).unwrap();
    for rows in [
        [("A", 1, Some(1)), ("A", 1_000_000_000_000_000_000, None)],
        [("A", 1, Some(1)), ("A", i64::MIN, None)],
        [("A", 1, Some(1)), ("A", 2, Some(-1_000_000_000))],
    ] {
        let error = store.commit(Changes::new().upsert("book", orders(&rows))).unwrap_err();
        assert!(error.kind() == ErrorKind::Input && error.to_string().contains("row 1"), "{error}");
        let error = ArrowRs.encode(&orders(&rows), &Config::default()).unwrap_err();
        assert!(error.to_string().contains("row 1"), "{error}");
    }
    assert!(found(&store, &Scan::new()).is_empty());
}

#[test]
fn other_decimals_are_refused_with_those_that_are_stored() {
    for odd in [DataType::Decimal128(18, 2), DataType::Decimal64(9, 2), DataType::Decimal32(9, -1)] {
        let schema = Arc::new(Schema::new(vec![Field::new("a", odd, false)]));
        let dir = tempfile::tempdir().unwrap();
        let error =
            Store::builder(Config::default()).table(TableSpec::new("t", schema, ["a"])).open(dir.path());
        assert!(error.err().unwrap().to_string().contains("Decimal64 of 10 to 18"));
    }
}

fn prices(values: Vec<Option<f64>>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([(
        "price",
        Arc::new(Float64Array::from(values)) as ArrayRef,
        true,
    )])
    .unwrap()
}

#[test]
fn floats_that_are_decimals_come_back_bit_by_bit() {
    let given = vec![Some(185.64), None, Some(-0.01), Some(0.0), Some(9_999_999.99)];
    let batch = prices(given.clone());
    let narrowing = Narrowing::new().decimal("price", 2, Tolerance::Exact);
    let narrowed = narrowing.apply(&batch).unwrap();
    let report = &narrowed.report.columns[0];
    assert_eq!((report.to.as_str(), report.largest_error), ("Decimal32(9, 2)", 0.0));
    assert!(narrowed.report.bytes_after * 10 < narrowed.report.bytes_before * 6);
    let back = decimal::to_f64(narrowed.batch.column(0)).unwrap();
    assert!(back.iter().map(|v| v.map(f64::to_bits)).eq(given.iter().map(|v| v.map(f64::to_bits))));
    // One cent more takes ten digits, and so 64 bits.
    let wide = narrowing.apply(&prices(vec![Some(10_000_000.0), Some(0.1)])).unwrap();
    assert_eq!(wide.report.columns[0].to, "Decimal64(18, 2)");
    assert_eq!(decimal::to_f64(wide.batch.column(0)).unwrap().values(), &[10_000_000.0, 0.1]);

    let cents: Vec<_> = (0..5000i32).map(|n| Some(f64::from(n * n % 9973) / 100.0)).collect();
    let (before, after) = narrowing.on_disk(&prices(cents), &Config::default()).unwrap();
    assert!(after < before, "{after} {before}");
}

#[test]
fn what_is_no_such_decimal_is_refused_with_row_value_and_advice() {
    let refused = |value: f64, tolerance: Tolerance| {
        let batch = prices(vec![Some(1.5), None, Some(value)]);
        let narrowed = Narrowing::new().decimal("price", 2, tolerance).apply(&batch).unwrap();
        let why = narrowed.report.columns[0].refused.clone();
        assert!(why.is_none() || narrowed.batch == batch, "what is refused stays");
        why
    };
    for (value, says) in [
        (0.125, "row 2: 0.125 becomes 0.12"),
        (0.1 + 0.2, "declare more digits, or a tolerance"),
        (1e16, "takes more than 18 digits"),
        (-1e300, "takes more than 18 digits"),
        (f64::NAN, "row 2: NaN is no decimal; make it a null"),
        (f64::NEG_INFINITY, "is no decimal"),
    ] {
        let why = refused(value, Tolerance::Exact).unwrap();
        assert!(why.contains(says), "{why}");
    }
    assert!(refused(0.125, Tolerance::Absolute(0.005)).unwrap().contains("becomes 0.12"), "by a hair");
    assert_eq!(refused(0.125, Tolerance::Absolute(0.0051)), None);
    assert!(refused(f64::NAN, Tolerance::Absolute(1.0)).is_some());
    let twenty = Narrowing::new().decimal("price", 19, Tolerance::Exact).apply(&prices(vec![Some(1.0)]));
    assert_eq!(twenty.unwrap_err().kind(), ErrorKind::Input);
}

#[test]
fn a_table_of_decimals_takes_floats_and_wide_decimals_or_refuses_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let spec = book().narrow("price", Tolerance::Exact).narrow("fee", Tolerance::Absolute(0.0001));
    let store = Store::builder(Config::default()).table(spec).open(dir.path()).unwrap();
    let commit = |price: ArrayRef, fee: ArrayRef| {
        let symbol: ArrayRef = Arc::new(StringArray::from(vec!["A"]));
        let rows = RecordBatch::try_from_iter([("symbol", symbol), ("price", price), ("fee", fee)]).unwrap();
        store.commit(Changes::new().upsert("book", rows)).map(|receipt| receipt.tables[0].clone())
    };
    let floats = |value: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![value])) };
    let wide = |value: i128, scale: i8| -> ArrayRef {
        Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(38, scale).unwrap())
    };
    assert_eq!(commit(floats(185.64), floats(0.00014)).unwrap().stored, 1);
    assert_eq!(commit(wide(18_564, 2), wide(1, 4)).unwrap().duplicate, 1, "the same either way");
    for (price, fee, says) in [
        (floats(185.645), floats(0.0), "column price, row 0: 185.645"),
        (floats(1.0), floats(100_000.0), "takes more than 9 digits"),
        (wide(1 << 100, 2), floats(0.0), "takes more than 18 digits"),
        (wide(1, 3), floats(0.0), "another scale than 2"),
    ] {
        let error = commit(price, fee).unwrap_err();
        assert!(error.kind() == ErrorKind::Input && error.to_string().contains(says), "{error}");
    }
    assert_eq!(found(&store, &Scan::new()), [(18_564, Some(1))]);
}

#[test]
fn only_decimals_and_floats_are_read_as_floats() {
    let whole = Decimal32Array::from(vec![7]).with_precision_and_scale(9, 0).unwrap();
    assert_eq!(decimal::to_f64(&whole).unwrap().value(0), 7.0);
    let floats = PrimitiveArray::<Float64Type>::from(vec![0.5]);
    assert_eq!(decimal::to_f64(&floats).unwrap(), floats);
    for odd in [
        Arc::new(Int64Array::from(vec![1])) as ArrayRef,
        Arc::new(Decimal128Array::from(vec![1])),
        Arc::new(Decimal32Array::from(vec![1]).with_precision_and_scale(9, -2).unwrap()),
    ] {
        assert_eq!(decimal::to_f64(&odd).unwrap_err().kind(), ErrorKind::Input);
    }
}
