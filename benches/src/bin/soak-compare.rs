//! Live comparisons on trial: two servers on loopback, the same and 5 % slower, twenty times each.
//!
//! `--trials N`, `--turn MS`, and `--record FILE` to write the turns of one server alone, which `sim-compare` replays.
//! The service time is a pause of 10 ms, so that what is judged is the measurement and not the server.

use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use tidemill_bench::compare::{Better, Judge, Side, Verdict};
use tidemill_bench::contenders::{LOAD_FIGURES, contest, turn};
use tidemill_bench::interrupt::Interrupt;
use tidemill_benches::{Better as Way, Row, Samples, UnitKind};
use tidemill_load::{Model, Plan, Shape};

const PAIRS: usize = 10;
const USERS: f64 = 2.0;
const PAUSE: Duration = Duration::from_millis(10);

fn main() -> Result<(), Box<dyn Error>> {
    let interrupt = Interrupt::listen()?;
    let number = |name: &str, default: u64| {
        let value = std::env::args().skip_while(|arg| arg != name).nth(1);
        value.and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    let length = Duration::from_millis(number("--turn", 400));
    if let Some(file) = std::env::args().skip_while(|arg| arg != "--record").nth(1) {
        return record(&file, number("--turns", 600), length, &interrupt);
    }
    let trials = number("--trials", 20);
    let rows = [
        ("nothing changed, called a change", 1.0, Way::Lower, 0.05),
        ("5 % slower, found", 1.05, Way::Higher, 0.9),
    ];
    for (what, factor, way, goal) in rows {
        let mut hits = 0;
        for trial in 0..trials {
            let verdict = live(factor, length, &interrupt)?;
            hits += u64::from(if factor > 1.0 {
                verdict == Verdict::Worse
            } else {
                !matches!(verdict, Verdict::NoDifference { .. })
            });
            writeln!(std::io::stdout(), "{what}: trial {} of {trials}: {verdict:?}", trial + 1)?;
        }
        let share = Samples::from_iter([hits as f64 / trials as f64]);
        Row::new("compare", &format!("live: {what}"), "share", UnitKind::Count, way)
            .ours(&share)
            .goal(goal)
            .emit()?;
    }
    Ok(())
}

fn plan(url: &str, length: Duration) -> Plan {
    let mut plan = Plan::new(url, Shape::constant(USERS, length));
    plan.load.model = Model::Closed;
    plan
}

fn live(factor: f64, length: Duration, interrupt: &Interrupt) -> Result<Verdict, Box<dyn Error>> {
    let (a, b) = (plan(&start(PAUSE)?, length), plan(&start(PAUSE.mul_f64(factor))?, length));
    let found = contest(LOAD_FIGURES, PAIRS, |at| {
        let plan = if at.side == Side::A { &a } else { &b };
        turn(plan, length, &mut |_| {}, interrupt)
    })?;
    Ok(found.judged(0, &Judge::new(Better::Lower)).ok_or("no verdict")?.verdict)
}

fn record(file: &str, turns: u64, length: Duration, interrupt: &Interrupt) -> Result<(), Box<dyn Error>> {
    let plan = plan(&start(PAUSE)?, length);
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    writeln!(out, "turn,response_p50_ms")?;
    for at in 0..turns {
        let measured = turn(&plan, length, &mut |_| {}, interrupt)?;
        if measured.interrupted {
            break;
        }
        writeln!(out, "{at},{:.4}", measured.values[0])?;
    }
    Ok(out.flush()?)
}

/// A server with a thread a connection that pauses before each answer; it lives as long as the process.
fn start(pause: Duration) -> Result<String, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            std::thread::spawn(move || answer(&socket, pause));
        }
    });
    Ok(url)
}

/// Ends with the connection.
fn answer(socket: &TcpStream, pause: Duration) -> Option<()> {
    socket.set_nodelay(true).ok()?;
    let mut lines = BufReader::new(socket).lines();
    loop {
        lines.next()?.ok()?;
        while !lines.next()?.ok()?.is_empty() {}
        std::thread::sleep(pause);
        (&mut &*socket).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").ok()?;
    }
}
