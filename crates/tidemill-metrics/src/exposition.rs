//! The Prometheus text format, version 0.0.4.

use std::fmt::Write as _;

use crate::family::{Known, Value};
use crate::name;
use crate::registry::Registry;

/// The content type of what [`Registry::render`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Registry {
    /// Appends all metrics as Prometheus text. Names and labels are rendered once, when a series is made.
    pub fn render(&self, out: &mut String) {
        for family in self.families() {
            family.render(out);
        }
        self.rendered();
    }

    /// All metrics as Prometheus text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.render(&mut text);
        text
    }
}

impl Known {
    fn render(&self, out: &mut String) {
        let table = self.lock();
        if table.series.is_empty() {
            return;
        }
        out.push_str("# HELP ");
        out.push_str(&self.name);
        out.push(' ');
        name::push_help(out, &self.help);
        out.push_str("\n# TYPE ");
        out.push_str(&self.name);
        out.push(' ');
        out.push_str(self.kind);
        out.push('\n');
        let mut digits = itoa::Buffer::new();
        for series in &table.series {
            match &series.value {
                Value::Counter(counter) => {
                    out.push_str(&series.head);
                    out.push_str(digits.format(counter.get()));
                    out.push('\n');
                }
                Value::Gauge(gauge) => {
                    out.push_str(&series.head);
                    push_f64(out, gauge.get());
                    out.push('\n');
                }
                Value::Histogram(histogram) => {
                    let counts = histogram.dense();
                    let mut sum = counts.zero;
                    let mut next = 0;
                    for (bucket, close) in &self.classic {
                        sum += counts.buckets[next..=*bucket].iter().sum::<u64>();
                        next = bucket + 1;
                        push_all(out, [&series.head, close, digits.format(sum), "\n"]);
                    }
                    sum += counts.buckets[next..].iter().sum::<u64>() + counts.above;
                    push_all(out, [&series.head, "le=\"+Inf\"} ", digits.format(sum), "\n"]);
                    let (open, close) = if series.labels.is_empty() { ("", " ") } else { ("{", "} ") };
                    push_all(out, [&self.name, "_sum", open, &series.labels, close]);
                    push_f64(out, counts.sum);
                    push_all(out, ["\n", &self.name, "_count", open, &series.labels, close]);
                    push_all(out, [digits.format(sum), "\n"]);
                }
            }
        }
    }
}

fn push_all<const N: usize>(out: &mut String, parts: [&str; N]) {
    for part in parts {
        out.push_str(part);
    }
}

/// The shortest text that reads back as the same number.
fn push_f64(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if value.fract() == 0.0 && value.abs() < 1e15 && !(value == 0.0 && value.is_sign_negative()) {
        out.push_str(itoa::Buffer::new().format(value as i64));
    } else {
        // Writing to a string cannot fail.
        let _ = write!(out, "{value:?}");
    }
}
