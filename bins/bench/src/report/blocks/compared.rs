//! B against A, as blocks.

use super::super::block::{Block, Cell, Table, Tone};
use super::super::chart::{Chart, Line};
use super::super::document::Compared;
use super::super::number::{number, percent};
use crate::compare::{Comparison, Verdict};

pub(super) fn blocks(compared: &Compared) -> Vec<Block> {
    let mut blocks = vec![verdict(compared)];
    if let Some(comparison) = &compared.comparison {
        blocks.push(tiles(compared, comparison));
    }
    blocks.extend(figures(compared).block());
    blocks.push(Block::Charts(chart(compared).into_iter().collect()));
    blocks.extend(turns(compared).block());
    blocks
}

/// The verdict in a sentence.
#[must_use]
pub fn sentence(comparison: &Comparison) -> String {
    let interval = format!(
        "{} to {} with {} % confidence",
        percent(comparison.low),
        percent(comparison.high),
        number(100.0 * comparison.level)
    );
    match comparison.verdict {
        Verdict::Better | Verdict::Worse => format!("B is {} of A: {interval}", percent(comparison.change)),
        Verdict::NoDifference { within } => format!(
            "if there is a difference it is within {:.1} % ({interval}); a change of {} would have been found",
            100.0 * within,
            percent(comparison.detectable)
        ),
    }
}

fn word(verdict: &Verdict) -> (Tone, &'static str) {
    match verdict {
        Verdict::Better => (Tone::Good, "BETTER"),
        Verdict::Worse => (Tone::Bad, "WORSE"),
        Verdict::NoDifference { .. } => (Tone::Plain, "NO DIFFERENCE"),
    }
}

fn verdict(compared: &Compared) -> Block {
    let Some(comparison) = &compared.comparison else {
        let why = if compared.invalid.is_empty() {
            "ended before four pairs were complete".to_owned()
        } else {
            compared.invalid.join("; ")
        };
        return Block::Verdict { tone: Tone::Warn, word: "NO VERDICT".to_owned(), text: why };
    };
    let (tone, word) = word(&comparison.verdict);
    if !compared.invalid.is_empty() {
        let text =
            format!("{}; the turns would say {word}: {}", compared.invalid.join("; "), sentence(comparison));
        return Block::Verdict { tone: Tone::Warn, word: "INVALID".to_owned(), text };
    }
    let early = if compared.interrupted { "; ended early by a signal" } else { "" };
    Block::Verdict { tone, word: word.to_owned(), text: sentence(comparison) + early }
}

fn tiles(compared: &Compared, comparison: &Comparison) -> Block {
    let value = |value: f64| format!("{} {}", number(value), compared.unit);
    let tile = |what: &str, value: String| (what.to_owned(), value);
    Block::Tiles(vec![
        tile(&format!("A: {}", compared.a.name()), value(comparison.a)),
        tile(&format!("B: {}", compared.b.name()), value(comparison.b)),
        tile("change", percent(comparison.change)),
        tile("interval", format!("{} to {}", percent(comparison.low), percent(comparison.high))),
        tile("pairs", format!("{} of four turns of {} s", comparison.pairs, number(compared.turn_s))),
        tile("could have found", percent(comparison.detectable)),
    ])
}

fn figures(compared: &Compared) -> Table {
    let mut table = Table::new("Figures", &["figure", "A", "B", "change", "from", "to", ""]);
    let decides =
        compared.comparison.iter().map(|comparison| (&compared.metric, &compared.unit, comparison, true));
    let beside =
        compared.beside.iter().map(|beside| (&beside.metric, &beside.unit, &beside.comparison, false));
    for (metric, unit, comparison, decides) in decides.chain(beside) {
        let (tone, word) = word(&comparison.verdict);
        let role = if decides { "decides: " } else { "" };
        table.row([
            metric.as_str().into(),
            format!("{} {unit}", number(comparison.a)).into(),
            format!("{} {unit}", number(comparison.b)).into(),
            percent(comparison.change).into(),
            percent(comparison.low).into(),
            percent(comparison.high).into(),
            Cell::toned(format!("{role}{}", word.to_lowercase()), tone),
        ]);
    }
    table
}

/// Every turn in the order it ran.
fn chart(compared: &Compared) -> Option<(Chart, Vec<&'static str>)> {
    let side = |pick: fn(&crate::compare::Pair) -> [f64; 2]| {
        compared.pairs.iter().flat_map(|pair| pick(pair).map(Some)).collect::<Vec<_>>()
    };
    let count = compared.pairs.len();
    let at: Vec<f64> = (0..count * 2).map(|turn| turn as f64 / 2.0 + 1.0).collect();
    let step = (count / 10).max(1);
    (count > 0).then(|| {
        let chart = Chart {
            title: format!("{} by turn", compared.metric),
            unit: compared.unit.clone(),
            at,
            ticks: (1..=count).step_by(step).map(|pair| (pair as f64, pair.to_string())).collect(),
            lines: vec![
                Line { name: "A".into(), values: side(|pair| pair.a) },
                Line { name: "B".into(), values: side(|pair| pair.b) },
            ],
            ..Chart::default()
        };
        (chart, Vec::new())
    })
}

fn turns(compared: &Compared) -> Table {
    let mut table = Table::new("Turns", &["pair", "A", "A", "B", "B", "B over A"]);
    for (n, pair) in compared.pairs.iter().enumerate() {
        let change = ((pair.b[0] * pair.b[1]) / (pair.a[0] * pair.a[1])).sqrt() - 1.0;
        let values = [pair.a[0], pair.a[1], pair.b[0], pair.b[1]].map(|value| Cell::from(number(value)));
        table
            .row([Cell::from((n + 1).to_string())].into_iter().chain(values).chain([percent(change).into()]));
    }
    table
}
