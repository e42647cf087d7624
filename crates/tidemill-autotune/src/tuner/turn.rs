//! How values change: outright and watched, by a trial, and back.

use std::time::Duration;

use super::Tuner;
use crate::decision::{Decision, Record, Turn};
use crate::held::{Held, Watch};
use crate::knob::{Cost, TrialBy};
use crate::rule::Rule;
use crate::trial::{Plan, Trial};
use crate::tuner::Action;

const DAY: Duration = Duration::from_secs(86_400);

impl Tuner {
    pub(super) fn turns_of(&self, rule: &Rule) -> Vec<Turn> {
        let mut turns: Vec<Turn> = Vec::new();
        for adjust in &rule.adjust {
            for (name, set) in &self.knobs {
                if !adjust.is_about(name) || set.control.is_some() || self.trial_of(name).is_some() {
                    continue;
                }
                let to = set.knob.towards(set.value, adjust.apply(set.value));
                if to != set.value && !turns.iter().any(|turn| turn.knob == *name) {
                    turns.push(Turn { knob: name.clone(), from: set.value, to });
                }
            }
        }
        turns
    }

    pub(super) fn apply_outright(
        &mut self,
        now: Duration,
        rule: &Rule,
        evidence: &str,
        emergency: bool,
    ) -> bool {
        let turns = self.turns_of(rule);
        let mut acted = false;
        if !turns.is_empty() {
            let watches = self.watches(now);
            self.turn(&turns);
            self.held.push(Held::new(&rule.name, turns.clone(), watches, emergency));
            self.record(
                now,
                Decision::Changed { by: rule.name.clone(), turns, evidence: evidence.to_owned() },
            );
            self.stats.changes += 1;
            acted = true;
        }
        for action in rule.adjust.iter().filter_map(|adjust| adjust.action()) {
            if self.able.as_ref().is_some_and(|able| !able.contains(action)) {
                continue;
            }
            self.actions.push(Action::Run(action.to_owned()));
            let (by, evidence) = (rule.name.clone(), evidence.to_owned());
            self.record(now, Decision::Ran { by, action: action.to_owned(), evidence });
            acted = true;
        }
        acted
    }

    pub(super) fn begin_trial(&mut self, now: Duration, rule: &Rule, evidence: String) -> bool {
        let Some(objective) = rule.objective.clone() else { return false };
        let turns = self.turns_of(rule);
        if turns.is_empty() {
            return false;
        }
        let knobs = turns.iter().filter_map(|turn| self.knobs.get(&turn.knob)).map(|set| &set.knob);
        let kinds: Vec<(TrialBy, Cost)> = knobs.map(|knob| (knob.trial, knob.cost)).collect();
        let split = kinds.iter().all(|(by, _)| *by == TrialBy::Split);
        let by = if split { TrialBy::Split } else { TrialBy::Switchback };
        if kinds.iter().any(|(by, cost)| *by == TrialBy::Never || !split && *cost == Cost::Dear) {
            return self.apply_outright(now, rule, &evidence, false);
        }
        if !self.within_budget(now) {
            self.record(now, Decision::OverBudget { rule: rule.name.clone() });
            return true;
        }
        let felt = kinds.iter().any(|(_, cost)| *cost != Cost::Free);
        let memory = self.signals.get(&objective.signal).map_or(1.0, |series| series.correlation());
        self.trial_seq += 1;
        let id = self.trial_seq;
        let began = Decision::TrialBegan {
            trial: id,
            rule: rule.name.clone(),
            objective: objective.to_string(),
            by,
            turns: turns.clone(),
            evidence,
        };
        let plan = Plan {
            id,
            rule: rule.name.clone(),
            objective,
            turns,
            by,
            felt,
            memory,
            watches: self.watches(now),
        };
        let trial = Trial::new(plan, now, &self.config, &mut self.random);
        let first = trial.begin();
        self.trials.push(trial);
        self.record(now, began);
        self.follow(self.trials.len() - 1, first);
        true
    }

    pub(super) fn watches(&self, now: Duration) -> Vec<Watch> {
        self.config.guard.iter().map(|guard| Watch::begin(guard, &self.signals, now)).collect()
    }

    pub(super) fn within_budget(&mut self, now: Duration) -> bool {
        while self.spent.front().is_some_and(|(at, _)| now.saturating_sub(*at) >= DAY) {
            self.spent.pop_front();
        }
        let spent: f64 = self.spent.iter().map(|(_, alpha)| alpha).sum();
        let within = spent + self.config.alpha <= self.config.false_changes_a_day + 1e-9;
        if within {
            self.spent.push_back((now, self.config.alpha));
        }
        within
    }

    pub(super) fn trial_of(&self, knob: &str) -> Option<&Trial> {
        self.trials.iter().find(|trial| trial.turns.iter().any(|turn| turn.knob == knob))
    }

    pub(super) fn bar(&mut self, rule: &str, now: Duration) {
        if let Some(watched) = self.rules.iter_mut().find(|watched| watched.rule.name == rule) {
            watched.barred_until = Some(now + watched.rule.cooldown);
        }
    }

    pub(super) fn turn(&mut self, turns: &[Turn]) {
        for turn in turns {
            self.set_value(&turn.knob, turn.to);
        }
    }

    /// Takes changes back where nobody changed the value since; says which.
    pub(super) fn turn_back(&mut self, turns: &[Turn]) -> Vec<Turn> {
        let back: Vec<Turn> = turns
            .iter()
            .rev()
            .filter(|turn| self.value(&turn.knob) == Some(turn.to) && self.trial_of(&turn.knob).is_none())
            .map(|turn| Turn { knob: turn.knob.clone(), from: turn.to, to: turn.from })
            .collect();
        self.turn(&back);
        back
    }

    pub(super) fn set_value(&mut self, knob: &str, value: f64) {
        if let Some(set) = self.knobs.get_mut(knob).filter(|set| set.value != value) {
            set.value = value;
            self.actions.push(Action::Set { knob: knob.to_owned(), value });
        }
    }

    pub(super) fn record(&mut self, at: Duration, decision: Decision) {
        self.seq += 1;
        if self.records.len() == self.config.max_records {
            self.records.pop_front();
            self.stats.dropped_records += 1;
        }
        self.records.push_back(Record { seq: self.seq, at, decision });
    }
}
