//! The pure core: one target's knobs as they are, what was read, and what to set now.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tidemill_autotune::{Action, Config, Decision, Error, Knob, Record, TrialView, Tuner};

/// Decisions kept of one target.
const RECORDS: usize = 1000;

/// Moves the knobs of one target. Time is since 1970, as its decisions outlive the process.
#[derive(Debug)]
pub struct Steering {
    tuner: Tuner,
    records: VecDeque<Record>,
    /// Decisions nobody has taken yet.
    fresh: Vec<Record>,
}

impl Steering {
    /// Begins with the knobs as a target shows them and what was decided before. What was under trial when the last run ended is
    /// put back: the values to set.
    ///
    /// # Errors
    /// A rule or knob that is wrong.
    pub fn new(
        config: Config,
        now: Duration,
        knobs: &[(Knob, f64)],
        records: Vec<Record>,
    ) -> Result<(Self, BTreeMap<String, f64>), Error> {
        let mut back = left_open(&records);
        // What has another value meanwhile was set by somebody else, and stays.
        back.retain(|name, (from, to)| {
            knobs
                .iter()
                .any(|(knob, value)| knob.name == *name && is_same(*value, *to) && !is_same(*from, *to))
        });
        let mut builder = Tuner::builder(config);
        for (knob, value) in knobs {
            let value = back.get(&knob.name).map_or(*value, |(from, _)| *from);
            builder = builder.knob(knob.clone(), value);
        }
        let mut tuner = builder.build()?;
        tuner.restore(now, &records);
        // The target remembers its values itself: what it shows is what counts, not what we once decided.
        for (knob, value) in knobs {
            let value = back.get(&knob.name).map_or(*value, |(from, _)| *from);
            if tuner.value(&knob.name).is_some_and(|known| !is_same(known, value)) {
                tuner.set(now, &knob.name, knob.clamp(value)).ok();
            }
        }
        let mut steering = Self { tuner, records: records.into(), fresh: Vec::new() };
        steering.collect();
        Ok((steering, back.into_iter().map(|(name, (from, _))| (name, from)).collect()))
    }

    /// Whether these are the knobs it was made for.
    #[must_use]
    pub fn is_for(&self, knobs: &[(Knob, f64)]) -> bool {
        self.tuner.knobs().count() == knobs.len()
            && knobs.iter().all(|(knob, _)| self.tuner.knobs().any(|(known, _)| known == knob))
    }

    /// One interval: what was read, the knobs as they are, and what to set.
    pub fn step<'a>(
        &mut self,
        now: Duration,
        knobs: &[(Knob, f64)],
        readings: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> BTreeMap<String, f64> {
        for (knob, value) in knobs {
            let known = self.tuner.value(&knob.name);
            if known.is_some_and(|known| !is_same(known, *value)) {
                // Somebody else set it: what was tried with it proves nothing any more.
                self.end_trial_of(now, &knob.name);
                self.tuner.set(now, &knob.name, knob.clamp(*value)).ok();
            }
        }
        for (signal, value) in readings {
            self.tuner.read(now, signal, value);
        }
        let actions = self.tuner.step(now);
        self.collect();
        let mut wanted = sets(actions);
        wanted
            .retain(|name, value| !knobs.iter().any(|(knob, is)| knob.name == *name && is_same(*is, *value)));
        wanted
    }

    /// Whether a person may set knobs so, all of them: known before the target is asked.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn check(&self, wanted: &BTreeMap<String, f64>) -> Result<(), Error> {
        wanted.iter().try_for_each(|(knob, value)| self.tuner.check(knob, *value))
    }

    /// A person sets knobs, all of them or none.
    ///
    /// # Errors
    /// `Unknown`, `Config` out of bounds, or `Busy` while a trial or an emergency holds it.
    pub fn set(
        &mut self,
        now: Duration,
        wanted: &BTreeMap<String, f64>,
    ) -> Result<BTreeMap<String, f64>, Error> {
        let before: Vec<(String, Option<f64>)> =
            wanted.keys().map(|name| (name.clone(), self.tuner.value(name))).collect();
        let mut set = BTreeMap::new();
        for (at, (name, value)) in wanted.iter().enumerate() {
            match self.tuner.set(now, name, *value) {
                Ok(actions) => set.extend(sets(actions)),
                Err(error) => {
                    for (name, value) in &before[..at] {
                        if let Some(value) = value {
                            self.tuner.set(now, name, *value).ok();
                        }
                    }
                    // Nothing happened, so nothing is to be remembered.
                    self.tuner.take_records();
                    return Err(error);
                }
            }
        }
        self.collect();
        Ok(set)
    }

    /// Ends every trial; the values to put back.
    pub fn end(&mut self, now: Duration) -> BTreeMap<String, f64> {
        let actions = self.tuner.enable(now, false);
        self.collect();
        sets(actions)
    }

    /// The decisions nobody has taken yet.
    pub fn take_fresh(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.fresh)
    }

    /// The last decisions, oldest first.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = &Record> {
        self.records.iter()
    }

    /// The trials that run.
    #[must_use]
    pub fn trials(&self) -> Vec<TrialView> {
        self.tuner.trials()
    }

    /// Whether an emergency is on.
    #[must_use]
    pub fn is_emergency(&self) -> bool {
        self.tuner.is_emergency()
    }

    fn end_trial_of(&mut self, now: Duration, knob: &str) {
        let of = |trial: &TrialView| trial.turns.iter().any(|turn| turn.knob == knob);
        for trial in self.tuner.trials().iter().filter(|trial| of(trial)) {
            self.tuner.abort(now, trial.id).ok();
        }
    }

    fn collect(&mut self) {
        for record in self.tuner.take_records() {
            self.fresh.push(record.clone());
            self.records.push_back(record);
            if self.records.len() > RECORDS {
                self.records.pop_front();
            }
        }
    }
}

/// What was under trial at the end of these decisions: of each knob the old value and the new.
fn left_open(records: &[Record]) -> BTreeMap<String, (f64, f64)> {
    let mut open = BTreeMap::new();
    for record in records {
        match &record.decision {
            Decision::TrialBegan { turns, .. } => {
                open.extend(turns.iter().map(|turn| (turn.knob.clone(), (turn.from, turn.to))));
            }
            Decision::TrialEnded { turns, .. } => turns.iter().for_each(|turn| {
                open.remove(&turn.knob);
            }),
            _ => {}
        }
    }
    open
}

fn sets(actions: Vec<Action>) -> BTreeMap<String, f64> {
    let set = |action| match action {
        Action::Set { knob, value } => Some((knob, value)),
        _ => None,
    };
    actions.into_iter().filter_map(set).collect()
}

/// Equal but for what a text of decimals loses.
fn is_same(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1.0)
}
