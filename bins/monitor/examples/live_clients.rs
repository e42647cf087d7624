//! What live clients cost: memory of each, and how late the last one is, beside some that never read.
//!
//! `cargo run --release -p tidemill-monitor --example live_clients -- 1000 50 500` serves 1000 clients and 50 deaf ones 500
//! series a second; the clients stand in a process of their own.

#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use tidemill_monitor::event::Events;
use tidemill_monitor::series::{Kind, Reading, Round, Series};
use tidemill_monitor::web::{self, Config, Hub, Web};
use tidemill_shell::serve::{Limits, serve};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

const ROUNDS: usize = 20;
const INTERVAL: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| args.get(at).map_or(Ok(default), |text| text.parse());
    match args.first().map(String::as_str) {
        Some("clients") => runtime.block_on(clients(&args[1], number(2, 1)?, number(3, 0)?)),
        _ => runtime.block_on(server(number(0, 1000)?, number(1, 50)?, number(2, 500)?)),
    }
}

async fn server(reading: usize, deaf: usize, series: usize) -> Result<()> {
    let config = Config { live_clients: reading + deaf, ..Config::default() };
    let hub = Hub::new(&config, INTERVAL, "");
    let routes = web::router(Web {
        hub: hub.clone(),
        views: Vec::new(),
        events: Events::new(1),
        metrics: Box::new(BTreeSet::new),
        past: Box::new(|_| None),
    });
    let mut limits = Limits::default();
    limits.max_connections = reading + deaf + 10;
    let server = serve("127.0.0.1:0".parse()?, routes, limits, std::future::pending()).await?;
    let target: Arc<str> = Arc::from("host");
    let all: Vec<Arc<Series>> = (0..series)
        .map(|i| {
            Arc::new(Series::new(
                &target,
                "system_some_metric_percent",
                &[("of", &i.to_string())],
                Kind::Gauge,
            ))
        })
        .collect();
    hub.round(&round(&all, 0.0));
    // What starting up gave back to the allocator is used up first, so that it hides no client.
    let ballast: Vec<Vec<u8>> = (0..8192).map(|_| vec![1; 1024]).collect();
    let before = resident()?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["clients", &server.addr().to_string(), &reading.to_string(), &deaf.to_string()])
        .stdin(Stdio::null())
        .spawn()
        .context("the clients cannot be started")?;
    while (hub.stats().open as usize) < reading + deaf {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let connected = resident()?;
    let mut ticks = tokio::time::interval(INTERVAL);
    let spent = processor()?;
    for at in 0..ROUNDS {
        ticks.tick().await;
        hub.round(&round(&all, at as f64));
    }
    ticks.tick().await;
    let spent = processor()? - spent;
    let after = resident()?;
    drop(ballast);
    let ended = tokio::task::spawn_blocking(move || child.wait()).await??;
    let clients = (reading + deaf) as f64;
    println!(
        "memory of a client: {:.1} KiB connected, {:.1} KiB after {ROUNDS} rounds",
        (connected - before) / clients,
        (after - before) / clients
    );
    println!("processor: {:.1} µs a client and round", spent * 1e6 / clients / ROUNDS as f64);
    anyhow::ensure!(ended.success(), "a client did not get every round");
    Ok(())
}

/// Connects all of them, and tells how late rounds came.
async fn clients(address: &str, reading: usize, deaf: usize) -> Result<()> {
    let mut held = Vec::new();
    for _ in 0..deaf {
        let stream = TcpStream::connect(address).await?;
        held.push(tokio_tungstenite::client_async(format!("ws://{address}/ws"), stream).await?);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..reading {
        let address = address.to_owned();
        // As people come: not all in one instant.
        tokio::time::sleep(Duration::from_millis(2)).await;
        tasks.spawn(async move { listen(&address).await });
    }
    let mut late = Vec::new();
    while let Some(one) = tasks.join_next().await {
        late.extend(one??);
    }
    late.sort_by(f64::total_cmp);
    let of = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
    println!("{} values of {reading} clients beside {deaf} that never read", late.len());
    println!("late by p50 {:.0} ms, p99 {:.0} ms, at most {:.0} ms", of(0.5), of(0.99), of(1.0));
    Ok(())
}

async fn listen(address: &str) -> Result<Vec<f64>> {
    let stream = TcpStream::connect(address).await?;
    let (mut socket, _) = tokio_tungstenite::client_async(format!("ws://{address}/ws"), stream).await?;
    let mut late = Vec::new();
    let mut rounds = 0;
    // The first round is what was there already.
    while rounds <= ROUNDS {
        let message = socket.next().await.context("the server ended the socket")??;
        let Message::Text(text) = message else { continue };
        let Some(rest) = text.strip_prefix("{\"type\":\"round\",\"at_ms\":") else { continue };
        let at_ms: f64 = rest.split(',').next().unwrap_or_default().parse()?;
        if rounds > 0 {
            late.push(now_ms() - at_ms);
        }
        rounds += 1;
    }
    Ok(late)
}

fn round(series: &[Arc<Series>], value: f64) -> Round {
    let reading = |(i, series): (usize, &Arc<Series>)| Reading {
        series: Arc::clone(series),
        value: value + i as f64 / 7.0,
    };
    let readings = series.iter().enumerate().map(reading).collect();
    let target = Arc::clone(&series[0].target);
    Round { target, at_ms: now_ms() as i64, took: Duration::ZERO, error: None, readings }
}

fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1000.0)
}

/// In KiB.
fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Seconds of this process.
fn processor() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}
