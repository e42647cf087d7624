//! The suite's figures, their grades, and how they stand to an earlier run.

use serde::{Deserialize, Serialize};

/// How good a figure is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// As good as the guide asks for at best.
    Excellent,
    /// Good enough.
    Good,
    /// Below what the guide asks for.
    Poor,
}

/// One figure.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Figure {
    /// Within its part.
    pub name: String,
    /// The value.
    pub value: f64,
    /// Of the value.
    pub unit: String,
    /// Whether more is worse.
    pub lower_is_better: bool,
    /// How good it is; `None` where nobody has said what is good.
    pub grade: Option<Grade>,
    /// What is asked for, in words.
    pub goal: Option<String>,
    /// The value of an earlier run.
    pub earlier: Option<f64>,
}

/// Figures that belong together.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Part {
    /// Such as `api`.
    pub name: String,
    /// What was done.
    pub what: String,
    /// Its figures.
    pub figures: Vec<Figure>,
}

/// A whole run of the suite.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Suite {
    /// Its parts.
    pub parts: Vec<Part>,
    /// A change up to this is not spoken of: 0.1 = 10 %.
    pub noticeable: f64,
    /// Whether a signal ended it early.
    pub interrupted: bool,
}

impl Grade {
    /// As the report says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Excellent => "excellent",
            Self::Good => "good",
            Self::Poor => "needs work",
        }
    }
}

impl Figure {
    /// A cost.
    #[must_use]
    pub fn cost(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self { name: name.into(), value, unit: unit.to_owned(), lower_is_better: true, ..Self::default() }
    }

    /// A rate.
    #[must_use]
    pub fn rate(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self { lower_is_better: false, ..Self::cost(name, value, unit) }
    }

    /// Graded by two bounds, the better one first.
    #[must_use]
    pub fn graded(mut self, excellent: f64, good: f64) -> Self {
        let reaches = |bound: f64| if self.lower_is_better { self.value < bound } else { self.value > bound };
        self.grade = Some(match (reaches(excellent), reaches(good)) {
            (true, _) => Grade::Excellent,
            (_, true) => Grade::Good,
            _ => Grade::Poor,
        });
        let sign = if self.lower_is_better { '<' } else { '>' };
        let show = super::super::report::number;
        self.goal = Some(if excellent == good {
            format!("{sign} {} {}", show(excellent), self.unit)
        } else {
            format!("{sign} {} ({sign} {}) {}", show(excellent), show(good), self.unit)
        });
        self
    }

    /// This value over the earlier one, less one.
    #[must_use]
    pub fn change(&self) -> Option<f64> {
        self.earlier.filter(|earlier| *earlier != 0.0).map(|earlier| self.value / earlier - 1.0)
    }
}

impl Suite {
    /// Puts the values of an earlier run beside these.
    pub fn beside(&mut self, earlier: &Self) {
        for part in &mut self.parts {
            let Some(before) = earlier.parts.iter().find(|before| before.name == part.name) else { continue };
            for figure in &mut part.figures {
                let same = before
                    .figures
                    .iter()
                    .find(|before| before.name == figure.name && before.unit == figure.unit);
                figure.earlier = same.map(|before| before.value);
            }
        }
    }

    /// The graded figures that are noticeably worse than in the earlier run, as `part.figure`.
    #[must_use]
    pub fn slower(&self) -> Vec<String> {
        let figures =
            self.parts.iter().flat_map(|part| part.figures.iter().map(move |figure| (part, figure)));
        let worse = figures.filter(|(_, figure)| {
            let change = figure.change().unwrap_or(0.0);
            change.abs() > self.noticeable
                && (change > 0.0) == figure.lower_is_better
                && figure.grade.is_some()
        });
        worse.map(|(part, figure)| format!("{}.{}", part.name, figure.name)).collect()
    }

    /// Whether a figure is below what is asked for.
    #[must_use]
    pub fn needs_work(&self) -> bool {
        self.parts.iter().flat_map(|part| &part.figures).any(|figure| figure.grade == Some(Grade::Poor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_have_the_guides_edges() {
        let grade = |value: f64| Figure::cost("api", value, "s").graded(3.0, 5.0).grade.unwrap();
        assert_eq!(
            [2.9, 3.0, 4.9, 5.0].map(grade),
            [Grade::Excellent, Grade::Good, Grade::Good, Grade::Poor]
        );
        assert_eq!(Figure::rate("mb", 200.0, "MB/s").graded(100.0, 50.0).grade, Some(Grade::Excellent));
    }

    #[test]
    fn an_earlier_run_stands_beside_by_name_and_unit() {
        let suite = |value: f64, unit: &str| Suite {
            parts: vec![Part {
                name: "api".into(),
                figures: vec![Figure::cost("mean", value, unit).graded(10.0, 20.0)],
                ..Part::default()
            }],
            noticeable: 0.1,
            ..Suite::default()
        };
        let mut now = suite(12.0, "ms");
        now.beside(&suite(10.0, "ms"));
        assert_eq!(now.slower(), ["api.mean"]);
        let mut near = suite(10.5, "ms");
        near.beside(&suite(10.0, "ms"));
        assert!(near.slower().is_empty());
        let mut other = suite(12.0, "ms");
        other.beside(&suite(10.0, "s"));
        assert_eq!(other.parts[0].figures[0].earlier, None);
    }
}
