//! What a day of history costs: memory, processor time, disk, and the time of a question about 24 hours.
//!
//! `cargo run --release -p tidemill-monitor --example history_cost [SERIES] [SECONDS BETWEEN ROUNDS]`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tidemill_monitor::history::{Config, History, Question};
use tidemill_monitor::series::{Kind, Reading, Round, Series};

const DAY_MS: i64 = 86_400_000;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let series: usize = arguments.next().map_or(Ok(500), |text| text.parse())?;
    let seconds: i64 = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    let before = resident()?;
    let now = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis())?;
    let span = Duration::from_secs(1000 * seconds.unsigned_abs());
    let (history, writing) = History::open(dir.path(), Config::default(), span, now - DAY_MS)?;
    let target: Arc<str> = Arc::from("host");
    let named: Vec<Arc<Series>> = (0..series)
        .map(|at| {
            let kind = if at % 2 == 0 { Kind::Gauge } else { Kind::Counter };
            Arc::new(Series::new(&target, "some_metric_of_a_target", &[("of", &at.to_string())], kind))
        })
        .collect();
    let (began, cpu) = (Instant::now(), processor()?);
    let mut rounds = 0_u32;
    for at_ms in (now - DAY_MS..now).step_by(usize::try_from(seconds * 1000)?) {
        let value = |at: usize| {
            ((rounds as usize * (at + 3)) % 1000) as f64 / 7.0 + f64::from(rounds) * (at % 2) as f64
        };
        let readings = named
            .iter()
            .enumerate()
            .map(|(at, series)| Reading { series: Arc::clone(series), value: value(at) });
        let (target, readings) = (Arc::clone(&target), readings.collect());
        history.take(&Round { target, at_ms, took: Duration::ZERO, error: None, readings });
        rounds += 1;
        // In life seconds pass between two rounds: here the disk is waited for now and then.
        if rounds.is_multiple_of(90) {
            history.publish()?;
        }
    }
    history.publish()?;
    let took = processor()? - cpu;
    println!("{series} series, {rounds} rounds of {seconds} s: {} values dropped", history.stats().dropped);
    println!(
        "processor   {took:.1} s for 24 h ({:.3} %), {:.1} s on the wall",
        took / 864.0,
        began.elapsed().as_secs_f64()
    );
    println!("memory      {:.1} MiB resident, {:.1} MiB more than before", resident()?, resident()? - before);
    println!("disk        {:.1} MiB", size(dir.path())? / 1_048_576.0);
    for (what, of, hours) in
        [("one series", Some("7"), 24), ("200 series", None, 24), ("one series", Some("7"), 1)]
    {
        let labels = of.map(|of| ("of".to_owned(), of.to_owned())).into_iter().collect();
        let question = Question {
            metric: "some_metric_of_a_target".into(),
            target: None,
            labels,
            from_ms: now - hours * 3_600_000,
            to_ms: now,
            points: 600,
        };
        let asked = Instant::now();
        let answer = history.ask(&question)?;
        let text = serde_json::to_vec(&answer)?;
        println!(
            "question    {what}, {hours} h: {:.2} ms, {} points, {} KiB of JSON, from {}",
            asked.elapsed().as_secs_f64() * 1e3,
            answer.series.iter().map(|series| series.t.len()).sum::<usize>(),
            text.len() >> 10,
            answer.tier,
        );
    }
    drop(history);
    writing.close()?;
    let opened = Instant::now();
    let (_history, writing) = History::open(dir.path(), Config::default(), span, now)?;
    println!("restart     {:.2} s until everything is back in memory", opened.elapsed().as_secs_f64());
    writing.close()
}

fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<f64>()? / 1024.0)
}

/// Processor time of this process, in seconds.
fn processor() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().context("no stat")?.split(' ').collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}

fn size(dir: &Path) -> Result<f64> {
    let mut sum = 0.0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        sum += if kind.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() as f64 };
    }
    Ok(sum)
}
