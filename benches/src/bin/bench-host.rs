//! What a look at the machine costs: a sample, one without the file systems, and all facts as text.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

use tidemill_benches::{Better, Clock, Rounds, Row, Samples, UnitKind};
use tidemill_host::{Config, Facts, FactsConfig, Host};

const LOOKS: u64 = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rounds = Rounds::from_args(15).clock(Clock::ProcessCpu);
    let row = |case: &str| Row::new("host", case, "us", UnitKind::Cpu, Better::Lower);
    let all = looks(rounds, Config::default())?;
    row("full sample").rival("node_exporter, same collectors").ours(&all).goal(0.2).emit()?;
    row("all facts").rival("node_exporter, all collectors").ours(&facts(rounds)?).goal(0.2).emit()?;
    let config = Config { mounts: false, open_files: false, ..Config::default() };
    row("sample without file systems and open files").ours(&looks(rounds, config)?).emit()?;
    Ok(())
}

/// Microseconds of CPU time to read all facts and to write them as a scrape is answered.
fn facts(rounds: Rounds) -> Result<Samples, tidemill_host::Error> {
    let mut facts = Facts::builder(FactsConfig::default()).build()?;
    let mut text = String::new();
    facts.read(SystemTime::now());
    let samples = rounds.single(LOOKS, || {
        for _ in 0..LOOKS {
            text.clear();
            for fact in facts.read(SystemTime::now()) {
                // A string takes everything.
                let _ = writeln!(text, "{} {}", fact.about, fact.value);
            }
            black_box(&text);
        }
    });
    Ok(samples.scaled(1e-3))
}

/// Microseconds of CPU time a sample.
fn looks(rounds: Rounds, config: Config) -> Result<Samples, tidemill_host::Error> {
    let mut host = Host::builder(config).build()?;
    let origin = Instant::now();
    host.sample(Duration::ZERO)?;
    let samples = rounds.single(LOOKS, || {
        for _ in 0..LOOKS {
            // The clock does not step back, so that there is always one.
            let _ = black_box(host.sample(origin.elapsed()));
        }
    });
    Ok(samples.scaled(1e-3))
}
