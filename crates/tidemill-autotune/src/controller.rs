//! Controllers turn one knob at every step, each by its own law: ratio, increase and decrease, gradient, climb.

use std::fmt;
use std::time::Duration;

use crate::signal::Signals;

mod aimd;
mod gradient;
mod hill_climb;
mod ratio;

pub use aimd::Aimd;
pub use gradient::Gradient;
pub use hill_climb::HillClimb;
pub use ratio::Ratio;

/// A law for one knob. What it wants is brought within the knob's bounds by whoever asks.
pub trait Control: fmt::Debug + Send {
    /// For the journal.
    fn name(&self) -> &'static str;

    /// The value it wants now, when it has fresh readings and an opinion.
    fn step(&mut self, now: Duration, signals: &Signals, value: f64) -> Option<f64>;

    /// What its last opinion rests on, in words.
    fn evidence(&self) -> String;
}

/// The newest value of a signal, once for each reading.
#[derive(Clone, Debug)]
pub(crate) struct Fresh {
    pub(crate) signal: String,
    seen: u64,
}

impl Fresh {
    pub(crate) fn new(signal: &str) -> Self {
        Self { signal: signal.to_owned(), seen: 0 }
    }

    pub(crate) fn take(&mut self, signals: &Signals) -> Option<f64> {
        let series = signals.get(&self.signal)?;
        if series.count() == self.seen {
            return None;
        }
        self.seen = series.count();
        series.latest().map(|reading| reading.value)
    }
}
