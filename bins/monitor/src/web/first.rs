//! The past that the page shows first, told together with its views: one round trip instead of two.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::views::{Line, View, Words};
use crate::history::{Answer, Question};
use crate::series::Series;

/// Time before now, as the page shows it when nobody chose another.
const SPAN_MS: i64 = 3_600_000;
/// Points of a curve: about what the page asks for by itself.
const POINTS: usize = 400;
/// Charts above the fold; the others are asked for when they come into sight.
const CHARTS: usize = 6;

/// What the first charts of a view ask for.
#[derive(Debug, Serialize)]
pub(super) struct First {
    view: String,
    answers: Vec<One>,
}

/// One question and its answer.
#[derive(Debug, Serialize)]
struct One {
    metric: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    labels: Vec<(String, String)>,
    step_ms: i64,
    series: Vec<Curve>,
}

/// As `/api/metrics/history` answers, but that the least and the most stand only where they differ from the mean.
#[derive(Debug, Serialize)]
struct Curve {
    #[serde(flatten)]
    series: Arc<Series>,
    t: Vec<i64>,
    mean: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<Vec<f64>>,
}

/// Answers what the charts of `view` that are seen first will ask for, each once.
pub(super) fn of(
    view: &View,
    known: &BTreeSet<&str>,
    now_ms: i64,
    past: &dyn Fn(&Question) -> Option<Answer>,
) -> First {
    let seen = view.charts.iter().enumerate().filter(|(at, chart)| *at < CHARTS || chart.tile.is_some());
    let mut asked = BTreeSet::new();
    let mut answers = Vec::new();
    for question in seen.flat_map(|(_, chart)| &chart.lines).flat_map(questions) {
        if known.contains(&*question.0) && asked.insert(question.clone()) {
            let (metric, target, labels) = question;
            let (from_ms, to_ms) = (now_ms - SPAN_MS, now_ms);
            let question = Question { metric, target, labels, from_ms, to_ms, points: POINTS };
            answers.extend(past(&question).map(|answer| One::new(question, answer)));
        }
    }
    First { view: view.id.clone(), answers }
}

type Asked = (String, Option<String>, Vec<(String, String)>);

/// What a line asks for: its metric, and what it is divided by. Labels with several values are chosen by the page.
fn questions(line: &Line) -> Vec<Asked> {
    let single = |labels: &std::collections::BTreeMap<String, Words>| -> Vec<(String, String)> {
        let one = labels.iter().filter_map(|(name, words)| match words {
            Words::One(value) => Some((name.clone(), value.clone())),
            Words::Many(_) => None,
        });
        one.collect()
    };
    let mut all = vec![(line.metric.clone(), line.target.clone(), single(&line.labels))];
    if let Some(over) = &line.over {
        let names = match &over.metric {
            Words::One(name) => std::slice::from_ref(name),
            Words::Many(names) => names,
        };
        all.extend(names.iter().map(|name| (name.clone(), line.target.clone(), single(&over.labels))));
    }
    all
}

impl One {
    fn new(question: Question, answer: Answer) -> Self {
        let curve = |one: crate::history::Answered| {
            let flat = one.min == one.mean && one.max == one.mean;
            let (min, max) = if flat { (None, None) } else { (Some(one.min), Some(one.max)) };
            Curve { series: one.series, t: one.t, mean: one.mean, min, max }
        };
        let Question { metric, target, labels, .. } = question;
        let series = answer.series.into_iter().map(curve).collect();
        Self { metric, target, labels, step_ms: answer.step_ms, series }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Answered;
    use crate::series::Kind;

    #[test]
    fn what_the_first_charts_ask_for_is_answered_once_and_briefly() {
        let views = crate::web::defaults();
        let view = views.iter().find(|view| view.id == "system").unwrap();
        let known: BTreeSet<&str> = ["system_cpu_percent", "node_cpu_seconds_total"].into();
        let target: Arc<str> = Arc::from("host");
        let series = Arc::new(Series::new(&target, "n", &[], Kind::Gauge));
        let told = of(view, &known, 7_200_000, &|question: &Question| {
            assert_eq!((question.from_ms, question.to_ms), (3_600_000, 7_200_000));
            let (t, min, mean, max) = (vec![1, 2], vec![0.0, 1.0], vec![0.0, 1.0], vec![0.0, 1.0]);
            let series = vec![Answered { series: Arc::clone(&series), t, min, max, mean }];
            let metric = question.metric.clone();
            Some(Answer {
                metric,
                from_ms: 0,
                to_ms: 0,
                step_ms: 9000,
                tier: "raw",
                truncated: false,
                series,
            })
        });
        // The processor, and the modes of a node_exporter: all of them for what is divided, and those that wait.
        let asked: Vec<_> = told.answers.iter().map(|one| (one.metric.as_str(), one.labels.len())).collect();
        assert_eq!(
            asked,
            [("system_cpu_percent", 0), ("node_cpu_seconds_total", 0), ("node_cpu_seconds_total", 1)]
        );
        let json = serde_json::to_value(&told).unwrap();
        let curve = &json["answers"][0]["series"][0];
        assert!(curve["mean"].is_array() && curve["min"].is_null(), "{curve}");
    }
}
