//! Change points over stored runs, as blocks.

use super::super::block::{Block, Cell, Table, Tone};
use super::super::chart::{Chart, Line};
use super::super::document::{Histories, History};
use super::super::number::{number, percent};

pub(super) fn blocks(histories: &Histories) -> Vec<Block> {
    let mut blocks = vec![verdict(histories)];
    blocks.extend(changes(histories).block());
    blocks.extend(levels(histories).block());
    blocks.push(Block::Charts(
        histories.histories.iter().map(|history| (chart(history), Vec::new())).collect(),
    ));
    let mut skipped = Table::new("Not used", &["file and reason"]);
    histories.skipped.iter().for_each(|line| skipped.row([line.as_str().into()]));
    blocks.extend(skipped.block());
    blocks
}

fn verdict(histories: &Histories) -> Block {
    let worse = histories.histories.iter().filter(|history| history.regression().is_some()).count();
    let runs = histories.histories.iter().map(|history| history.values.len()).max().unwrap_or(0);
    let text =
        format!("{} figures over up to {runs} runs of {}", histories.histories.len(), histories.source);
    match worse {
        _ if histories.histories.is_empty() => Block::Verdict {
            tone: Tone::Warn,
            word: "NO HISTORY".to_owned(),
            text: format!(
                "no scenario in {} has been run often enough: a change needs eight runs",
                histories.source
            ),
        },
        0 => Block::Verdict { tone: Tone::Good, word: "NO REGRESSION".to_owned(), text },
        _ => Block::Verdict {
            tone: Tone::Bad,
            word: "REGRESSION".to_owned(),
            text: format!("{worse} figures got worse at their last change; {text}"),
        },
    }
}

fn changes(histories: &Histories) -> Table {
    let mut table =
        Table::new("Changes", &["scenario", "figure", "since", "before", "after", "change", "p"]).words(3);
    for history in &histories.histories {
        for point in &history.changes {
            let tone = if (point.change > 0.0) == history.lower_is_better { Tone::Bad } else { Tone::Good };
            let since = history.runs.get(point.at).map_or("", String::as_str);
            table.row([
                history.name.as_str().into(),
                history.metric.as_str().into(),
                since.into(),
                format!("{} {}", number(point.before), history.unit).into(),
                format!("{} {}", number(point.after), history.unit).into(),
                Cell::toned(percent(point.change), tone),
                number(point.p).into(),
            ]);
        }
    }
    table
}

fn levels(histories: &Histories) -> Table {
    let mut table = Table::new("Levels", &["scenario", "figure", "runs", "level now", "newest"]).words(2);
    for history in &histories.histories {
        let from = history.changes.last().map_or(0, |point| point.at);
        let level = crate::statistics::sample::median(&history.values[from.min(history.values.len())..]);
        table.row([
            history.name.as_str().into(),
            history.metric.as_str().into(),
            history.values.len().to_string().into(),
            format!("{} {}", number(level), history.unit).into(),
            history
                .values
                .last()
                .map_or(String::new(), |value| format!("{} {}", number(*value), history.unit))
                .into(),
        ]);
    }
    table
}

fn chart(history: &History) -> Chart {
    let count = history.values.len();
    let step = (count / 10).max(1);
    // The level of each segment, drawn over the runs.
    let mut edges: Vec<usize> = history.changes.iter().map(|point| point.at).collect();
    edges.push(count);
    let mut level = Vec::with_capacity(count);
    let mut from = 0;
    for to in edges {
        let median = crate::statistics::sample::median(&history.values[from..to]);
        level.extend(std::iter::repeat_n(Some(median), to - from));
        from = to;
    }
    Chart {
        title: format!("{} · {}", history.name, history.metric),
        unit: history.unit.clone(),
        at: (1..=count).map(|run| run as f64).collect(),
        ticks: (1..=count).step_by(step).map(|run| (run as f64, run.to_string())).collect(),
        lines: vec![
            Line { name: "run".into(), values: history.values.iter().copied().map(Some).collect() },
            Line { name: "level".into(), values: level },
        ],
        marks: history
            .changes
            .iter()
            .map(|point| {
                (point.at as f64 + 1.0, format!("{} since {}", percent(point.change), history.runs[point.at]))
            })
            .collect(),
        ..Chart::default()
    }
}
