//! Made-up runs, so that reports and histories are tested without waiting for real ones.

use tidemill_bench::report::{Content, Document, Load, Machine};
use tidemill_load::{
    ClientUse, Ended, Errors, Percentiles, Preset, ServerSample, Slice, Summary, Totals, Verdict,
};

fn times(count: u64, median_us: f64) -> Percentiles {
    Percentiles {
        count,
        min_us: 0.4 * median_us,
        mean_us: 1.1 * median_us,
        stddev_us: 0.3 * median_us,
        p50_us: median_us,
        p90_us: 2.0 * median_us,
        p95_us: 2.5 * median_us,
        p99_us: 6.0 * median_us,
        p999_us: 20.0 * median_us,
        p9999_us: 40.0 * median_us,
        max_us: 55.0 * median_us,
    }
}

/// A run of so many seconds with this median response time.
pub(crate) fn summary(name: &str, seconds: u32, median_ms: f64) -> Summary {
    let mut plan = Preset::Load.plan("http://127.0.0.1:8080/items?<script>alert(1)</script>");
    plan.name = name.to_owned();
    let slices = (0..seconds).map(|second| {
        let wave = 1.0 + 0.4 * (f64::from(second) / 7.0).sin();
        let stall = if second % 23 == 11 { 8.0 } else { 1.0 };
        Slice {
            at_s: f64::from(second),
            width_s: 1.0,
            level: 10.0,
            sent: 500,
            ended: 500,
            errors: Errors {
                timeout: u64::from(second % 23 == 11) * 12,
                status: u64::from(second % 9 == 0),
                ..Errors::default()
            },
            in_flight: 8 + u64::from(second % 5),
            bytes_in: 900_000 + u64::from(second % 13) * 20_000,
            bytes_out: 60_000,
            response: times(500, 1e3 * median_ms * wave * stall),
            service: times(500, 0.9e3 * median_ms * wave),
            lag: times(500, 0.1e3 * median_ms * wave * stall * stall),
            ..Slice::default()
        }
    });
    let server = (0..seconds).map(|second| ServerSample {
        at_s: f64::from(second) + 1.0,
        cpu_cores: 0.6 + 0.2 * (f64::from(second) / 7.0).sin(),
        memory_bytes: 64_000_000 + u64::from(second) * 50_000,
        host_cpu: 0.55,
        host_memory: 0.4,
        network_bytes: 960_000.0,
        ..ServerSample::default()
    });
    let ended = 500 * u64::from(seconds);
    let mut summary = Summary {
        version: Summary::VERSION,
        name: name.to_owned(),
        started_unix_ms: 1_790_000_000_000,
        elapsed_s: f64::from(seconds) + 0.1,
        counted_s: f64::from(seconds),
        ended: Ended::Finished,
        verdict: Verdict { valid: true, reasons: Vec::new() },
        thresholds: Vec::new(),
        totals: Totals {
            due: ended,
            sent: ended,
            ended,
            ok: ended - 30,
            rate: 500.0,
            connections: 10,
            bytes_in: 900_000 * u64::from(seconds),
            bytes_out: 60_000 * u64::from(seconds),
            ..Totals::default()
        },
        errors: Errors { timeout: 24, status: 6, ..Errors::default() },
        response: times(ended, 1e3 * median_ms),
        service: times(ended, 0.9e3 * median_ms),
        lag: times(ended, 0.1e3 * median_ms),
        late: Percentiles::default(),
        connect: times(10, 200.0),
        delivery: Percentiles::default(),
        response_curve: Vec::new(),
        steps: Vec::new(),
        levels: Vec::new(),
        slices: slices.collect(),
        server: server.collect(),
        client: ClientUse { cpu_s: 1.5, memory_bytes: 9_000_000, ..ClientUse::default() },
        unrecorded: None,
        plan,
    };
    summary.plan.pass.set("response.p99", "<250ms").unwrap();
    summary.plan.pass.set("errors", "<0.01%").unwrap();
    summary.thresholds = summary.plan.pass.judge(&summary);
    summary
}

/// The run as a document of this second.
pub(crate) fn document(summary: Summary, unix_s: u64) -> Document {
    let machine = Machine { processors: 2, system: "linux <b>x86_64".into(), load: Some(1.5) };
    Document::new(unix_s, machine, Some("v1 & v2".into()), Content::Run(Box::new(Load { summary })))
}
