//! The protobuf exposition, read back by a reader of the wire format written for this test.

use proptest::prelude::*;
use tidemill_metrics::{Config, Format, Registry, ZERO_THRESHOLD};

/// A field's value on the wire.
#[derive(Clone, Debug, PartialEq)]
enum Wire {
    Varint(u64),
    Double(f64),
    Bytes(Vec<u8>),
}

/// The fields of a message, in order.
type Fields = Vec<(u64, Wire)>;

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("a varint goes on");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a varint of more than ten bytes");
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken
}

fn fields(mut bytes: &[u8]) -> Fields {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Wire::Varint(varint(&mut bytes)),
            1 => Wire::Double(f64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut bytes) as usize;
                Wire::Bytes(take(&mut bytes, length).to_vec())
            }
            kind => panic!("wire type {kind}"),
        };
        all.push((key >> 3, value));
    }
    all
}

fn all(fields: &Fields, number: u64) -> impl Iterator<Item = &Wire> {
    fields.iter().filter(move |(field, _)| *field == number).map(|(_, value)| value)
}

fn bytes(fields: &Fields, number: u64) -> Vec<&[u8]> {
    all(fields, number)
        .map(|value| match value {
            Wire::Bytes(bytes) => bytes.as_slice(),
            other => panic!("{other:?} is no message"),
        })
        .collect()
}

fn number(fields: &Fields, number: u64) -> u64 {
    match all(fields, number).next() {
        Some(Wire::Varint(value)) => *value,
        None => 0,
        other => panic!("{other:?} is no number"),
    }
}

fn double(fields: &Fields, number: u64) -> f64 {
    match all(fields, number).next() {
        Some(Wire::Double(value)) => *value,
        other => panic!("{other:?} is no double"),
    }
}

fn text(fields: &Fields, number: u64) -> String {
    String::from_utf8(bytes(fields, number)[0].to_vec()).unwrap()
}

fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn families(mut stream: &[u8]) -> Vec<Fields> {
    let mut all = Vec::new();
    while !stream.is_empty() {
        let length = varint(&mut stream) as usize;
        all.push(fields(take(&mut stream, length)));
    }
    all
}

/// Native buckets of a histogram as (index, count).
fn native(histogram: &Fields) -> Vec<(i64, u64)> {
    let deltas = bytes(histogram, 13).concat();
    let mut rest = deltas.as_slice();
    let (mut index, mut count, mut found) = (0, 0, Vec::new());
    for span in bytes(histogram, 12) {
        let span = fields(span);
        index += zigzag(number(&span, 1));
        for _ in 0..number(&span, 2) {
            count += zigzag(varint(&mut rest));
            found.push((index, u64::try_from(count).unwrap()));
            index += 1;
        }
    }
    assert!(rest.is_empty(), "deltas without a span");
    found.retain(|(_, count)| *count > 0);
    found
}

#[test]
fn the_messages_say_what_was_counted() {
    let registry = Registry::builder(Config { prefix: "app".into(), ..Config::default() }).build().unwrap();
    let labels = [("method", "GET"), ("path", "/\"\\\n,x=\"y\"")];
    registry.counter("requests_total", "Requests\n\"sent\".").with(&labels).unwrap().add(7);
    registry.gauge("level", "").get().unwrap().set(-0.5);
    let histogram = registry.histogram_with("seconds", "Time.", &[0.5, 4.0]).get().unwrap();
    for value in [0.0, -3.0, 0.5, 0.5, 0.75, 4.0, 4.0001, 1e12] {
        histogram.observe(value);
    }
    registry.gauge("unused", "");
    let all_families = families(&registry.encode(Format::Protobuf));
    assert_eq!(all_families.len(), 3);
    let [counter, gauge, histogram] = all_families.as_slice() else { panic!("three") };
    assert_eq!(
        (text(counter, 1), text(counter, 2)),
        ("app_requests_total".into(), "Requests\n\"sent\".".into())
    );
    assert_eq!((number(counter, 3), number(gauge, 3), number(histogram, 3)), (0, 1, 4));
    let metric = fields(bytes(counter, 4)[0]);
    let pairs: Vec<_> =
        bytes(&metric, 1).into_iter().map(fields).map(|pair| (text(&pair, 1), text(&pair, 2))).collect();
    let wanted: Vec<_> = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    assert_eq!(pairs, wanted);
    assert_eq!(double(&fields(bytes(&metric, 3)[0]), 1), 7.0);
    assert_eq!(double(&fields(bytes(&fields(bytes(gauge, 4)[0]), 2)[0]), 1), -0.5);

    let histogram = fields(bytes(&fields(bytes(histogram, 4)[0]), 7)[0]);
    assert_eq!((number(&histogram, 1), number(&histogram, 7)), (8, 2));
    assert!((double(&histogram, 2) / 1e12 - 1.0).abs() < 1e-9);
    assert_eq!((zigzag(number(&histogram, 5)), double(&histogram, 6)), (3, ZERO_THRESHOLD));
    let classic: Vec<_> = bytes(&histogram, 3)
        .into_iter()
        .map(fields)
        .map(|bucket| (double(&bucket, 2), number(&bucket, 1)))
        .collect();
    assert_eq!(classic, [(0.5, 4), (4.0, 6), (f64::INFINITY, 8)]);
    // 0.5 = 2^(-8/8); 0.75 lies below 2^(-3/8); 4 = 2^(16/8); above 2^34 = 2^(272/8).
    assert_eq!(native(&histogram), [(-8, 2), (-3, 1), (16, 1), (17, 1), (273, 1)]);
}

#[test]
fn an_empty_histogram_is_still_native() {
    let registry = Registry::new();
    registry.histogram("seconds", "").get().unwrap();
    let family = &families(&registry.encode(Format::Protobuf))[0];
    let histogram = fields(bytes(&fields(bytes(family, 4)[0]), 7)[0]);
    assert_eq!(number(&histogram, 1), 0);
    assert_eq!(bytes(&histogram, 12).len(), 1, "a span of no length");
    assert!(native(&histogram).is_empty());
}

proptest! {
    #[test]
    fn native_buckets_hold_each_value_where_it_belongs(
        values in prop::collection::vec(prop_oneof![1e-11..1e11_f64, (-35.0..36.0_f64).prop_map(f64::exp2)], 0..60),
    ) {
        let registry = Registry::new();
        let histogram = registry.histogram("seconds", "").get().unwrap();
        values.iter().for_each(|value| histogram.observe(*value));
        let family = &families(&registry.encode(Format::Protobuf))[0];
        let read = fields(bytes(&fields(bytes(family, 4)[0]), 7)[0]);
        let mut wanted = std::collections::BTreeMap::new();
        let mut zero = 0;
        for value in &values {
            // The definition: the smallest index whose bound is not below the value.
            if *value <= ZERO_THRESHOLD {
                zero += 1;
            } else {
                let index = ((value.log2() * 8.0).ceil() as i64).min(273);
                *wanted.entry(index).or_insert(0_u64) += 1;
            }
        }
        prop_assert_eq!(number(&read, 7), zero);
        prop_assert_eq!(number(&read, 1), values.len() as u64);
        prop_assert_eq!(native(&read), wanted.into_iter().collect::<Vec<_>>());
    }
}
