//! The report for a terminal: aligned columns, colour where it is wanted.

use super::block::{Block, Cell, Table, Tone};
use super::blocks;
use super::document::Document;

/// The report; with ANSI colours when `colour`.
#[must_use]
pub fn text(document: &Document, colour: bool) -> String {
    let mut out = String::new();
    for block in blocks::of(document) {
        match block {
            Block::Verdict { tone, word, text } => {
                out += &format!("{}  {text}\n", painted(&word, tone, true, colour))
            }
            Block::Tiles(tiles) => {
                let width = tiles.iter().map(|(what, _)| what.chars().count()).max().unwrap_or(0);
                tiles
                    .iter()
                    .for_each(|(what, value)| out += &format!("  {}  {value}\n", padded(what, width, false)));
            }
            Block::Table(table) => out += &self::table(&table, colour),
            Block::Charts(_) => {}
        }
    }
    out
}

fn table(table: &Table, colour: bool) -> String {
    let widths: Vec<usize> = (0..table.head.len())
        .map(|n| {
            let cells = table.rows.iter().map(|row| row[n].text.chars().count());
            cells.chain([table.head[n].chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &[Cell]| {
        let cell = |(n, cell): (usize, &Cell)| {
            painted(&padded(&cell.text, widths[n], n >= table.words), cell.tone, false, colour)
        };
        format!("  {}\n", cells.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end())
    };
    let mut out = format!("\n{}\n", table.title);
    if table.head.iter().any(|head| !head.is_empty()) {
        out += &line(&table.head.iter().map(|head| Cell::from(head.as_str())).collect::<Vec<_>>());
    }
    table.rows.iter().for_each(|row| out += &line(row));
    out
}

fn padded(text: &str, width: usize, right: bool) -> String {
    if right { format!("{text:>width$}") } else { format!("{text:<width$}") }
}

fn painted(text: &str, tone: Tone, bold: bool, colour: bool) -> String {
    let code = match tone {
        Tone::Plain if bold => "1",
        Tone::Plain => return text.to_owned(),
        Tone::Good => "32",
        Tone::Bad => "31",
        Tone::Warn => "33",
    };
    if colour {
        format!("\u{1b}[{}{code}m{text}\u{1b}[0m", if bold { "1;" } else { "" })
    } else {
        text.to_owned()
    }
}
