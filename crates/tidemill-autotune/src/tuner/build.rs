//! Puts a tuner together from config, rules and knobs, and checks them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Set, Tuner, Watched};
use crate::builtin::builtin_rules;
use crate::config::Config;
use crate::controller::Control;
use crate::emergency::Emergency;
use crate::error::Error;
use crate::knob::Knob;
use crate::random::Random;
use crate::rule::Rule;
use crate::signal::Signals;
use crate::stats::Stats;

/// A knob, its value, and the controller that turns it.
type New = (Knob, f64, Option<Box<dyn Control>>);

/// Puts a tuner together.
#[derive(Debug)]
pub struct Builder {
    pub(super) config: Config,
    pub(super) knobs: Vec<New>,
    pub(super) able: Option<BTreeSet<String>>,
}

impl Builder {
    /// A knob and what it is now.
    #[must_use]
    pub fn knob(mut self, knob: Knob, value: f64) -> Self {
        self.knobs.push((knob, value, None));
        self
    }

    /// A knob that a controller turns at every step, instead of rules.
    #[must_use]
    pub fn controlled(mut self, knob: Knob, value: f64, control: impl Control + 'static) -> Self {
        self.knobs.push((knob, value, Some(Box::new(control))));
        self
    }

    /// The actions the program has; `run` of another one does nothing and is not recorded. Not called: all are asked for.
    #[must_use]
    pub fn actions(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.able = Some(names.into_iter().collect());
        self
    }

    /// Checks everything and builds.
    ///
    /// # Errors
    /// `Config`, with the field, rule or knob.
    pub fn build(self) -> Result<Tuner, Error> {
        let Self { config, knobs, able } = self;
        config.validate()?;
        let mut rules: Vec<Rule> = if config.builtin { builtin_rules()? } else { Vec::new() };
        let known: Vec<&str> = rules.iter().chain(&config.rule).map(|rule| rule.name.as_str()).collect();
        if let Some(off) = config.off.iter().find(|off| !known.contains(&off.as_str())) {
            return Err(Error::unknown("rule", off, &known));
        }
        for rule in &config.rule {
            rules.retain(|builtin| builtin.name != rule.name);
            rules.push(rule.clone());
        }
        rules.retain(|rule| rule.enabled && !config.off.contains(&rule.name));
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
        if let Some(pair) = config
            .rule
            .iter()
            .enumerate()
            .find(|(at, rule)| config.rule[..*at].iter().any(|other| other.name == rule.name))
        {
            return Err(Error::config(format!("rule {:?}", pair.1.name), "there are two of this name"));
        }
        let mut set = BTreeMap::new();
        for (knob, value, control) in knobs {
            knob.validate()?;
            let (name, value) = (knob.name.clone(), knob.clamp(value));
            if set.len() >= config.max_knobs {
                return Err(Error::config(
                    "config field `max_knobs`",
                    format!("more than {}", config.max_knobs),
                ));
            }
            if set.insert(name.clone(), Set { knob, value, control }).is_some() {
                return Err(Error::config(format!("knob {name:?}"), "there are two of this name"));
            }
        }
        let rules = rules.into_iter().map(|rule| Watched { rule, streak: 0, barred_until: None }).collect();
        Ok(Tuner {
            signals: Signals::new(config.max_signals, config.max_readings),
            random: Random::new(config.seed),
            emergency: Emergency::new(config.bad_steps, config.good_steps),
            config,
            knobs: set,
            able,
            rules,
            trials: Vec::new(),
            held: Vec::new(),
            spent: VecDeque::new(),
            records: VecDeque::new(),
            seq: 0,
            trial_seq: 0,
            actions: Vec::new(),
            stats: Stats::default(),
        })
    }
}
