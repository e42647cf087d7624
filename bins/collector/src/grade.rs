//! Grades a run against the targets of the performance guide (SPEC C10).

use serde::Serialize;

/// How good a figure is; `Missed` is worse than the minimum.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Worse than the minimum.
    Missed,
    /// The minimum.
    Minimum,
    /// What the guide recommends.
    Recommended,
    /// The guide's best.
    Optimal,
}

impl Grade {
    /// The grade as the guide names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::Minimum => "minimum",
            Self::Recommended => "recommended",
            Self::Optimal => "optimal",
        }
    }
}

/// One graded figure.
#[derive(Clone, Debug, Serialize)]
pub struct Graded {
    /// What was measured, with its unit.
    pub what: &'static str,
    /// The figure; `None` where this system cannot tell.
    pub value: Option<f64>,
    /// `None` where there is no figure.
    pub grade: Option<Grade>,
    /// The three targets: minimum, recommended, optimal.
    pub targets: [f64; 3],
}

/// The figures a run is graded by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Symbols answered a minute.
    pub symbols_per_minute: Option<f64>,
    /// Mean time from request to answer, seconds.
    pub response_s: Option<f64>,
    /// Share of symbols answered, percent.
    pub success_percent: Option<f64>,
    /// Mean processor use of the machine, percent.
    pub cpu_percent: Option<f64>,
    /// Mean memory use of the machine, percent.
    pub memory_percent: Option<f64>,
    /// Mean share of time a disk was waited for, percent.
    pub disk_wait_percent: Option<f64>,
}

/// Grades every figure, in the guide's order.
pub fn grade(figures: &Figures) -> Vec<Graded> {
    let at_least = |what, value: Option<f64>, targets: [f64; 3]| Graded {
        what,
        value,
        grade: value.map(|v| level(targets.map(|t| v >= t))),
        targets,
    };
    let below = |what, value: Option<f64>, targets: [f64; 3]| Graded {
        what,
        value,
        grade: value.map(|v| level(targets.map(|t| v < t))),
        targets,
    };
    vec![
        at_least("throughput, symbols/min", figures.symbols_per_minute, [40.0, 60.0, 80.0]),
        below("response, s", figures.response_s, [10.0, 5.0, 3.0]),
        at_least("success, %", figures.success_percent, [85.0, 95.0, 98.0]),
        below("processor, %", figures.cpu_percent, [90.0, 70.0, 60.0]),
        below("memory, %", figures.memory_percent, [90.0, 70.0, 60.0]),
        below("disk wait, %", figures.disk_wait_percent, [20.0, 10.0, 5.0]),
    ]
}

fn level(reached: [bool; 3]) -> Grade {
    match reached {
        [_, _, true] => Grade::Optimal,
        [_, true, _] => Grade::Recommended,
        [true, ..] => Grade::Minimum,
        _ => Grade::Missed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guides_edges() {
        let at = |symbols, response| {
            let graded = grade(&Figures {
                symbols_per_minute: Some(symbols),
                response_s: Some(response),
                ..Figures::default()
            });
            (graded[0].grade, graded[1].grade)
        };
        assert_eq!(at(39.9, 10.0), (Some(Grade::Missed), Some(Grade::Missed)));
        assert_eq!(at(40.0, 9.9), (Some(Grade::Minimum), Some(Grade::Minimum)));
        assert_eq!(at(60.0, 4.9), (Some(Grade::Recommended), Some(Grade::Recommended)));
        assert_eq!(at(80.0, 2.9), (Some(Grade::Optimal), Some(Grade::Optimal)));
    }

    #[test]
    fn what_cannot_be_told_is_not_graded() {
        assert!(grade(&Figures::default()).iter().all(|g| g.grade.is_none() && g.value.is_none()));
    }
}
