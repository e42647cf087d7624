//! What a look at the machine costs: all of it, and without the file systems.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tidemill_benches::{Better, Clock, Rounds, Row, Samples, UnitKind};
use tidemill_host::{Config, Host};

const LOOKS: u64 = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rounds = Rounds::from_args(15).clock(Clock::ProcessCpu);
    let row = |case: &str| Row::new("host", case, "us", UnitKind::Cpu, Better::Lower);
    let all = looks(rounds, Config::default())?;
    row("full sample").rival("node_exporter, same collectors").ours(&all).goal(0.2).emit()?;
    row("full sample").rival("node_exporter, all collectors").ours(&all).goal(0.2).emit()?;
    let config = Config { mounts: false, open_files: false, ..Config::default() };
    row("sample without file systems and open files").ours(&looks(rounds, config)?).emit()?;
    Ok(())
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
