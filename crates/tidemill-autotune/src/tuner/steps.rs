//! What one step does, in its order: guards, emergency, trials, the way back, controllers, rules.

use std::time::Duration;

use super::Tuner;
use crate::decision::{Decision, Outcome, Turn};
use crate::emergency::Mood;
use crate::held::{Held, Watch};
use crate::rule::Rule;
use crate::trial::Next;
use crate::tuner::Action;

impl Tuner {
    pub(super) fn guard(&mut self, now: Duration) {
        let (signals, fresh) = (&self.signals, self.config.interval);
        let mut trials = self.trials.iter_mut().enumerate();
        let harm =
            trials.find_map(|(at, trial)| Some((at, Watch::harm(&mut trial.watches, signals, now, fresh)?)));
        if let Some((at, why)) = harm {
            self.end_trial(now, at, Outcome::Undone, why);
        }
        let (signals, probation) = (&self.signals, self.config.probation_steps);
        let on_probation = self.held.iter_mut().enumerate().rev().filter(|(_, held)| held.age < probation);
        let mut seen =
            on_probation.map(|(at, held)| (at, Watch::harm(&mut held.watches, signals, now, fresh)));
        let harm = seen.find_map(|(at, why)| Some((at, why?)));
        if let Some((at, why)) = harm {
            // The newest first, one a step: what came before it may be innocent.
            let held = self.held.remove(at);
            let turns = self.turn_back(&held.turns);
            self.bar(&held.rule, now);
            self.stats.undone += 1;
            self.record(now, Decision::Undone { rule: held.rule, turns, why });
        }
    }

    pub(super) fn mood(&mut self, now: Duration) {
        let Some(bad) = &self.config.bad else { return };
        let is_bad = bad.holds(&self.signals, now, self.config.fresh);
        let is_good = match &self.config.good {
            Some(good) => good.holds(&self.signals, now, self.config.fresh),
            None => !is_bad,
        };
        let evidence = bad.evidence(&self.signals);
        match self.emergency.step(is_bad, is_good) {
            Mood::Calm => {}
            Mood::Begin => {
                self.record(now, Decision::EmergencyBegan { evidence: evidence.clone() });
                self.stats.emergencies += 1;
                self.abort_trials(now, "an emergency began");
                self.take_every_safe_measure(now, &evidence);
            }
            Mood::Again => self.take_every_safe_measure(now, &evidence),
            Mood::Ease => match self.held.iter().rposition(|held| held.emergency) {
                Some(at) => {
                    let held = self.held.remove(at);
                    let turns = self.turn_back(&held.turns);
                    self.record(now, Decision::Restored { rule: held.rule, turns, evidence });
                }
                None => {
                    self.emergency.end();
                    self.record(now, Decision::EmergencyEnded);
                }
            },
        }
    }

    pub(super) fn take_every_safe_measure(&mut self, now: Duration, evidence: &str) {
        let measures: Vec<Rule> = self
            .rules
            .iter()
            .map(|watched| &watched.rule)
            .filter(|rule| {
                rule.emergency && !self.held.iter().any(|held| held.emergency && held.rule == rule.name)
            })
            .cloned()
            .collect();
        for rule in measures {
            self.apply_outright(now, &rule, evidence, true);
        }
    }

    pub(super) fn advance_trials(&mut self, now: Duration) {
        let mut at = 0;
        while at < self.trials.len() {
            let trial = &mut self.trials[at];
            let signal = self.signals.get(&trial.objective.signal).and_then(|series| series.latest());
            let fresh = signal.filter(|reading| now.saturating_sub(reading.at) < self.config.interval);
            let next = trial.step(fresh.map(|reading| reading.value), &mut self.random);
            if let Next::End(outcome, why) = next {
                self.end_trial(now, at, outcome, why.to_owned());
            } else {
                self.follow(at, next);
                at += 1;
            }
        }
    }

    pub(super) fn follow(&mut self, at: usize, next: Next) {
        let turns = self.trials[at].turns.clone();
        match next {
            Next::Stay | Next::End(..) => {}
            Next::Switch { new } => {
                for turn in &turns {
                    self.set_value(&turn.knob, if new { turn.to } else { turn.from });
                }
            }
            Next::Assign(split) => {
                for Turn { knob, from, to } in turns {
                    self.actions.push(Action::Split { knob, old: from, new: to, split });
                }
            }
        }
    }

    pub(super) fn end_trial(&mut self, now: Duration, at: usize, outcome: Outcome, why: String) {
        let trial = self.trials.remove(at);
        for turn in &trial.turns {
            let value = if outcome == Outcome::Kept { turn.to } else { turn.from };
            // Said even where the value is what it was: a split has to end.
            self.actions.push(Action::Set { knob: turn.knob.clone(), value });
            if let Some(set) = self.knobs.get_mut(&turn.knob) {
                set.value = value;
            }
        }
        self.bar(&trial.rule, now);
        self.stats.trials += 1;
        match outcome {
            Outcome::Kept => self.stats.kept += 1,
            Outcome::Undone => self.stats.undone += 1,
            Outcome::Inconclusive => self.stats.inconclusive += 1,
            Outcome::Aborted => self.stats.aborted += 1,
        }
        let effect = trial.effect();
        let (trial, rule, turns) = (trial.id, trial.rule, trial.turns);
        self.record(now, Decision::TrialEnded { trial, rule, outcome, turns, effect, why });
    }

    pub(super) fn abort_trials(&mut self, now: Duration, why: &str) {
        while !self.trials.is_empty() {
            self.end_trial(now, 0, Outcome::Aborted, why.to_owned());
        }
    }

    /// Ends probations, and takes back the newest of what each rule's `restore` no longer wants.
    pub(super) fn restore_what_is_over(&mut self, now: Duration) {
        let mut due = None;
        let mut at = 0;
        while at < self.held.len() {
            let rule = self.rules.iter().find(|watched| watched.rule.name == self.held[at].rule);
            let restore = rule.and_then(|watched| watched.rule.restore.as_ref());
            let newest = !self.held[at + 1..].iter().any(|later| later.rule == self.held[at].rule);
            let held = &mut self.held[at];
            held.age += 1;
            if let Some(restore) = restore.filter(|_| newest) {
                let holds = restore.holds(&self.signals, now, self.config.fresh);
                held.restore_streak = if holds { held.restore_streak + 1 } else { 0 };
                if held.restore_streak >= restore.steps() && !held.emergency {
                    due = Some((at, restore.evidence(&self.signals)));
                }
            }
            let over = held.age >= self.config.probation_steps && restore.is_none() && !held.emergency;
            if over {
                self.held.remove(at);
            } else {
                at += 1;
            }
            if due.is_some() {
                break;
            }
        }
        if let Some((at, evidence)) = due {
            let held = self.held.remove(at);
            let turns = self.turn_back(&held.turns);
            self.stats.restored += 1;
            self.record(now, Decision::Restored { rule: held.rule, turns, evidence });
        }
    }

    pub(super) fn run_controllers(&mut self, now: Duration) {
        let mut turns: Vec<(String, String, Turn)> = Vec::new();
        for (name, set) in &mut self.knobs {
            let Some(control) = &mut set.control else { continue };
            let Some(wanted) = control.step(now, &self.signals, set.value) else { continue };
            let to = set.knob.clamp(wanted);
            if to != set.value && !self.emergency.is_on() {
                let turn = Turn { knob: name.clone(), from: set.value, to };
                turns.push((control.name().to_owned(), control.evidence(), turn));
            }
        }
        for (by, evidence, turn) in turns {
            self.turn(std::slice::from_ref(&turn));
            self.record(now, Decision::Changed { by, turns: vec![turn], evidence });
        }
    }

    pub(super) fn apply_rules(&mut self, now: Duration) {
        for at in 0..self.rules.len() {
            let watched = &mut self.rules[at];
            let holds = watched.rule.when.holds(&self.signals, now, self.config.fresh);
            watched.streak = if holds { watched.streak.saturating_add(1) } else { 0 };
            let barred = watched.barred_until.is_some_and(|until| now < until);
            if watched.streak < watched.rule.when.steps() || barred || self.emergency.is_on() {
                continue;
            }
            let rule = watched.rule.clone();
            if self.is_excluded(&rule) {
                continue;
            }
            let evidence = rule.when.evidence(&self.signals);
            let acted = match &rule.objective {
                Some(_) => self.begin_trial(now, &rule, evidence),
                None => self.apply_outright(now, &rule, &evidence, false),
            };
            if acted {
                self.rules[at].streak = 0;
                self.bar(&rule.name, now);
            }
        }
    }

    /// Whether something of its group, or one of its knobs, is under trial or on probation.
    pub(super) fn is_excluded(&self, rule: &Rule) -> bool {
        let group_of = |name: &str| {
            self.rules
                .iter()
                .find(|watched| watched.rule.name == name)
                .and_then(|watched| watched.rule.group.as_ref())
        };
        let same_group =
            |name: &str| name != rule.name && rule.group.is_some() && group_of(name) == rule.group.as_ref();
        let on_trial = self.trials.iter().any(|trial| {
            same_group(&trial.rule)
                || Some(&trial.objective) == rule.objective.as_ref()
                || trial.turns.iter().any(|turn| rule.adjust.iter().any(|adjust| adjust.is_about(&turn.knob)))
        });
        let watched = |held: &Held| held.age < self.config.probation_steps && same_group(&held.rule);
        on_trial || self.held.iter().any(watched)
    }
}
