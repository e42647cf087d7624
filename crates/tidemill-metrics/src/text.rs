//! The two text formats: Prometheus 0.0.4 and OpenMetrics 1.0.0. Their samples are the same, their headers differ.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::counter::Counter;
use crate::family::sealed::Sealed as _;
use crate::known::{Known, Value};
use crate::name;

/// Units that OpenMetrics knows and names end in.
const UNITS: [&str; 3] = ["seconds", "bytes", "ratio"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Prometheus,
    OpenMetrics,
}

pub(crate) fn write(families: &[Arc<Known>], dialect: Dialect, out: &mut String) {
    let names: HashSet<&str> = match dialect {
        Dialect::Prometheus => HashSet::new(),
        Dialect::OpenMetrics => families.iter().map(|family| family.name.as_str()).collect(),
    };
    for family in families {
        family.write(dialect, &names, out);
    }
    if dialect == Dialect::OpenMetrics {
        out.push_str("# EOF\n");
    }
}

impl Known {
    fn write(&self, dialect: Dialect, names: &HashSet<&str>, out: &mut String) {
        let table = self.lock();
        if table.series.is_empty() {
            return;
        }
        self.write_header(dialect, names, out);
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
                Value::Number(number) => {
                    out.push_str(&series.head);
                    push_f64(out, *number);
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

    fn write_header(&self, dialect: Dialect, names: &HashSet<&str>, out: &mut String) {
        let (mut name, mut kind) = (self.name.as_str(), self.kind);
        if dialect == Dialect::OpenMetrics && kind == Counter::KIND {
            // There the family has no suffix and its samples have it; what is not called so has no kind.
            match name.strip_suffix("_total").filter(|base| !base.is_empty() && !names.contains(base)) {
                Some(base) => name = base,
                None => kind = "unknown",
            }
        }
        push_all(out, ["# HELP ", name, " "]);
        name::push_help(out, &self.help, dialect == Dialect::OpenMetrics);
        push_all(out, ["\n# TYPE ", name, " ", kind, "\n"]);
        if dialect == Dialect::OpenMetrics {
            let unit = |unit: &&&str| name.strip_suffix(**unit).is_some_and(|base| base.ends_with('_'));
            if let Some(unit) = UNITS.iter().find(unit) {
                push_all(out, ["# UNIT ", name, " ", unit, "\n"]);
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
