//! Which charts a run has: each is a choice of columns and is left out when none of them was measured.

use tidemill_load::{Percentiles, Summary};

use super::super::chart::{Chart, Line, Scale};
use super::super::series::Series;

/// Title, unit, scale, and the columns with their names in the legend.
type Choice = (&'static str, &'static str, Scale, &'static [(&'static str, &'static str)]);

const CHOICES: &[Choice] = &[
    (
        "Response time",
        "ms, lag and service together",
        Scale::Logarithmic,
        &[("response.p50", "p50"), ("response.p90", "p90"), ("response.p99", "p99"), ("response.max", "max")],
    ),
    (
        "Throughput",
        "a second",
        Scale::Linear,
        &[("ok_per_s", "good answers"), ("sent_per_s", "sent"), ("level", "asked for")],
    ),
    (
        "Errors",
        "a second",
        Scale::Linear,
        &[
            ("errors.connect", "connect"),
            ("errors.timeout", "timeout"),
            ("errors.reset", "reset"),
            ("errors.answer", "wrong answer"),
            ("errors.unsent", "unsent"),
        ],
    ),
    (
        "Schedule lag and service time",
        "ms, p99",
        Scale::Logarithmic,
        &[("lag.p99", "lag"), ("service.p99", "service")],
    ),
    ("Delivery delay", "ms", Scale::Logarithmic, &[("delivery.p50", "p50"), ("delivery.p99", "p99")]),
    (
        "Requests in flight and waiting",
        "at the end of each second",
        Scale::Linear,
        &[("in_flight", "in flight"), ("backlog", "waiting for a connection"), ("users", "users")],
    ),
    ("Traffic", "kB a second", Scale::Linear, &[("kb_in_per_s", "received"), ("kb_out_per_s", "sent")]),
    (
        "Processor",
        "%; 100 is one core of the server, and all of the machine",
        Scale::Linear,
        &[("server.cpu_percent", "server"), ("host.cpu_percent", "machine")],
    ),
    ("Server's memory", "MB", Scale::Linear, &[("server.memory_mb", "resident")]),
    ("Machine's memory", "%", Scale::Linear, &[("host.memory_percent", "in use")]),
    (
        "Disk and network",
        "kB a second",
        Scale::Linear,
        &[
            ("server.disk_read_kb_per_s", "server reads"),
            ("server.disk_write_kb_per_s", "server writes"),
            ("server.network_kb_per_s", "all interfaces"),
        ],
    ),
];

/// The charts over time. Columns that are 0 throughout are left out: nothing happened there.
pub(super) fn over_time(series: &Series) -> Vec<(Chart, Vec<&'static str>)> {
    let known = |name: &str| {
        series.columns.get(name).filter(|column| column.iter().flatten().any(|value| *value != 0.0))
    };
    let chart = |(title, unit, scale, columns): &Choice| {
        let present: Vec<_> =
            columns.iter().filter_map(|(name, legend)| Some((*name, *legend, known(name)?))).collect();
        let line = |(_, legend, values): &(&str, &str, &Vec<Option<f64>>)| Line {
            name: (*legend).to_owned(),
            values: (*values).clone(),
        };
        let chart = Chart {
            title: (*title).to_owned(),
            unit: (*unit).to_owned(),
            scale: *scale,
            at: series.at_s.clone(),
            lines: present.iter().map(line).collect(),
            ..Chart::default()
        };
        (!present.is_empty()).then(|| (chart, present.iter().map(|(name, ..)| *name).collect()))
    };
    CHOICES.iter().filter_map(chart).collect()
}

/// Latency by percentile: the further right, the rarer.
pub(super) fn by_percentile(summary: &Summary) -> Option<Chart> {
    let shares = [0.5, 0.9, 0.95, 0.99, 0.999, 0.9999];
    let values = |p: &Percentiles| {
        [p.p50_us, p.p90_us, p.p95_us, p.p99_us, p.p999_us, p.p9999_us].map(|us| Some(us / 1e3)).to_vec()
    };
    // Percentiles that less than one request stands behind would be the maximum under another name.
    let told = shares.iter().filter(|share| summary.response.count as f64 * (1.0 - **share) >= 1.0).count();
    if told < 2 {
        return None;
    }
    let line =
        |name: &str, p: &Percentiles| Line { name: name.to_owned(), values: values(p)[..told].to_vec() };
    let place = |share: f64| -(1.0 - share).log10();
    let ticks = ["50 %", "90", "95", "99", "99.9", "99.99"];
    Some(Chart {
        title: "Latency by percentile".into(),
        unit: "ms".into(),
        scale: Scale::Logarithmic,
        at: shares[..told].iter().copied().map(place).collect(),
        ticks: shares[..told]
            .iter()
            .zip(ticks)
            .map(|(share, tick)| (place(*share), tick.to_owned()))
            .collect(),
        lines: [("response", &summary.response), ("service", &summary.service), ("lag", &summary.lag)]
            .into_iter()
            .filter(|(_, times)| times.max_us > 0.0)
            .map(|(name, times)| line(name, times))
            .collect(),
        marks: Vec::new(),
    })
}
