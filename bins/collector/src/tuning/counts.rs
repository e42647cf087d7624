//! What the tuner does, as metrics: every knob's value, what was changed by whom, what was undone, how trials ended.

use std::collections::BTreeMap;

use anyhow::Result;
use tidemill_autotune::{Decision, Outcome, Record, Tuner};
use tidemill_metrics::{Counter, Gauge, Registry};

/// The metrics; every name is exposed with the prefix `tidemill_`.
#[derive(Debug)]
pub(super) struct Counts {
    /// `knob_value{knob}`
    values: BTreeMap<String, Gauge>,
    /// `tuning_changes_total{by}`
    by_rule: Counter,
    by_controller: Counter,
    by_person: Counter,
    /// `tuning_undone_total`
    undone: Counter,
    /// `tuning_restored_total`
    restored: Counter,
    /// `tuning_emergencies_total`
    emergencies: Counter,
    /// `tuning_trials_total{outcome}`, in the order of [`OUTCOMES`].
    trials: [Counter; 4],
    /// `tuning_trials_running`
    running: Gauge,
    /// `tuning_emergency`
    emergency: Gauge,
    /// `tuning_enabled`
    enabled: Gauge,
}

const OUTCOMES: [(Outcome, &str); 4] = [
    (Outcome::Kept, "kept"),
    (Outcome::Undone, "undone"),
    (Outcome::Inconclusive, "inconclusive"),
    (Outcome::Aborted, "aborted"),
];

impl Counts {
    /// Registers them.
    pub(super) fn new(registry: &Registry, tuner: &Tuner) -> Result<Self> {
        let value = |name: &str| -> Result<(String, Gauge)> {
            let values =
                registry.gauge("knob_value", "What a setting that changes while the collector runs is now.");
            Ok((name.to_owned(), values.with(&[("knob", name)])?))
        };
        let changed = |by| {
            let changes = registry.counter("tuning_changes_total", "Settings changed outright, by whom.");
            changes.with(&[("by", by)])
        };
        let trial =
            |outcome| registry.counter("tuning_trials_total", "Trials ended.").with(&[("outcome", outcome)]);
        let counter = |name, help| registry.counter(name, help).get();
        let gauge = |name, help| registry.gauge(name, help).get();
        let [kept, undone, inconclusive, aborted] = OUTCOMES.map(|(_, name)| trial(name));
        Ok(Self {
            values: tuner.knobs().map(|(knob, _)| value(&knob.name)).collect::<Result<_>>()?,
            by_rule: changed("rule")?,
            by_controller: changed("controller")?,
            by_person: changed("person")?,
            undone: counter("tuning_undone_total", "Outright changes taken back because they did harm.")?,
            restored: counter("tuning_restored_total", "Outright changes taken back when no longer needed.")?,
            emergencies: counter("tuning_emergencies_total", "Emergencies begun.")?,
            trials: [kept?, undone?, inconclusive?, aborted?],
            running: gauge("tuning_trials_running", "Trials under way.")?,
            emergency: gauge("tuning_emergency", "1 during an emergency.")?,
            enabled: gauge("tuning_enabled", "1 while settings change by themselves.")?,
        })
    }

    /// Counts decisions.
    pub(super) fn count(&self, records: &[Record]) {
        for record in records {
            match &record.decision {
                Decision::Changed { by, turns, .. } => {
                    let counter = match by.as_str() {
                        "a person" => &self.by_person,
                        by if by.ends_with(" controller") => &self.by_controller,
                        _ => &self.by_rule,
                    };
                    counter.add(turns.len() as u64);
                }
                Decision::TrialEnded { outcome, .. } => {
                    let at = OUTCOMES.iter().position(|(known, _)| known == outcome);
                    at.iter().for_each(|at| self.trials[*at].inc());
                }
                Decision::Undone { .. } => self.undone.inc(),
                Decision::Restored { .. } => self.restored.inc(),
                Decision::EmergencyBegan { .. } => self.emergencies.inc(),
                _ => {}
            }
        }
    }

    /// Shows how things stand.
    pub(super) fn show(&self, tuner: &Tuner, enabled: bool) {
        for (knob, value) in tuner.knobs() {
            if let Some(gauge) = self.values.get(&knob.name) {
                gauge.set(value);
            }
        }
        self.running.set(tuner.trials().len() as f64);
        self.emergency.set(f64::from(u8::from(tuner.is_emergency())));
        self.enabled.set(f64::from(u8::from(enabled)));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidemill_autotune::{Config, Knob};

    use super::*;

    #[test]
    fn what_was_decided_is_counted_once_and_shown_as_it_stands() {
        let config: Config = toml::from_str(
            "builtin = false\n[[rule]]\nname = \"more\"\nwhen = \"load > 1\"\ndo = [\"workers + 2\"]\n\
             [[guard]]\nsignal = \"refused\"\nabove = 0.0\nsteps = 1\n",
        )
        .unwrap();
        let mut tuner =
            Tuner::builder(config).knob(Knob::new("workers", 1.0, 16.0).step(1.0), 4.0).build().unwrap();
        let registry = Registry::default();
        let counts = Counts::new(&registry, &tuner).unwrap();
        let mut step = |second: u64, signals: &[(&str, f64)]| {
            let now = Duration::from_secs(second);
            signals.iter().for_each(|(signal, value)| tuner.read(now, signal, *value));
            tuner.step(now);
            counts.count(&tuner.take_records());
            counts.show(&tuner, true);
        };
        step(1, &[("load", 2.0), ("refused", 0.0)]);
        let says = |lines: &[&str]| {
            let text = registry.to_text();
            for line in lines {
                assert!(text.contains(&format!("{line}\n")), "{line} is missing:\n{text}");
            }
        };
        says(&[
            "knob_value{knob=\"workers\"} 6",
            "tuning_changes_total{by=\"rule\"} 1",
            "tuning_undone_total 0",
        ]);
        step(2, &[("load", 0.0), ("refused", 3.0)]);
        says(&[
            "knob_value{knob=\"workers\"} 4",
            "tuning_changes_total{by=\"rule\"} 1",
            "tuning_undone_total 1",
        ]);
        let now = Duration::from_secs(3);
        tuner.set(now, "workers", 8.0).unwrap();
        counts.count(&tuner.take_records());
        counts.show(&tuner, false);
        says(&[
            "knob_value{knob=\"workers\"} 8",
            "tuning_changes_total{by=\"person\"} 1",
            "tuning_trials_total{outcome=\"kept\"} 0",
            "tuning_trials_running 0",
            "tuning_enabled 0",
            "tuning_emergency 0",
        ]);
    }
}
