//! A load run and a search, as blocks.

use tidemill_load::{Capacity, Ended, Errors, Model, Percentiles, Plan, SearchEnd, Summary};

use super::super::block::{Block, Cell, Table, Tone};
use super::super::document::Found;
use super::super::number::{bytes, milliseconds, number};
use super::super::series::Series;
use super::charts;
use crate::outcome::Outcome;

/// A chart draws at most so many slices; the JSON document keeps more.
const DRAWN: usize = 600;

pub(super) fn run(summary: &Summary) -> Vec<Block> {
    let mut blocks = vec![verdict(summary), tiles(summary)];
    blocks.extend(thresholds(summary).block());
    blocks.extend(latency(summary).block());
    let series = Series::from(summary).at_most(DRAWN);
    let percentiles = charts::by_percentile(summary).map(|chart| (chart, Vec::new()));
    blocks.push(Block::Charts(charts::over_time(&series).into_iter().chain(percentiles).collect()));
    blocks.extend(errors(&summary.errors).block());
    blocks.extend(steps(summary).block());
    blocks.extend(levels(summary).block());
    blocks.extend(server(summary).block());
    blocks.extend(plan(summary).block());
    blocks
}

pub(super) fn search(found: &Found) -> Vec<Block> {
    let capacity = &found.capacity;
    let (tone, word) = match (capacity.rate, capacity.ended) {
        (Some(rate), SearchEnd::Found) => (Tone::Good, format!("{} a second", number(rate))),
        (Some(rate), _) => (Tone::Warn, format!("at least {} a second", number(rate))),
        (None, _) => (Tone::Bad, "NO RATE".to_owned()),
    };
    let mut probes = Table::new("Probes", &["probe", "asked, 1/s", "achieved, 1/s", "promises"]);
    for (n, probe) in capacity.probes.iter().enumerate() {
        let kept = match (probe.conclusive, probe.kept) {
            (false, _) => Cell::toned("INVALID", Tone::Warn),
            (true, true) => Cell::toned("kept", Tone::Good),
            (true, false) => Cell::toned("broken", Tone::Bad),
        };
        probes.row([
            format!("{}", n + 1).into(),
            number(probe.rate).into(),
            number(probe.achieved).into(),
            kept,
        ]);
    }
    let mut blocks = vec![Block::Verdict { tone, word, text: ending(capacity).to_owned() }];
    blocks.extend(probes.block());
    if let Some(best) = &found.best {
        blocks.extend(run(best).into_iter().skip(1));
    }
    blocks
}

fn ending(capacity: &Capacity) -> &'static str {
    match capacity.ended {
        SearchEnd::Found => "the largest rate that keeps every promise",
        SearchEnd::BelowRange => "not one rate kept the promises: the answer is below the range, set --low",
        SearchEnd::AboveRange => "every rate kept the promises: the answer is above the range, set --high",
        SearchEnd::GeneratorLimit => {
            "a probe was INVALID: this machine cannot send faster; use more --threads or another machine"
        }
        SearchEnd::Unfinished => "the search was ended early",
    }
}

fn verdict(summary: &Summary) -> Block {
    let (tone, word) = match Outcome::of(summary) {
        Outcome::Passed => (Tone::Good, if summary.thresholds.is_empty() { "VALID" } else { "PASS" }),
        Outcome::Missed => (Tone::Bad, "THRESHOLD MISSED"),
        Outcome::Invalid => (Tone::Warn, "INVALID"),
        Outcome::Stopped => (Tone::Warn, "STOPPED"),
    };
    let mut said: Vec<String> = Vec::new();
    match &summary.ended {
        Ended::Finished => {}
        Ended::Stopped { rule } => said.push(format!("ended early: {rule}")),
        Ended::Cancelled => {
            said.push("ended early by a signal; the figures are of what was measured until then".to_owned())
        }
    }
    if !summary.verdict.valid {
        said.push("the figures say more about the generator than about the server".to_owned());
    }
    said.extend(summary.verdict.reasons.iter().map(|reason| reason.text.clone()));
    said.extend(summary.unrecorded.clone());
    let missed = summary.thresholds.iter().filter(|judged| !judged.met).count();
    if summary.thresholds.is_empty() {
        said.push("no promise was asked for: set --pass or --targets".to_owned());
    } else {
        said.push(format!(
            "{} of {} promises kept",
            summary.thresholds.len() - missed,
            summary.thresholds.len()
        ));
    }
    Block::Verdict { tone, word: word.to_owned(), text: said.join("; ") }
}

fn tiles(summary: &Summary) -> Block {
    let totals = &summary.totals;
    let share = |part: u64| if totals.ended == 0 { 0.0 } else { 100.0 * part as f64 / totals.ended as f64 };
    let tile = |what: &str, value: String| (what.to_owned(), value);
    Block::Tiles(vec![
        tile("requests", totals.ended.to_string()),
        tile("a second", number(totals.rate)),
        tile("success", format!("{} %", number(share(totals.ok)))),
        tile("response p50", time(&summary.response, summary.response.p50_us)),
        tile("response p99", time(&summary.response, summary.response.p99_us)),
        tile("errors", format!("{} ({} %)", summary.errors.total(), number(share(summary.errors.total())))),
        tile("received", bytes(totals.bytes_in)),
        tile("counted", format!("{} s", number(summary.counted_s))),
    ])
}

fn time(times: &Percentiles, us: f64) -> String {
    if times.count == 0 { "-".to_owned() } else { milliseconds(us / 1e3) }
}

fn thresholds(summary: &Summary) -> Table {
    let mut table = Table::new("Promises", &["what", "bound", "measured", ""]).words(2);
    for judged in &summary.thresholds {
        let met = if judged.met { Cell::toned("kept", Tone::Good) } else { Cell::toned("MISSED", Tone::Bad) };
        table.row([
            judged.metric.as_str().into(),
            judged.bound.as_str().into(),
            judged.measured_text.as_str().into(),
            met,
        ]);
    }
    table
}

fn latency(summary: &Summary) -> Table {
    let head = ["", "count", "min", "mean", "σ", "p50", "p90", "p95", "p99", "p99.9", "p99.99", "max"];
    let mut table = Table::new("Times: response = lag + service", &head);
    let kinds = [
        ("response", &summary.response),
        ("lag", &summary.lag),
        ("service", &summary.service),
        ("generator's own lateness", &summary.late),
        ("connecting", &summary.connect),
        ("delivery", &summary.delivery),
    ];
    for (name, times) in kinds.into_iter().filter(|(_, times)| times.count > 0) {
        table.row(times_row(name, times));
    }
    table
}

fn times_row(name: &str, times: &Percentiles) -> Vec<Cell> {
    let values = [
        times.min_us,
        times.mean_us,
        times.stddev_us,
        times.p50_us,
        times.p90_us,
        times.p95_us,
        times.p99_us,
        times.p999_us,
        times.p9999_us,
        times.max_us,
    ];
    let mut row: Vec<Cell> = vec![name.into(), times.count.to_string().into()];
    row.extend(values.map(|us| Cell::from(time(times, us))));
    row
}

fn errors(errors: &Errors) -> Table {
    let mut table = Table::new("Errors", &["kind", "count"]);
    for (kind, count) in errors.iter().filter(|(_, count)| *count > 0) {
        table.row([kind.into(), Cell::toned(count.to_string(), Tone::Bad)]);
    }
    table
}

fn steps(summary: &Summary) -> Table {
    let head = ["step", "scenario", "requests", "errors", "service p50", "p90", "p99", "max"];
    let mut table = Table::new("Steps", &head).words(2);
    if summary.steps.len() < 2 {
        return table;
    }
    for step in &summary.steps {
        let times = &step.service;
        table.row([
            step.step.as_str().into(),
            step.scenario.as_str().into(),
            step.ended.to_string().into(),
            failures(&step.errors),
            time(times, times.p50_us).into(),
            time(times, times.p90_us).into(),
            time(times, times.p99_us).into(),
            time(times, times.max_us).into(),
        ]);
    }
    table
}

fn levels(summary: &Summary) -> Table {
    let mut table =
        Table::new("Sizes", &["size", "requests", "errors", "response mean", "p50", "p99", "max"]);
    for level in &summary.levels {
        let times = &level.response;
        table.row([
            bytes(level.size).into(),
            level.ended.to_string().into(),
            failures(&level.errors),
            time(times, times.mean_us).into(),
            time(times, times.p50_us).into(),
            time(times, times.p99_us).into(),
            time(times, times.max_us).into(),
        ]);
    }
    table
}

fn failures(errors: &Errors) -> Cell {
    let count = errors.total();
    Cell::toned(count.to_string(), if count > 0 { Tone::Bad } else { Tone::Plain })
}

fn server(summary: &Summary) -> Table {
    let mut table = Table::new("What it took", &["", "mean", "most"]);
    let samples = &summary.server;
    if !samples.is_empty() {
        let mut row =
            |name: &str, pick: fn(&tidemill_load::ServerSample) -> f64, show: &dyn Fn(f64) -> String| {
                let values: Vec<f64> = samples.iter().map(pick).collect();
                let most = values.iter().copied().fold(0.0, f64::max);
                table.row([
                    name.into(),
                    show(crate::statistics::sample::mean(&values)).into(),
                    show(most).into(),
                ]);
            };
        let percent = |value: f64| format!("{} %", number(100.0 * value));
        let size = |value: f64| bytes(value as u64);
        row("server, cores", |sample| sample.cpu_cores, &number);
        row("server, memory", |sample| sample.memory_bytes as f64, &size);
        row("server, disk reads a second", |sample| sample.disk_read_bytes, &size);
        row("server, disk writes a second", |sample| sample.disk_write_bytes, &size);
        row("machine, processors", |sample| sample.host_cpu, &percent);
        row("machine, memory", |sample| sample.host_memory, &percent);
    }
    let client = &summary.client;
    let cores = client.cpu_s / summary.elapsed_s.max(1e-9);
    table.row(["this program, cores".into(), number(cores).into()]);
    table.row(["this program, memory".into(), Cell::default(), bytes(client.memory_bytes).into()]);
    if client.cpu_s > 0.0 {
        let per_cpu_s = summary.totals.sent as f64 / client.cpu_s;
        table.row(["this program, requests a CPU second".into(), number(per_cpu_s).into()]);
    }
    table
}

fn plan(summary: &Summary) -> Table {
    let mut table = Table::new("Plan", &["", ""]).words(2);
    let plan: &Plan = &summary.plan;
    let load = &plan.load;
    let (model, level) = match load.model {
        Model::Open => ("open: arrivals do not wait for answers", "arrivals a second"),
        Model::Closed => ("closed: each user waits for his answer", "users"),
    };
    let curve = load.shape.curve().ok();
    let most = curve.map_or(0.0, |curve| curve.peak());
    table.row(["target".into(), plan.target.url.as_str().into()]);
    table.row(["model".into(), model.into()]);
    table.row(["at most".into(), format!("{} {level}", number(most)).into()]);
    table.row([
        "planned".into(),
        format!(
            "{} s, warm-up {} s",
            number(plan.duration().as_secs_f64()),
            number(load.warm_up.as_secs_f64())
        )
        .into(),
    ]);
    table.row([
        "connections".into(),
        format!("{} on {} threads; {} opened", load.connections, load.threads, summary.totals.connections)
            .into(),
    ]);
    table.row(["timeout".into(), format!("{} s", number(load.timeout.as_secs_f64())).into()]);
    table.row(["seed".into(), load.seed.to_string().into()]);
    table
}
