//! The component suite, as blocks.

use super::super::block::{Block, Cell, Table, Tone};
use super::super::number::{number, percent};
use crate::suite::{Grade, Suite};

pub(super) fn blocks(suite: &Suite) -> Vec<Block> {
    let mut blocks = vec![verdict(suite)];
    for part in &suite.parts {
        let mut table = Table::new(
            &format!("{}: {}", part.name, part.what),
            &["figure", "value", "grade", "goal", "earlier", "change"],
        );
        for figure in &part.figures {
            let grade =
                figure.grade.map_or_else(Cell::default, |grade| Cell::toned(grade.as_str(), tone(grade)));
            let change = figure.change().map_or_else(Cell::default, |change| {
                let worse = (change > 0.0) == figure.lower_is_better;
                let tone = match change.abs() > suite.noticeable {
                    true if worse => Tone::Bad,
                    true => Tone::Good,
                    false => Tone::Plain,
                };
                Cell::toned(percent(change), tone)
            });
            table.row([
                figure.name.as_str().into(),
                format!("{} {}", number(figure.value), figure.unit).into(),
                grade,
                figure.goal.clone().unwrap_or_default().into(),
                figure
                    .earlier
                    .map_or(String::new(), |value| format!("{} {}", number(value), figure.unit))
                    .into(),
                change,
            ]);
        }
        blocks.extend(table.block());
    }
    blocks
}

fn tone(grade: Grade) -> Tone {
    match grade {
        Grade::Excellent => Tone::Good,
        Grade::Good => Tone::Plain,
        Grade::Poor => Tone::Bad,
    }
}

fn verdict(suite: &Suite) -> Block {
    let graded = suite.parts.iter().flat_map(|part| &part.figures).filter_map(|figure| figure.grade);
    let (mut excellent, mut good, mut poor) = (0, 0, 0);
    for grade in graded {
        match grade {
            Grade::Excellent => excellent += 1,
            Grade::Good => good += 1,
            Grade::Poor => poor += 1,
        }
    }
    let (tone, word) = match (poor, good) {
        (0, 0) => (Tone::Good, "EXCELLENT"),
        (0, _) => (Tone::Good, "GOOD"),
        _ => (Tone::Bad, "NEEDS WORK"),
    };
    let mut text = format!("{excellent} figures excellent, {good} good, {poor} need work");
    if suite.interrupted {
        text += "; ended early by a signal";
    }
    let slower = suite.slower();
    if !slower.is_empty() {
        text += &format!("; worse than the earlier run: {}", slower.join(", "));
    }
    Block::Verdict { tone, word: word.to_owned(), text }
}
