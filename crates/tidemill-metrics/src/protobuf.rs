//! Messages `io.prometheus.client.MetricFamily`, each behind its length, with histograms in native and classic form.
//!
//! The numbers of the fields are those of `metrics.proto` of the Prometheus project's client model; spans and deltas
//! are described in its "Native Histograms" specification. Only what our metrics have is written.

use std::sync::Arc;

use crate::buckets::{self, FIRST, ZERO_THRESHOLD};
use crate::counter::Counter;
use crate::family::sealed::Sealed as _;
use crate::gauge::Gauge;
use crate::histogram::Counts;
use crate::known::{Known, Value};
use crate::name;

/// 2^(2^-3) from one boundary to the next.
const SCHEMA: i64 = 3;

/// Empty buckets that are cheaper written as zeros than skipped by another span.
const GAP: usize = 2;

pub(crate) fn write(families: &[Arc<Known>]) -> Vec<u8> {
    let mut all = Message::default();
    for family in families {
        if let Some(message) = family.message() {
            all.bytes(&message);
        }
    }
    all.0
}

impl Known {
    fn message(&self) -> Option<Message> {
        let table = self.lock();
        if table.series.is_empty() {
            return None;
        }
        let mut family = Message::default();
        family.text(1, &self.name);
        family.text(2, &self.help);
        let (number, field) = match self.kind {
            Counter::KIND => (0, 3),
            Gauge::KIND => (1, 2),
            _ => (4, 7),
        };
        family.uint(3, number);
        for series in &table.series {
            let mut metric = Message::default();
            for (name, value) in name::labels(&series.labels) {
                let mut pair = Message::default();
                pair.text(1, name);
                pair.text(2, &value);
                metric.message(1, &pair);
            }
            let mut value = Message::default();
            match &series.value {
                Value::Counter(counter) => value.double(1, counter.get() as f64),
                Value::Gauge(gauge) => value.double(1, gauge.get()),
                Value::Number(number) => value.double(1, *number),
                Value::Histogram(histogram) => self.histogram(&histogram.dense(), &mut value),
            }
            metric.message(field, &value);
            family.message(4, &metric);
        }
        Some(family)
    }

    fn histogram(&self, counts: &Counts, out: &mut Message) {
        let count = counts.zero + counts.buckets.iter().sum::<u64>() + counts.above;
        out.uint(1, count);
        out.double(2, counts.sum);
        let mut sum = counts.zero;
        let mut next = 0;
        for (bucket, _) in &self.classic {
            sum += counts.buckets[next..=*bucket].iter().sum::<u64>();
            next = bucket + 1;
            out.message(3, &classic(sum, buckets::upper(*bucket)));
        }
        out.message(3, &classic(count, f64::INFINITY));
        out.sint(5, SCHEMA);
        out.double(6, ZERO_THRESHOLD);
        out.uint(7, counts.zero);
        // What lies above the last bucket is written as the bucket after it.
        let mut dense = counts.buckets.to_vec();
        dense.push(counts.above);
        let spans = spans(&dense);
        let mut end = 0;
        for (start, length) in &spans {
            let mut span = Message::default();
            let first = *start as i64 + i64::from(FIRST);
            span.sint(1, first - end);
            span.uint(2, *length as u64);
            out.message(12, &span);
            end = first + *length as i64;
        }
        if spans.is_empty() {
            // A span of no length says that the histogram is native, and empty.
            let mut span = Message::default();
            span.sint(1, 0);
            span.uint(2, 0);
            out.message(12, &span);
        }
        let mut deltas = Message::default();
        let mut last = 0_i64;
        for count in spans.iter().flat_map(|(start, length)| &dense[*start..start + length]) {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            deltas.varint(zigzag(count - last));
            last = count;
        }
        if !spans.is_empty() {
            out.message(13, &deltas);
        }
    }
}

fn classic(cumulative: u64, upper: f64) -> Message {
    let mut bucket = Message::default();
    bucket.uint(1, cumulative);
    bucket.double(2, upper);
    bucket
}

/// Start and length of the runs that hold all counts.
fn spans(dense: &[u64]) -> Vec<(usize, usize)> {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for (bucket, _) in dense.iter().enumerate().filter(|(_, count)| **count > 0) {
        match spans.last_mut() {
            Some((start, length)) if bucket - (*start + *length) <= GAP => *length = bucket + 1 - *start,
            _ => spans.push((bucket, 1)),
        }
    }
    spans
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The bytes of a message as far as they are written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn uint(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn sint(&mut self, field: u64, value: i64) {
        self.uint(field, zigzag(value));
    }

    fn double(&mut self, field: u64, value: f64) {
        self.varint(field << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn text(&mut self, field: u64, text: &str) {
        self.varint(field << 3 | 2);
        self.varint(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn message(&mut self, field: u64, inner: &Message) {
        self.varint(field << 3 | 2);
        self.bytes(inner);
    }

    /// A message behind its length.
    fn bytes(&mut self, inner: &Message) {
        self.varint(inner.0.len() as u64);
        self.0.extend_from_slice(&inner.0);
    }
}
