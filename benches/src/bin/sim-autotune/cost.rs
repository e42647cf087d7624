//! What a step costs with 50 signals, 50 knobs, every built-in rule, guards, and a trial that runs.

use std::time::Duration;

use tidemill_autotune::{Config, Guard, Knob, Rule, Tuner};
use tidemill_benches::{Better, Clock, Row, Samples, UnitKind};

pub(crate) fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut rule = Rule::new("try", "signal.0 >= 0", &["knob.0 + 1"])?;
    rule.objective = Some("signal.1 lower".parse()?);
    let guard =
        |signal: usize| Guard { signal: format!("signal.{signal}"), above: Some(1e9), ratio: None, steps: 2 };
    let config = Config { rule: vec![rule], guard: (0..10).map(guard).collect(), ..Config::default() };
    let mut builder = Tuner::builder(config);
    for knob in 0..50 {
        builder = builder.knob(Knob::new(&format!("knob.{knob}"), 0.0, 100.0), 50.0);
    }
    let mut tuner = builder.build()?;
    let names: Vec<String> = (0..50).map(|signal| format!("signal.{signal}")).collect();
    let mut costs = Samples::new();
    let mut now = 0;
    for _ in 0..11 {
        let spent = Clock::ThreadCpu.time(|| {
            for _ in 0..1000 {
                now += 1;
                for name in &names {
                    tuner.read(Duration::from_secs(now), name, (now % 13) as f64);
                }
                tuner.step(Duration::from_secs(now));
                tuner.take_records();
            }
        });
        // A step a second: microseconds a step are millionths of a core.
        costs.push(spent.as_secs_f64() / 1000.0 * 100.0);
    }
    Row::new("autotune", "50 signals, a step a second", "% of a core", UnitKind::Cpu, Better::Lower)
        .ours(&costs)
        .goal(0.1)
        .emit()?;
    Ok(())
}
