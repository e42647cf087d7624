//! What the load generator costs and whether it tells the truth: requests per CPU second beside wrk, oha and locust,
//! stalls with a known p99, pacing, memory, a known capacity, delivery delays that the sender made.
//!
//! The rivals are programs, so they run here in turns with ours. Everything about time wants a machine with a free core:
//! run it as `chrt -r 50` where that is allowed. `--only CASE` runs one of http, stalls, pacing, memory, capacity, feed.

#![expect(
    clippy::print_stderr,
    reason = "what is skipped and what each run did is said to the one who watches"
)]

#[path = "load/programs.rs"]
mod programs;
#[path = "load/server.rs"]
mod server;

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tidemill_load::{
    Cancel, Check, Model, Plan, Probe, Scenario, SearchConfig, Shape, Step, Subscribe, Summary, run, search,
};
use tidemill_measure::{Better, Rounds, Row, Samples, UnitKind};

use programs::{Nginx, Program, installed};
use server::{KNEE, Server, delay, stall_left};

/// Seconds of each run against a rival.
const SECONDS: u64 = 3;

/// The argument that makes this program the process whose memory is read.
const MEMORY: &str = "--memory";

fn main() -> Result<(), Box<dyn Error>> {
    server::serve_if_asked()?;
    let args: Vec<String> = std::env::args().collect();
    if let Some([_, url, requests]) = args.windows(3).find(|three| three[0] == MEMORY) {
        writeln!(std::io::stdout(), "{}", used_for(url, requests.parse()?)?)?;
        return Ok(());
    }
    let only = args.iter().position(|arg| arg == "--only").and_then(|at| args.get(at + 1));
    let asked = |name: &str| only.is_none_or(|only| only == name);
    let rounds = Rounds::from_args(5).count();
    if asked("http") {
        http(rounds)?;
    }
    if asked("stalls") {
        stalls(rounds.min(3))?;
    }
    if asked("pacing") {
        pacing(rounds)?;
    }
    if asked("memory") {
        memory()?;
    }
    if asked("capacity") {
        capacity()?;
    }
    if asked("feed") {
        feed()?;
    }
    Ok(())
}

fn quiet(plan: &Plan) -> Result<Summary, Box<dyn Error>> {
    Ok(run(plan, &mut |_| {}, &Cancel::new())?)
}

/// 32 users without pause, status, header and body checked.
fn closed(url: &str, duration: Duration) -> Plan {
    let mut plan = Plan::new(url, Shape::constant(32.0, duration));
    plan.load.model = Model::Closed;
    let headers = [("content-type".to_owned(), "text/plain".to_owned())].into();
    let check = Check { status: vec![200], headers, body: Some("hello".to_owned()), ..Check::default() };
    let step = Step { check, ..Step::default() };
    plan.scenarios = vec![Scenario { name: String::new(), weight: 1, steps: vec![step] }];
    plan
}

/// Requests per second of the client's processor time, in turns.
fn http(rounds: u32) -> Result<(), Box<dyn Error>> {
    let nginx = Nginx::start()?;
    let dir = tempfile::tempdir()?;
    for rival in installed(dir.path())? {
        let (ours, theirs) = match beside(&rival, &nginx, rounds, dir.path()) {
            Ok(both) => both,
            // The other rivals are still worth measuring.
            Err(error) => {
                eprintln!("FAILED {}: {error}", rival.name);
                continue;
            }
        };
        let goal = match rival.name {
            "wrk" => 1.3,
            "oha" => 2.4,
            _ => 20.0,
        };
        let case = "HTTP/1.1, 32 connections, checked, a client CPU second";
        let row = Row::new("load", case, "requests", UnitKind::Cpu, Better::Higher);
        row.rival(rival.name).goal(goal).ours(&ours).theirs(&theirs).emit()?;
    }
    Ok(())
}

/// Both sides of one rival, in turns.
fn beside(
    rival: &Program,
    nginx: &Nginx,
    rounds: u32,
    dir: &Path,
) -> Result<(Samples, Samples), Box<dyn Error>> {
    let (mut ours, mut theirs) = (Samples::new(), Samples::new());
    for round in 0..=rounds {
        let mut both = [0.0; 2];
        for side in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            both[side] = if side == 0 {
                let summary = quiet(&closed(&nginx.url(), Duration::from_secs(SECONDS)))?;
                if summary.totals.ok == 0 || summary.errors.total() > 0 {
                    return Err(format!("errors against nginx: {:?}", summary.errors).into());
                }
                summary.totals.ok as f64 / summary.client.cpu_s
            } else {
                rival.run(&nginx.url(), SECONDS, dir)?
            };
        }
        // The first round warms both up.
        if round > 0 {
            ours.push(both[0]);
            theirs.push(both[1]);
        }
    }
    Ok((ours, theirs))
}

/// How far the reported p99 is from the one that follows from the server's script and the arrivals.
fn stalls(rounds: u32) -> Result<(), Box<dyn Error>> {
    for connections in [1, 32, 256, 1024] {
        let mut far = Samples::new();
        for _ in 0..rounds {
            let server = Server::start("stalls")?;
            let url = format!("http://127.0.0.1:{}/", server.port);
            let mut plan = Plan::new(&url, Shape::constant(1000.0, Duration::from_secs(20)));
            plan.load.connections = connections;
            let summary = quiet(&plan)?;
            let truth = truth(&summary, connections);
            eprintln!(
                "{connections} connections: p99 {:.1} ms, truth {truth:.1} ms; lag p99 {:.1}, service p99 {:.1}; {}",
                summary.response.p99_us / 1e3,
                summary.lag.p99_us / 1e3,
                summary.service.p99_us / 1e3,
                summary.verdict
            );
            far.push((summary.response.p99_us / 1e3 / truth - 1.0).abs() * 100.0);
        }
        let case = format!("stalls of 200 ms every 5 s at 1000/s, {connections} connections: p99 off by");
        Row::new("load", &case, "%", UnitKind::Wall, Better::Lower).goal(2.0).ours(&far).emit()?;
    }
    Ok(())
}

/// The p99 in milliseconds of arrivals at 1000/s at so many servers that stall by the script and otherwise need as long
/// as the median of what was seen.
fn truth(summary: &Summary, connections: usize) -> f64 {
    let service = summary.service.p50_us / 1e6;
    let origin = summary.started_unix_ms as f64 / 1e3;
    let mut free = vec![0.0f64; connections];
    let mut responses: Vec<f64> = (0..summary.totals.due)
        .map(|k| {
            let due = k as f64 / 1000.0;
            // Arrivals go in order to whoever is free first.
            let first = (0..free.len()).min_by(|a, b| free[*a].total_cmp(&free[*b])).unwrap_or(0);
            let begin = due.max(free[first]);
            let stall = stall_left(Duration::from_secs_f64(origin + begin)).as_secs_f64();
            free[first] = begin + stall + service;
            free[first] - due
        })
        .collect();
    responses.sort_by(f64::total_cmp);
    responses[(0.99 * responses.len() as f64).ceil() as usize - 1] * 1e3
}

/// The share of sends that are more than a millisecond late, from one thread.
fn pacing(rounds: u32) -> Result<(), Box<dyn Error>> {
    let nginx = Nginx::start()?;
    for rate in [1000.0, 20_000.0] {
        let mut late = Samples::new();
        for _ in 0..rounds {
            let mut plan = Plan::new(&nginx.url(), Shape::constant(rate, Duration::from_secs(5)));
            plan.load.connections = 256;
            plan.load.warm_up = Duration::from_secs(1);
            let summary = quiet(&plan)?;
            eprintln!(
                "{rate}/s: late p50 {} us, p99 {} us, {:.0} requests a CPU second, waited for a core {:.1} %",
                summary.late.p50_us,
                summary.late.p99_us,
                summary.totals.ok as f64 / summary.client.cpu_s,
                summary.client.waited_share * 100.0
            );
            late.push(summary.totals.late as f64 / summary.totals.sent.max(1) as f64 * 100.0);
        }
        let case = format!("open loop, {rate}/s from one thread: sent over 1 ms late");
        Row::new("load", &case, "%", UnitKind::Wall, Better::Lower).goal(1.0).ours(&late).emit()?;
    }
    Ok(())
}

/// The most resident memory after so many requests, in processes of their own.
fn memory() -> Result<(), Box<dyn Error>> {
    let nginx = Nginx::start()?;
    let most = if std::env::var_os("TIDEMILL_TEST_FULL").is_some() { 100_000_000u64 } else { 3_000_000 };
    for requests in [most / 10, most] {
        let output = Command::new(std::env::current_exe()?)
            .args([MEMORY, &nginx.url(), &requests.to_string()])
            .output()?;
        let bytes: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
        let case = format!("resident at most after {requests} requests, 32 connections");
        let samples: Samples = std::iter::once(bytes / 1e6).collect();
        // 10 MB and 20 KB a connection.
        Row::new("load", &case, "MB", UnitKind::Count, Better::Lower).goal(10.64).ours(&samples).emit()?;
    }
    Ok(())
}

fn used_for(url: &str, requests: u64) -> Result<u64, Box<dyn Error>> {
    let cancel = Cancel::new();
    let mut progress = |now: &tidemill_load::Progress<'_>| {
        if now.totals.ended >= requests {
            cancel.cancel();
        }
    };
    let plan = closed(url, Duration::from_secs(24 * 3600));
    Ok(run(&plan, &mut progress, &cancel)?.client.memory_bytes)
}

/// How far the capacity found is from the server's own.
fn capacity() -> Result<(), Box<dyn Error>> {
    let server = Server::start("knee")?;
    let mut plan = Plan::new(
        &format!("http://127.0.0.1:{}/", server.port),
        Shape::constant(1.0, Duration::from_secs(1)),
    );
    plan.load.connections = 256;
    plan.load.drain = Duration::from_secs(1);
    plan.pass.set("response.p99", "<250ms")?;
    plan.pass.set("errors", "<1%")?;
    let config = SearchConfig {
        probe: Duration::from_secs(5),
        warm_up: Duration::from_secs(1),
        low: 100.0,
        high: 10_000.0,
        ..SearchConfig::default()
    };
    let mut probed = |probe: &Probe, summary: &Summary| {
        eprintln!(
            "{:.0}/s: kept {}, achieved {:.0}/s; {}",
            probe.rate, probe.kept, probe.achieved, summary.verdict
        );
    };
    let found = search(&plan, &config, &mut probed, &mut |_| {}, &Cancel::new())?;
    let off: Samples = found.rate.map(|rate| (rate / KNEE - 1.0).abs() * 100.0).into_iter().collect();
    let case = "capacity of a server with a knee at 2000/s: off by";
    Row::new("load", case, "%", UnitKind::Wall, Better::Lower).goal(5.0).ours(&off).emit()?;
    let probes: Samples = std::iter::once(found.probes.len() as f64).collect();
    let case = "capacity of a server with a knee at 2000/s: probes";
    Row::new("load", case, "probes", UnitKind::Count, Better::Lower).goal(8.0).ours(&probes).emit()?;
    Ok(())
}

/// How far the p99 of 1000 readers is from the delays that the sender wrote into its messages.
fn feed() -> Result<(), Box<dyn Error>> {
    let server = Server::start("feed")?;
    let mut plan = Plan::new(
        &format!("ws://127.0.0.1:{}/", server.port),
        Shape::constant(1000.0, Duration::from_secs(15)),
    );
    plan.load.warm_up = Duration::from_secs(5);
    plan.load.spawn_rate = 500.0;
    plan.subscribe = Some(Subscribe {
        message: Some("feed".to_owned()),
        sent_at: String::new(),
        unit: Default::default(),
    });
    let summary = quiet(&plan)?;
    let mut delays: Vec<Duration> = (0..1000).map(delay).collect();
    delays.sort_unstable();
    let truth = delays[989].as_secs_f64() * 1e3;
    eprintln!(
        "{} messages, delivery p50 {:.2} ms, p99 {:.2} ms, truth {truth:.2} ms",
        summary.totals.messages,
        summary.delivery.p50_us / 1e3,
        summary.delivery.p99_us / 1e3
    );
    let off: Samples = std::iter::once((summary.delivery.p99_us / 1e3 - truth).abs()).collect();
    let case = "1000 WebSocket readers, delivery delay: p99 off by";
    Row::new("load", case, "ms", UnitKind::Wall, Better::Lower).goal(1.0).ours(&off).emit()?;
    Ok(())
}
