//! The benchmark row of ADR 0006: one result against one rival, as a line of JSON.

use std::io::Write as _;

use serde::{Deserialize, Serialize};

use crate::samples::Samples;

/// What kind of thing a unit counts, which says how far to trust it on a shared machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnitKind {
    /// CPU time or something divided by it: holds on a loaded machine.
    Cpu,
    /// Wall time or something divided by it: holds on an idle machine only.
    Wall,
    /// A count or a size: the same everywhere.
    Count,
}

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Costs.
    Lower,
    /// Rates and shares.
    Higher,
}

/// One result. A benchmark of ours fills `ours`, a rival's binary `theirs`; `cargo xtask bench` joins the two by
/// (area, case, rival) and fills `commit` and `machine`.
///
/// With a rival other than `"none"` the goal bounds `ratio = ours / theirs`; without one it bounds `ours`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// A crate's short name: `rate-limit`.
    pub area: String,
    /// What was done, in a few words.
    pub case: String,
    /// Whom it is compared with, or `"none"`.
    pub rival: String,
    /// The unit of `ours` and `theirs`.
    pub unit: String,
    /// What the unit counts.
    pub unit_kind: UnitKind,
    /// Our median.
    pub ours: Option<f64>,
    /// The rival's median.
    pub theirs: Option<f64>,
    /// `ours / theirs`.
    pub ratio: Option<f64>,
    /// The bound to keep, see above.
    pub goal: Option<f64>,
    /// Which way is good, for the values and so for the ratio.
    pub better: Better,
    /// Whether the goal is kept; `None` where there is none or a side is missing.
    pub met: Option<bool>,
    /// How many rounds stand behind the medians.
    pub rounds: u64,
    /// The wider of both sides' quartile distance over its median.
    pub spread: Option<f64>,
    /// The commit that was measured.
    #[serde(default)]
    pub commit: String,
    /// The machine that measured.
    #[serde(default)]
    pub machine: String,
}

impl Row {
    /// A row without numbers yet, against no rival.
    pub fn new(area: &str, case: &str, unit: &str, unit_kind: UnitKind, better: Better) -> Self {
        Self {
            area: area.to_owned(),
            case: case.to_owned(),
            rival: "none".to_owned(),
            unit: unit.to_owned(),
            unit_kind,
            ours: None,
            theirs: None,
            ratio: None,
            goal: None,
            better,
            met: None,
            rounds: 0,
            spread: None,
            commit: String::new(),
            machine: String::new(),
        }
    }

    /// Names the rival.
    #[must_use]
    pub fn rival(mut self, name: &str) -> Self {
        name.clone_into(&mut self.rival);
        self.judged()
    }

    /// Our side: median, rounds and spread of the samples.
    #[must_use]
    pub fn ours(mut self, samples: &Samples) -> Self {
        self.ours = samples.median();
        self.with_noise_of(samples).judged()
    }

    /// The rival's side.
    #[must_use]
    pub fn theirs(mut self, samples: &Samples) -> Self {
        self.theirs = samples.median();
        self.with_noise_of(samples).judged()
    }

    /// The bound to keep: on `ratio` against a rival, on `ours` without one.
    #[must_use]
    pub fn goal(mut self, bound: f64) -> Self {
        self.goal = Some(bound);
        self.judged()
    }

    /// Prints the row as one line of JSON on stdout.
    ///
    /// # Errors
    /// When stdout is closed.
    pub fn emit(&self) -> std::io::Result<()> {
        let line = serde_json::to_string(self)?;
        writeln!(std::io::stdout().lock(), "{line}")
    }

    fn with_noise_of(mut self, samples: &Samples) -> Self {
        self.rounds = self.rounds.max(samples.len() as u64);
        self.spread = match (self.spread, samples.spread()) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        self
    }

    fn judged(mut self) -> Self {
        self.ratio = match (self.ours, self.theirs) {
            (Some(ours), Some(theirs)) if theirs != 0.0 => Some(ours / theirs),
            _ => None,
        };
        let measured = if self.rival == "none" { self.ours } else { self.ratio };
        self.met = match (measured, self.goal) {
            (Some(value), Some(goal)) => Some(match self.better {
                Better::Lower => value <= goal,
                Better::Higher => value >= goal,
            }),
            _ => None,
        };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(value: f64) -> Samples {
        [value, value, value].into_iter().collect()
    }

    #[test]
    fn a_goal_against_a_rival_bounds_the_ratio() {
        let row = Row::new("cache", "hit", "ns", UnitKind::Cpu, Better::Lower).rival("moka").goal(0.5);
        let row = row.ours(&samples(40.0)).theirs(&samples(100.0));
        assert_eq!((row.ratio, row.met), (Some(0.4), Some(true)));
        assert_eq!(row.theirs(&samples(50.0)).met, Some(false));
    }

    #[test]
    fn a_goal_without_a_rival_bounds_our_value() {
        let row = Row::new("cache", "hits a second", "1/s", UnitKind::Wall, Better::Higher).goal(1e6);
        assert_eq!(row.clone().met, None, "nothing measured, nothing met");
        assert_eq!(row.clone().ours(&samples(2e6)).met, Some(true));
        assert_eq!(row.ours(&samples(9e5)).met, Some(false));
    }

    #[test]
    fn the_line_has_the_fields_of_adr_0006() {
        let row = Row::new("a", "c", "ns", UnitKind::Cpu, Better::Lower).ours(&samples(1.0));
        let json = serde_json::to_value(&row).unwrap();
        let mut fields: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        fields.sort();
        let expected =
            "area better case commit goal machine met ours ratio rival rounds spread theirs unit unit_kind";
        assert_eq!(fields.join(" "), expected);
        assert_eq!(json["unit_kind"], "cpu");
        assert_eq!(json["better"], "lower");
    }
}
