//! Changes made outright that are still watched, or wait to be taken back.

use std::time::Duration;

use crate::decision::{Turn, number};
use crate::evidence::median;
use crate::objective::Guard;
use crate::signal::Signals;

/// How far back "before the change" reaches.
const BEFORE: Duration = Duration::from_secs(60);

/// What one rule changed at one time.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) rule: String,
    pub(crate) turns: Vec<Turn>,
    pub(crate) watches: Vec<Watch>,
    /// A measure of an emergency, which takes it back itself.
    pub(crate) emergency: bool,
    /// Steps since.
    pub(crate) age: u32,
    pub(crate) restore_streak: u32,
}

impl Held {
    pub(crate) fn new(rule: &str, turns: Vec<Turn>, watches: Vec<Watch>, emergency: bool) -> Self {
        Self { rule: rule.to_owned(), turns, watches, emergency, age: 0, restore_streak: 0 }
    }

    /// A knob is somebody else's now.
    pub(crate) fn forget(&mut self, knob: &str) {
        self.turns.retain(|turn| turn.knob != knob);
    }
}

/// A guard, and what its signal was before the change.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    guard: Guard,
    before: Option<f64>,
    streak: u32,
}

impl Watch {
    pub(crate) fn begin(guard: &Guard, signals: &Signals, now: Duration) -> Self {
        let series = signals.get(&guard.signal);
        let mut before: Vec<f64> = series
            .into_iter()
            .flat_map(|series| series.within(now, BEFORE))
            .map(|reading| reading.value)
            .collect();
        let before = (!before.is_empty()).then(|| median(&mut before));
        Self { guard: guard.clone(), before, streak: 0 }
    }

    /// The first guard that has seen harm often enough, in words.
    pub(crate) fn harm(
        watches: &mut [Self],
        signals: &Signals,
        now: Duration,
        fresh: Duration,
    ) -> Option<String> {
        watches.iter_mut().find_map(|watch| watch.step(signals, now, fresh))
    }

    fn step(&mut self, signals: &Signals, now: Duration, fresh: Duration) -> Option<String> {
        let reading = signals.get(&self.guard.signal)?.latest()?;
        if now.saturating_sub(reading.at) >= fresh {
            return None;
        }
        self.streak = if self.guard.is_harm(reading.value, self.before) { self.streak + 1 } else { 0 };
        (self.streak >= self.guard.steps).then(|| {
            let before = self.before.map_or("unknown".to_owned(), number);
            format!("{} = {}, before the change {before}", self.guard.signal, number(reading.value))
        })
    }
}
