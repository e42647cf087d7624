//! What counting costs: counters and histograms alone and contended, rendering, memory.

#[path = "metrics/turns.rs"]
mod turns;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidemill_benches::{Better, Rounds, Row, Samples, UnitKind};
use tidemill_metrics::{Counter, Histogram, Registry};
use turns::{
    Latencies, OPERATIONS, asked_to_work, contended, contended_and_read, crowded, eight_threads,
    instructions, resident_bytes,
};

const PROMETHEUS: &str = "prometheus-client";
const FACADE: &str = "metrics exporter";
const TIKV: &str = "tikv prometheus";

fn main() -> std::io::Result<()> {
    if let Some((case, operations)) = asked_to_work() {
        work(&case, operations);
        return Ok(());
    }
    // First, while no memory is lying about that was used before.
    memory()?;
    let rounds = Rounds::from_args(15);
    let cpu =
        |case: &str, ours: &Samples, rivals: &[(&str, f64)]| emit(case, "ns", UnitKind::Cpu, ours, rivals);
    let counter = Counter::new();
    let one = rounds.single(OPERATIONS, || (0..OPERATIONS).for_each(|_| black_box(&counter).inc()));
    cpu("counter, 1 thread", &one, &[(PROMETHEUS, 0.4), (FACADE, 0.4), (TIKV, 0.4)])?;
    let two = contended(rounds.count(), || || black_box(&counter).inc());
    cpu("counter, 2 threads contended", &two, &[(PROMETHEUS, 0.2), (FACADE, 0.05), (TIKV, 0.2)])?;

    let eight = crowded(rounds, || || black_box(&counter).inc(), || ());
    cpu("counter, 8 threads", &eight, &[(PROMETHEUS, 0.3), (FACADE, 0.3), (TIKV, 0.3)])?;

    histograms(rounds)?;

    let registry = ten_thousand_series();
    let mut text = String::new();
    let render = rounds.single(1, || {
        text.clear();
        registry.render(&mut text);
        black_box(text.len());
    });
    let rivals = [(PROMETHEUS, 0.25), (FACADE, 0.05), (TIKV, 0.1)];
    emit("render 10k series", "ms", UnitKind::Cpu, &render.scaled(1e-6), &rivals)?;

    // Without a goal for the counter: one locked instruction is fewer than any other way, and waits longer (ADR 0022).
    Row::new("metrics", "counter, 8 threads, instructions", "instructions", UnitKind::Count, Better::Lower)
        .rival(PROMETHEUS)
        .ours(&instructions("counter"))
        .emit()?;
    let histogram = instructions("histogram");
    emit(
        "histogram, 8 threads, instructions",
        "instructions",
        UnitKind::Count,
        &histogram,
        &[(PROMETHEUS, 0.3)],
    )?;
    Ok(())
}

fn histograms(rounds: Rounds) -> std::io::Result<()> {
    let (histogram, values) = (Histogram::new(), Latencies::new());
    let cpu = |case: &str, ours: &Samples, facade: f64| {
        emit(case, "ns", UnitKind::Cpu, ours, &[(PROMETHEUS, 0.3), (FACADE, facade), (TIKV, 0.3)])
    };
    let observe = || values.each(|value| black_box(&histogram).observe(value));

    // What all of them stand in: a step through the table and a store.
    let sink = AtomicU64::new(0);
    let mut empty = values.each(|value| black_box(&sink).store(value.to_bits(), Ordering::Relaxed));
    let one = rounds.single(OPERATIONS, || (0..OPERATIONS).for_each(|_| empty()));
    Row::new("metrics", "histogram, the loop with a store alone", "ns", UnitKind::Cpu, Better::Lower)
        .ours(&one)
        .emit()?;

    let mut record = observe();
    let one = rounds.single(OPERATIONS, || (0..OPERATIONS).for_each(|_| record()));
    cpu("histogram, 1 thread", &one, 0.3)?;
    let [two, with_read] =
        contended_and_read(rounds.count(), observe, || _ = black_box(histogram.snapshot()));
    cpu("histogram, 2 threads contended", &two, 0.05)?;
    emit(
        "histogram, 2 threads contended, with a snapshot or drain",
        "ns",
        UnitKind::Cpu,
        &with_read,
        &[(FACADE, 0.05)],
    )?;
    cpu("histogram, 8 threads", &crowded(rounds, observe, || ()), 0.3)
}

fn emit(
    case: &str,
    unit: &str,
    kind: UnitKind,
    ours: &Samples,
    rivals: &[(&str, f64)],
) -> std::io::Result<()> {
    for (rival, goal) in rivals {
        Row::new("metrics", case, unit, kind, Better::Lower).rival(rival).ours(ours).goal(*goal).emit()?;
    }
    Ok(())
}

fn work(case: &str, operations: u64) {
    if case == "counter" {
        let counter = Counter::new();
        eight_threads(operations, || || black_box(&counter).inc());
    } else {
        let (histogram, values) = (Histogram::new(), Latencies::new());
        eight_threads(operations, || values.each(|value| black_box(&histogram).observe(value)));
    }
}

fn ten_thousand_series() -> Registry {
    let registry = Registry::builder(tidemill_metrics::Config {
        max_series: 10_000,
        ..tidemill_metrics::Config::default()
    })
    .build()
    .expect("a valid configuration");
    let family = registry.counter("requests_total", "Requests sent.");
    for i in 0..10_000_u64 {
        let labels = [("method", "GET"), ("endpoint", &format!("/path/{i:05}") as &str)];
        family.with(&labels).expect("valid labels").add(i * 1000);
    }
    registry
}

fn memory() -> std::io::Result<()> {
    const SERIES: usize = 2000;
    let values = Latencies::new();
    let kept = |threads: usize, values: &[f64]| {
        let before = resident_bytes();
        let all: Arc<Vec<Histogram>> = Arc::new((0..SERIES).map(|_| Histogram::new()).collect());
        // All of them live until each has counted, so that each has a slot or knows that it has none.
        let barrier = std::sync::Barrier::new(threads);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    Counter::new().inc();
                    barrier.wait();
                    all.iter().for_each(|one| values.iter().for_each(|value| one.observe(*value)));
                    barrier.wait();
                });
            }
        });
        let bytes = (resident_bytes() - before) / SERIES as f64;
        drop(all);
        [bytes].into_iter().collect::<Samples>()
    };
    let any: Vec<f64> = (-239..=272).map(|i| (f64::from(i) / 8.0).exp2()).collect();
    let bytes = |case: &str, ours: &Samples, goal: f64| {
        Row::new("metrics", case, "B", UnitKind::Count, Better::Lower).ours(ours).goal(goal).emit()
    };
    bytes("histogram series, 20 threads, values of every size", &kept(20, &any), 16384.0)?;
    bytes("histogram series, 2 threads, values of every size", &kept(2, &any), 16384.0)?;
    let two = kept(2, values.all());
    bytes("histogram series, 2 threads, latencies", &two, 4096.0)?;
    emit("histogram series, 2 threads", "B", UnitKind::Count, &two, &[(FACADE, 0.05), (PROMETHEUS, 4.0)])?;

    let (counter, histogram) = (Counter::new(), Histogram::new());
    let mut record = values.each(|value| histogram.observe(value));
    (0..values.all().len()).for_each(|_| record());
    let before = resident_bytes();
    for _ in 0..50_000_000 {
        counter.inc();
        record();
    }
    let grown = [(resident_bytes() - before).max(0.0)].into_iter().collect();
    bytes("50 M records without a scrape, growth", &grown, 1_048_576.0)
}
