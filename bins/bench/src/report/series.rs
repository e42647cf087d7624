//! The slices of a run as columns over time: what charts draw.

use std::collections::BTreeMap;

use serde::Serialize;
use tidemill_load::{Model, Percentiles, ServerSample, Slice, Summary};

/// Columns over time; all have the length of `at_s`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Series {
    /// Where each slice ends, seconds since the start.
    pub at_s: Vec<f64>,
    /// Such as `response.p99` or `server.cpu_percent`; `null` where nothing was measured.
    pub columns: BTreeMap<String, Vec<Option<f64>>>,
}

impl Series {
    /// A slice more. A column that is new is empty before it, one that is left out is empty here.
    pub fn push<'a>(&mut self, at_s: f64, values: impl IntoIterator<Item = (&'a str, Option<f64>)>) {
        for (name, value) in values {
            if !self.columns.contains_key(name) {
                self.columns.insert(name.to_owned(), Vec::new());
            }
            if let Some(column) = self.columns.get_mut(name) {
                column.resize(self.at_s.len(), None);
                column.push(value.filter(|value| value.is_finite()));
            }
        }
        self.at_s.push(at_s);
        self.columns.values_mut().for_each(|column| column.resize(self.at_s.len(), None));
    }

    /// At most `most` slices: neighbours are joined, rates by their mean, everything else by its worst.
    #[must_use]
    pub fn at_most(&self, most: usize) -> Self {
        let width = self.at_s.len().div_ceil(most.max(1)).max(1);
        if width == 1 {
            return self.clone();
        }
        let joined = |name: &str, part: &[Option<f64>]| {
            let known: Vec<f64> = part.iter().flatten().copied().collect();
            if known.is_empty() {
                None
            } else if is_rate(name) {
                Some(known.iter().sum::<f64>() / known.len() as f64)
            } else {
                known.into_iter().reduce(f64::max)
            }
        };
        let columns = self.columns.iter().map(|(name, column)| {
            (name.clone(), column.chunks(width).map(|part| joined(name, part)).collect())
        });
        let ends = self.at_s.chunks(width).filter_map(|part| part.last().copied());
        Self { at_s: ends.collect(), columns: columns.collect() }
    }
}

/// Whether the mean of a column's neighbours says more than the largest of them.
fn is_rate(column: &str) -> bool {
    column.ends_with("_per_s") || column.ends_with("_percent")
}

impl From<&Summary> for Series {
    fn from(summary: &Summary) -> Self {
        let mut series = Self::default();
        // Samples and slices have a clock in common and not always the same width: the sample at a slice's end is the
        // last one up to it.
        let mut samples = summary.server.iter().peekable();
        let open = summary.plan.load.model == Model::Open;
        // The drain's last piece may be a sliver, in which a rate says nothing.
        let told = |slice: &&Slice| slice.width_s >= 0.1 || summary.slices.len() < 3;
        for slice in summary.slices.iter().filter(told) {
            let end_s = slice.at_s + slice.width_s;
            let mut sample = slice.server;
            while let Some(next) = samples.next_if(|next| next.at_s <= end_s + 0.5 * slice.width_s) {
                sample = sample.or(Some(*next));
            }
            series.push(end_s, columns(slice, sample.as_ref(), open));
        }
        series
    }
}

fn columns<'a>(slice: &Slice, server: Option<&ServerSample>, open: bool) -> Vec<(&'a str, Option<f64>)> {
    let per_s = |count: u64| Some(count as f64 / slice.width_s.max(1e-9));
    let ms = |times: &Percentiles, us: f64| (times.count > 0).then_some(us / 1e3);
    let (response, service, lag, delivery) = (&slice.response, &slice.service, &slice.lag, &slice.delivery);
    let errors = &slice.errors;
    let mut row = vec![
        ("response.p50", ms(response, response.p50_us)),
        ("response.p90", ms(response, response.p90_us)),
        ("response.p99", ms(response, response.p99_us)),
        ("response.max", ms(response, response.max_us)),
        ("service.p99", ms(service, service.p99_us)),
        ("lag.p99", ms(lag, lag.p99_us)),
        ("delivery.p50", ms(delivery, delivery.p50_us)),
        ("delivery.p99", ms(delivery, delivery.p99_us)),
        (if open { "level" } else { "users" }, Some(slice.level)),
        ("sent_per_s", per_s(slice.sent)),
        ("ok_per_s", per_s(slice.ended.saturating_sub(errors.total()))),
        ("in_flight", Some(slice.in_flight as f64)),
        ("backlog", open.then_some(slice.backlog as f64)),
        ("kb_in_per_s", Some(slice.bytes_in as f64 / 1e3 / slice.width_s.max(1e-9))),
        ("kb_out_per_s", Some(slice.bytes_out as f64 / 1e3 / slice.width_s.max(1e-9))),
        ("errors.connect", per_s(errors.connect + errors.sockets + errors.tls)),
        ("errors.timeout", per_s(errors.timeout)),
        ("errors.reset", per_s(errors.reset)),
        ("errors.answer", per_s(errors.protocol + errors.too_large + errors.status + errors.check)),
        ("errors.unsent", per_s(errors.unsent)),
    ];
    if let Some(sample) = server {
        row.extend([
            ("server.cpu_percent", Some(100.0 * sample.cpu_cores)),
            ("server.memory_mb", Some(sample.memory_bytes as f64 / 1e6)),
            ("server.disk_read_kb_per_s", Some(sample.disk_read_bytes / 1e3)),
            ("server.disk_write_kb_per_s", Some(sample.disk_write_bytes / 1e3)),
            ("server.network_kb_per_s", Some(sample.network_bytes / 1e3)),
            ("host.cpu_percent", Some(100.0 * sample.host_cpu)),
            ("host.memory_percent", Some(100.0 * sample.host_memory)),
        ]);
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_comes_late_or_misses_a_slice_keeps_its_place() {
        let mut series = Series::default();
        series.push(1.0, [("a", Some(1.0))]);
        series.push(2.0, [("a", Some(f64::NAN)), ("b", Some(5.0))]);
        series.push(3.0, [("b", Some(6.0))]);
        assert_eq!(series.columns["a"], [Some(1.0), None, None]);
        assert_eq!(series.columns["b"], [None, Some(5.0), Some(6.0)]);
    }

    #[test]
    fn a_long_series_is_joined_and_keeps_its_worst_second() {
        let mut series = Series::default();
        for second in 0..10_000 {
            let p99 = if second == 4711 { 900.0 } else { 10.0 };
            series.push(f64::from(second), [("response.p99", Some(p99)), ("ok_per_s", Some(100.0))]);
        }
        let joined = series.at_most(600);
        assert!(joined.at_s.len() <= 600 && joined.at_s.last() == Some(&9999.0));
        assert_eq!(joined.columns["response.p99"].iter().flatten().copied().fold(0.0, f64::max), 900.0);
        assert!(joined.columns["ok_per_s"].iter().all(|rate| *rate == Some(100.0)));
    }
}
