//! What a round of one target costs, part by part, in processor time a series: reading its answer, rates, rules, history in
//! memory and on the disk, and the page.
//!
//! `cargo run --release -p tidemill-monitor --example scrape_cost [ANSWER OF /metrics IN A FILE] [ROUNDS]`
//!
//! Without a file an answer like that of a node_exporter is made: 520 series in 130 families.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tidemill_monitor::alert;
use tidemill_monitor::current::Current;
use tidemill_monitor::history::{self, History};
use tidemill_monitor::series::Round;
use tidemill_monitor::watch::{Reader, Target};
use tidemill_monitor::web::{self, Hub};

const START_MS: i64 = 1_700_000_000_000;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let recorded = arguments.next().map(std::fs::read_to_string).transpose()?;
    let rounds: i64 = arguments.next().map_or(Ok(600), |text| text.parse())?;
    let answer = |nth: i64| recorded.clone().unwrap_or_else(|| made(nth));

    let name: Arc<str> = Arc::from("node");
    let mut reader = Reader::new(&Target { name: name.to_string(), ..Target::default() });
    let dir = tempfile::tempdir()?;
    let second = Duration::from_secs(1);
    let (history, writing) = History::open(dir.path(), history::Config::default(), second * 1000, START_MS)?;
    let (current, hub) = (Current::default(), Hub::new(&web::Config::default(), second, ""));
    let mut engine = alert::Engine::new(alert::Config::default().complete().map_err(anyhow::Error::msg)?)
        .map_err(anyhow::Error::msg)?;
    let mut parts = [
        ("read the answer", 0.0),
        ("rates", 0.0),
        ("rules of alerts", 0.0),
        ("history in memory", 0.0),
        ("the page, nobody there", 0.0),
    ];
    let (mut series, mut first) = (0, 0.0);
    for nth in 0..rounds {
        let text = answer(nth);
        let mut took = [0.0; 5];
        let mut readings = Vec::new();
        took[0] = cpu(|| {
            readings = reader.read(text.as_bytes())?;
            Ok(())
        })?;
        series = readings.len();
        let (target, at_ms) = (Arc::clone(&name), START_MS + nth * 1000);
        let round = Arc::new(Round { target, at_ms, took: Duration::ZERO, error: None, readings });
        took[1] = cpu(|| {
            current.take(&round);
            Ok(())
        })?;
        took[2] = cpu(|| {
            engine.step(at_ms, &round);
            Ok(())
        })?;
        took[3] = cpu(|| {
            history.take(&round);
            Ok(())
        })?;
        took[4] = cpu(|| {
            hub.round(&round);
            Ok(())
        })?;
        if nth == 0 {
            first = took[0];
            continue;
        }
        for (part, took) in parts.iter_mut().zip(took) {
            part.1 += took;
        }
        // In life a second passes: here the disk is waited for now and then, or it would write rounds together.
        if nth % 50 == 0 {
            history.publish()?;
        }
    }
    let before = clock(rustix::time::ClockId::ProcessCPUTime)?;
    let (waits, begun) = (50, std::time::Instant::now());
    for nth in 0..waits {
        let readings = reader.read(answer(nth).as_bytes())?;
        let (target, at_ms) = (Arc::clone(&name), START_MS + (rounds + nth) * 1000);
        history.take(&Round { target, at_ms, took: Duration::ZERO, error: None, readings });
        std::thread::sleep(Duration::from_millis(40));
    }
    let disk = clock(rustix::time::ClockId::ProcessCPUTime)? - before;
    let each = |seconds: f64, rounds: i64| seconds * 1e9 / rounds as f64 / series as f64;
    println!("{series} series, {rounds} rounds; ns a series:");
    println!("{:8.0}  the first answer, read", each(first, 1));
    for (part, took) in parts {
        println!("{:8.0}  {part}", each(took, rounds - 1));
    }
    let again = parts[0].1 + parts[3].1;
    println!("{:8.0}  history on the disk, a commit a round", each(disk, waits) - each(again, rounds - 1));
    println!("{:8.1} s on the wall for the last part", begun.elapsed().as_secs_f64());
    drop(history);
    writing.close()
}

/// Processor time of this thread that it takes, in seconds.
fn cpu(mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    let before = clock(rustix::time::ClockId::ThreadCPUTime)?;
    run()?;
    Ok(clock(rustix::time::ClockId::ThreadCPUTime)? - before)
}

fn clock(id: rustix::time::ClockId) -> Result<f64> {
    let time = rustix::time::clock_gettime(id);
    let nanos = u32::try_from(time.tv_nsec).context("a clock of more than a second")?;
    Ok(time.tv_sec as f64 + f64::from(nanos) / 1e9)
}

/// An answer: some families of one series, some of many, as a node_exporter has them.
fn made(nth: i64) -> String {
    let mut text = String::with_capacity(64 << 10);
    for family in 0..130 {
        let counts = family % 3 != 0;
        let (kind, suffix) = if counts { ("counter", "_total") } else { ("gauge", "_bytes") };
        let name = format!("node_subsystem_measurement_{family}{suffix}");
        writeln!(text, "# HELP {name} A sentence about what this is and where the kernel has it from.\n# TYPE {name} {kind}").ok();
        let series = if family % 10 == 0 { 31 } else { 1 };
        for at in 0..series {
            let value = if counts {
                (nth * (at + 3) + family) as f64 * 1.25
            } else {
                (family * 1000 + nth % 7) as f64
            };
            if series == 1 {
                writeln!(text, "{name} {value}").ok();
            } else {
                writeln!(text, "{name}{{cpu=\"{at}\",mode=\"iowait\"}} {value:e}").ok();
            }
        }
    }
    text
}
