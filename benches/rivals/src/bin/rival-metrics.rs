//! What counting costs with prometheus-client, with `metrics` and its exporter, and with tikv's prometheus.

#[path = "../../../src/bin/metrics/turns.rs"]
mod turns;

use std::hint::black_box;
use std::sync::atomic::AtomicU64;

use metrics::{Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, NativeHistogramConfig};
use prometheus_client::registry::Registry;
use tidemill_measure::{Better, Rounds, Row, Samples, UnitKind};
use turns::{
    Latencies, OPERATIONS, asked_to_work, contended, contended_and_read, crowded, eight_threads,
    instructions, resident_bytes,
};

const PROMETHEUS: &str = "prometheus-client";
const FACADE: &str = "metrics exporter";
const TIKV: &str = "tikv prometheus";

static METADATA: Metadata<'_> = Metadata::new("rival", Level::INFO, None);

fn main() -> std::io::Result<()> {
    if let Some((case, operations)) = asked_to_work() {
        work(&case, operations);
        return Ok(());
    }
    memory()?;
    let rounds = Rounds::from_args(15);
    counters(rounds)?;
    histograms(rounds)?;
    renders(rounds)?;
    for (case, name) in
        [("counter", "counter, 8 threads, instructions"), ("histogram", "histogram, 8 threads, instructions")]
    {
        emit(name, "instructions", UnitKind::Count, PROMETHEUS, &instructions(case))?;
    }
    Ok(())
}

fn emit(case: &str, unit: &str, kind: UnitKind, rival: &str, theirs: &Samples) -> std::io::Result<()> {
    Row::new("metrics", case, unit, kind, Better::Lower).rival(rival).theirs(theirs).emit()
}

fn both<F: Fn() + Sync>(rounds: Rounds, case: &str, rival: &str, operation: F) -> std::io::Result<()> {
    let one = rounds.single(OPERATIONS, || (0..OPERATIONS).for_each(|_| operation()));
    emit(&format!("{case}, 1 thread"), "ns", UnitKind::Cpu, rival, &one)?;
    let two = contended(rounds.count(), || || operation());
    emit(&format!("{case}, 2 threads contended"), "ns", UnitKind::Cpu, rival, &two)?;
    let eight = crowded(rounds, || || operation(), || ());
    emit(&format!("{case}, 8 threads"), "ns", UnitKind::Cpu, rival, &eight)
}

fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().build_recorder()
}

fn counters(rounds: Rounds) -> std::io::Result<()> {
    let counter = Counter::<u64>::default();
    both(rounds, "counter", PROMETHEUS, || _ = black_box(&counter).inc())?;
    let recorder = recorder();
    let counter = recorder.register_counter(&Key::from_name("counter"), &METADATA);
    both(rounds, "counter", FACADE, || black_box(&counter).increment(1))?;
    let counter = prometheus::IntCounter::new("counter", "help").expect("a valid name");
    both(rounds, "counter", TIKV, || black_box(&counter).inc())
}

fn native() -> Histogram {
    Histogram::new_native(NativeHistogramConfig::with_schema(3))
}

fn tikv_histogram() -> prometheus::Histogram {
    let buckets = prometheus::exponential_buckets(0.001, 2.0, 15).expect("valid buckets");
    prometheus::Histogram::with_opts(prometheus::HistogramOpts::new("h", "help").buckets(buckets))
        .expect("a valid name")
}

fn histograms(rounds: Rounds) -> std::io::Result<()> {
    let histogram = native();
    records(rounds, PROMETHEUS, |value| black_box(&histogram).observe(value), || ())?;
    let recorder = recorder();
    let histogram = recorder.register_histogram(&Key::from_name("histogram"), &METADATA);
    // As its own exporter does on a timer: what was recorded lies in a list until then.
    let handle = recorder.handle();
    records(rounds, FACADE, |value| black_box(&histogram).record(value), || handle.run_upkeep())?;
    let histogram = tikv_histogram();
    records(rounds, TIKV, |value| black_box(&histogram).observe(value), || ())
}

fn records(
    rounds: Rounds,
    rival: &str,
    observe: impl Fn(f64) + Sync,
    drain: impl Fn(),
) -> std::io::Result<()> {
    let values = Latencies::new();
    let work = || values.each(&observe);
    let mut record = work();
    let mut records = || (0..OPERATIONS).for_each(|_| record());
    // Between the rounds, so that no list grows without end, and not measured.
    let one = rounds.interleave(OPERATIONS, &mut [&mut records, &mut || drain()]).swap_remove(0);
    emit("histogram, 1 thread", "ns", UnitKind::Cpu, rival, &one)?;
    let [two, with_drain] = contended_and_read(rounds.count(), work, &drain);
    emit("histogram, 2 threads contended", "ns", UnitKind::Cpu, rival, &two)?;
    if rival == FACADE {
        let case = "histogram, 2 threads contended, with a snapshot or drain";
        emit(case, "ns", UnitKind::Cpu, rival, &with_drain)?;
    }
    emit("histogram, 8 threads", "ns", UnitKind::Cpu, rival, &crowded(rounds, work, &drain))
}

fn renders(rounds: Rounds) -> std::io::Result<()> {
    let render = |rival: &str, mut body: Box<dyn FnMut() -> usize>| {
        let samples = rounds.single(1, || _ = black_box(body()));
        emit("render 10k series", "ms", UnitKind::Cpu, rival, &samples.scaled(1e-6))
    };
    let family = Family::<Vec<(String, String)>, Counter<u64, AtomicU64>>::default();
    let mut registry = Registry::default();
    registry.register("requests", "Requests sent", family.clone());
    let recorder = recorder();
    let vec = prometheus::IntCounterVec::new(
        prometheus::Opts::new("requests_total", "Requests sent."),
        &["method", "endpoint"],
    )
    .expect("valid names");
    let tikv = prometheus::Registry::new();
    tikv.register(Box::new(vec.clone())).expect("registered once");
    for i in 0..10_000_u64 {
        let path = format!("/path/{i:05}");
        let labels = vec![("method".to_owned(), "GET".to_owned()), ("endpoint".to_owned(), path.clone())];
        family.get_or_create(&labels).inc_by(i * 1000);
        let labels = vec![Label::new("method", "GET"), Label::new("endpoint", path.clone())];
        recorder.register_counter(&Key::from_parts("requests_total", labels), &METADATA).increment(i * 1000);
        vec.with_label_values(&["GET", &path]).inc_by(i * 1000);
    }
    let mut text = String::new();
    render(
        PROMETHEUS,
        Box::new(move || {
            text.clear();
            encode(&mut text, &registry).expect("a string takes all");
            text.len()
        }),
    )?;
    let handle = recorder.handle();
    render(FACADE, Box::new(move || handle.render().len()))?;
    let mut text = String::new();
    render(
        TIKV,
        Box::new(move || {
            text.clear();
            let families = tikv.gather();
            prometheus::TextEncoder::new().encode_utf8(&families, &mut text).expect("a string takes all");
            text.len()
        }),
    )
}

fn work(case: &str, operations: u64) {
    if case == "counter" {
        let counter = Counter::<u64>::default();
        eight_threads(operations, || || _ = black_box(&counter).inc());
    } else {
        let (histogram, values) = (native(), Latencies::new());
        eight_threads(operations, || values.each(|value| black_box(&histogram).observe(value)));
    }
}

fn memory() -> std::io::Result<()> {
    const SERIES: usize = 2000;
    let values = Latencies::new();
    let before = resident_bytes();
    let all: Vec<Histogram> = (0..SERIES).map(|_| native()).collect();
    all.iter().for_each(|one| values.all().iter().for_each(|value| one.observe(*value)));
    let bytes = [(resident_bytes() - before) / SERIES as f64].into_iter().collect();
    emit("histogram series, 2 threads", "B", UnitKind::Count, PROMETHEUS, &bytes)?;
    drop(all);
    let recorder = recorder();
    let handle = recorder.handle();
    let before = resident_bytes();
    for i in 0..SERIES {
        let labels = vec![Label::new("series", i.to_string())];
        let one = recorder.register_histogram(&Key::from_parts("histogram", labels), &METADATA);
        values.all().iter().for_each(|value| one.record(*value));
        // As its own exporter does on a timer.
        handle.run_upkeep();
    }
    let bytes = [(resident_bytes() - before) / SERIES as f64].into_iter().collect();
    emit("histogram series, 2 threads", "B", UnitKind::Count, FACADE, &bytes)
}
