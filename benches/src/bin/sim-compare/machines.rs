//! Machines whose speed wanders, made up and recorded.

use tidemill_bench::statistics::random::Random;

/// How a made-up machine wanders.
#[derive(Clone, Copy)]
pub(crate) struct Drift {
    /// The share of its level that it remembers from one turn to the next.
    memory: f64,
    /// Standard deviation of the level's logarithm.
    wander: f64,
    /// Standard deviation of each turn's own noise.
    noise: f64,
    /// What a turn adds, for ever.
    trend: f64,
}

/// A made-up machine.
pub(crate) struct Machine {
    drift: Drift,
    level: f64,
    random: Random,
}

/// Recorded turns, in the order they ran.
#[derive(Clone)]
pub(crate) struct Replayed {
    values: Vec<f64>,
    at: usize,
}

/// Where turns come from.
pub(crate) enum Turns {
    Simulated(Machine),
    Replayed(Replayed),
}

/// The machines by name. Turns are half as long as those of a plain pair would be, so their noise is 3 % · sqrt 2 of
/// which drift takes its part.
pub(crate) fn simulated() -> [(&'static str, Drift); 3] {
    let drift = Drift { memory: 0.97, wander: 0.1, noise: 0.02, trend: 0.0 };
    [
        ("slow drift of 10 %", drift),
        ("steady trend of 1 % a turn", Drift { wander: 0.0, noise: 0.03, trend: 0.01, ..drift }),
        ("no drift, noise of 4 %", Drift { wander: 0.0, noise: 0.04, ..drift }),
    ]
}

impl Machine {
    pub(crate) fn new(drift: Drift, seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self { drift, level: drift.wander * random.normal(), random }
    }

    fn next(&mut self) -> f64 {
        let Drift { memory, wander, noise, trend } = self.drift;
        let push = wander * (1.0 - memory * memory).sqrt() * self.random.normal();
        // A trend is not forgotten.
        self.level = if wander > 0.0 { memory * self.level + push } else { self.level + trend };
        10.0 * (self.level + noise * self.random.normal()).exp()
    }
}

impl Replayed {
    /// One turn a line: its value is the last column. Lines that are none (a header) are passed over.
    pub(crate) fn read(file: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        let values: Vec<f64> =
            text.lines().filter_map(|line| line.rsplit(',').next()?.trim().parse().ok()).collect();
        if values.len() < 200 {
            return Err(format!("{file} has {} turns; 200 are needed", values.len()).into());
        }
        Ok(Self { values, at: 0 })
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// From this turn on, round and round.
    pub(crate) fn from(&self, at: usize) -> Self {
        Self { at, ..self.clone() }
    }
}

impl Turns {
    pub(crate) fn next(&mut self) -> f64 {
        match self {
            Self::Simulated(machine) => machine.next(),
            Self::Replayed(replayed) => {
                replayed.at += 1;
                replayed.values[replayed.at % replayed.values.len()]
            }
        }
    }
}
