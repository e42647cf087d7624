//! The report for a continuous integration: one JUnit test case a promise.

use std::fmt::Write as _;

use super::document::{Content, Document};
use super::escape::markup;
use super::number::number;
use crate::compare::Verdict;

/// One case: its name, and what went wrong.
struct Case {
    name: String,
    wrong: Option<(Kind, String)>,
}

/// A failure is the server's, an error is the measurement's.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Failure,
    Error,
}

/// The report as XML. An INVALID run is an error, a missed promise a failure.
#[must_use]
pub fn junit(document: &Document) -> String {
    let (cases, seconds) = match &document.content {
        Content::Run(load) => (run(&load.summary), load.summary.elapsed_s),
        Content::Search(found) => {
            let wrong = found
                .capacity
                .rate
                .is_none()
                .then(|| (Kind::Failure, "not one rate kept the promises".to_owned()));
            (vec![Case { name: "capacity".into(), wrong }], 0.0)
        }
        Content::Comparison(compared) => {
            let wrong = match &compared.comparison {
                None => Some((Kind::Error, format!("no verdict: {}", compared.invalid.join("; ")))),
                Some(_) if !compared.invalid.is_empty() => Some((Kind::Error, compared.invalid.join("; "))),
                Some(comparison) if comparison.verdict == Verdict::Worse => {
                    Some((Kind::Failure, super::sentence(comparison)))
                }
                Some(_) => None,
            };
            (vec![Case { name: compared.metric.clone(), wrong }], 0.0)
        }
        Content::Suite(suite) => {
            let figures =
                suite.parts.iter().flat_map(|part| part.figures.iter().map(move |figure| (part, figure)));
            let slower = suite.slower();
            let cases = figures.map(|(part, figure)| {
                let name = format!("{}.{}", part.name, figure.name);
                let poor = figure.grade == Some(crate::suite::Grade::Poor);
                let wrong = (poor || slower.contains(&name)).then(|| {
                    let why = if poor { "needs work" } else { "worse than the earlier run" };
                    (Kind::Failure, format!("{} {}: {why}", number(figure.value), figure.unit))
                });
                Case { name, wrong }
            });
            (cases.collect(), 0.0)
        }
        Content::History(histories) => {
            let case = |history: &super::History| Case {
                name: format!("{}.{}", history.name, history.metric),
                wrong: history.regression().map(|point| {
                    (
                        Kind::Failure,
                        format!("{} since {}", super::percent(point.change), history.runs[point.at]),
                    )
                }),
            };
            (histories.histories.iter().map(case).collect(), 0.0)
        }
    };
    render(&document.title(), &cases, seconds)
}

fn run(summary: &tidemill_load::Summary) -> Vec<Case> {
    let mut cases = vec![Case {
        name: "valid".into(),
        wrong: (!summary.verdict.valid).then(|| (Kind::Error, summary.verdict.to_string())),
    }];
    if let tidemill_load::Ended::Stopped { rule } = &summary.ended {
        cases.push(Case { name: "stop".into(), wrong: Some((Kind::Failure, rule.clone())) });
    }
    cases.extend(summary.thresholds.iter().map(|judged| Case {
        name: format!("{} {}", judged.metric, judged.bound),
        wrong: (!judged.met).then(|| (Kind::Failure, format!("measured {}", judged.measured_text))),
    }));
    cases
}

fn render(suite: &str, cases: &[Case], seconds: f64) -> String {
    let count = |kind: Kind| {
        cases.iter().filter(|case| case.wrong.as_ref().is_some_and(|wrong| wrong.0 == kind)).count()
    };
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{seconds:.3}\">\n",
        markup(suite),
        cases.len(),
        count(Kind::Failure),
        count(Kind::Error)
    );
    for case in cases {
        let open = format!("  <testcase classname=\"{}\" name=\"{}\"", markup(suite), markup(&case.name));
        // Writing to a String does not fail.
        let _ = match &case.wrong {
            None => writeln!(out, "{open}/>"),
            Some((kind, text)) => {
                let tag = if *kind == Kind::Failure { "failure" } else { "error" };
                writeln!(out, "{open}><{tag} message=\"{}\"/></testcase>", markup(text))
            }
        };
    }
    out + "</testsuite>\n"
}
