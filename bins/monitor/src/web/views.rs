//! `GET /api/views`: what the page charts, from the configuration over good defaults.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::config::{Config, Fault, fault};
use crate::watch::Business;

const DEFAULTS: &str = include_str!("../../assets/views.toml");

/// A view of charts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct View {
    /// Part of its address: `system`.
    pub id: String,
    /// Its name on the page.
    pub title: String,
    /// In order.
    pub charts: Vec<Chart>,
}

/// One chart.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chart {
    /// Unique within its view.
    pub id: String,
    /// Its name on the page.
    pub title: String,
    /// What it shows, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Name of the tile with its newest value above the charts; default no tile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tile: Option<String>,
    /// `percent`, `bytes`, `bytes/s`, `s`, `ms`, `count`, `bool` or any word; default `count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The axis never ends above; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// What it is made of.
    pub lines: Vec<Line>,
    /// Lines across it.
    pub thresholds: Vec<Limit>,
}

/// The curves of one metric.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Line {
    /// Its name in the legend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name of the metric; a counter is shown as a rate per second.
    pub metric: String,
    /// Only of this target, or with a `!` before it of all others; default of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Only series with these labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Words>,
    /// No series with one of these labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub not: BTreeMap<String, Words>,
    /// A curve for each value of these labels, the rest joined; default a curve for each series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Vec<String>>,
    /// How: `sum` (default), `max` or `mean`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<String>,
    /// Divided by this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over: Option<Over>,
    /// What is left to 1, before it is scaled.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rest: bool,
    /// Multiplied by this; default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
}

/// What a line is divided by: joined by the line's own labels.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Over {
    /// Name of the metric, or of several that are added.
    pub metric: Words,
    /// Only series with these labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Words>,
    /// No series with one of these labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub not: BTreeMap<String, Words>,
}

/// One value of a label, or several.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Words {
    /// This one.
    One(String),
    /// Any of these.
    Many(Vec<String>),
}

impl Line {
    /// Every metric it is made of.
    pub(super) fn metrics(&self) -> impl Iterator<Item = &str> {
        let over = self.over.iter().flat_map(|over| match &over.metric {
            Words::One(name) => std::slice::from_ref(name),
            Words::Many(names) => names,
        });
        std::iter::once(&self.metric).chain(over).map(String::as_str)
    }
}

impl Default for Words {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// A line across a chart.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Where it lies.
    pub value: f64,
    /// What a value beyond it means.
    pub severity: Severity,
    /// Values below it are the bad ones; default those above.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub below: bool,
}

/// How bad a value beyond a limit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Look at it.
    Warning,
    /// Now.
    Critical,
}

#[derive(Debug, Deserialize)]
struct Defaults {
    views: Vec<View>,
}

/// The built-in views.
///
/// # Panics
/// Never: the file is in the program and parsed by a test.
#[must_use]
pub fn defaults() -> Vec<View> {
    toml::from_str::<Defaults>(DEFAULTS)
        .map_or_else(|error| panic!("assets/views.toml: {error}"), |file| file.views)
}

/// What the page shows: the built-in views with the thresholds of the configuration, its business metrics, its views.
#[must_use]
pub fn views(config: &Config) -> Vec<View> {
    let mut views = defaults();
    let limits = [
        ("memory", config.monitor.memory_threshold),
        ("cpu", config.monitor.cpu_threshold),
        ("response", config.monitor.response_threshold / 1000.0),
        ("quantiles", config.monitor.response_threshold / 1000.0),
    ];
    for chart in views.iter_mut().flat_map(|view| &mut view.charts) {
        let Some((_, value)) = limits.iter().find(|(id, _)| *id == chart.id) else { continue };
        let warnings = chart.thresholds.iter_mut().filter(|limit| limit.severity == Severity::Warning);
        warnings.for_each(|limit| limit.value = *value);
    }
    if let Some(view) = views.iter_mut().find(|view| view.id == "business") {
        view.charts.extend(config.business.iter().map(business));
    }
    for own in &config.web.views {
        match views.iter_mut().find(|view| view.id == own.id) {
            Some(view) => view.clone_from(own),
            None => views.push(own.clone()),
        }
    }
    views
}

fn business(metric: &Business) -> Chart {
    let title = if metric.title.is_empty() { metric.name.clone() } else { metric.title.clone() };
    let line = Line { metric: metric.name.clone(), target: Some("business".to_owned()), ..Line::default() };
    Chart {
        id: metric.name.clone(),
        tile: Some(title.clone()),
        title,
        unit: Some(metric.unit.clone()).filter(|unit| !unit.is_empty()),
        lines: vec![line],
        ..Chart::default()
    }
}

impl View {
    /// Checks names and bounds.
    ///
    /// # Errors
    /// The field and what to write instead.
    pub fn check(&self, path: &str) -> Result<(), Fault> {
        id(path, &self.id)?;
        fault(&format!("{path}.charts"), self.charts.len() <= 100, || {
            "are more than 100; choose fewer".to_owned()
        })?;
        let mut seen = HashSet::new();
        for (at, chart) in self.charts.iter().enumerate() {
            let path = format!("{path}.charts.{at}");
            id(&path, &chart.id)?;
            fault(&format!("{path}.id"), seen.insert(&chart.id), || format!("{:?} is used twice", chart.id))?;
            fault(&format!("{path}.lines"), (1..=16).contains(&chart.lines.len()), || {
                format!("are {}; choose 1 to 16", chart.lines.len())
            })?;
            for (at, line) in chart.lines.iter().enumerate() {
                let path = format!("{path}.lines.{at}");
                fault(&format!("{path}.metric"), !line.metric.is_empty(), || {
                    "is empty; name a metric".to_owned()
                })?;
                let join = line.join.as_deref().is_none_or(|join| matches!(join, "sum" | "max" | "mean"));
                fault(&format!("{path}.join"), join, || "is none of sum, max, mean".to_owned())?;
            }
        }
        Ok(())
    }
}

/// Ids stand in addresses and element names.
fn id(path: &str, id: &str) -> Result<(), Fault> {
    let fits = (1..=32).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    fault(&format!("{path}.id"), fits, || {
        format!("{id:?} must be 1 to 32 lower-case letters, digits and '-'")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_views_are_sound() {
        let views = defaults();
        assert_eq!(
            views.iter().map(|view| &*view.id).collect::<Vec<_>>(),
            ["system", "application", "business"]
        );
        for (at, view) in views.iter().enumerate() {
            view.check(&format!("views.{at}")).unwrap();
        }
        assert!(views[0].charts.len() > 8 && views[0].charts[0].tile.is_some());
    }

    #[test]
    fn thresholds_and_views_of_the_configuration_win() {
        let own = |id: &str| View { id: id.into(), title: "Mine".into(), charts: Vec::new() };
        let mut config = Config::default();
        config.monitor.cpu_threshold = 55.0;
        config.web.views = vec![own("application"), own("mine")];
        config.business =
            vec![Business { name: "orders".into(), unit: "1/min".into(), ..Business::default() }];
        let views = views(&config);
        let ids: Vec<_> = views.iter().map(|view| (&*view.id, view.charts.is_empty())).collect();
        assert_eq!(ids, [("system", false), ("application", true), ("business", false), ("mine", true)]);
        assert_eq!(views[2].charts[0].tile.as_deref(), Some("orders"));
        assert_eq!(
            views[0].charts[0].thresholds.iter().map(|limit| limit.value).collect::<Vec<_>>(),
            [55.0, 90.0]
        );
    }

    #[test]
    fn a_fault_names_its_field() {
        let mut view = defaults().remove(0);
        view.charts[2].lines[0].join = Some("median".into());
        assert_eq!(view.check("web.views.0").unwrap_err().path, "web.views.0.charts.2.lines.0.join");
    }
}
