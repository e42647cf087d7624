//! The report for a pull request or a wiki: Markdown without pictures.

use std::fmt::Write as _;

use super::block::{Block, Table, Tone};
use super::blocks;
use super::document::Document;
use super::escape::cell;
use super::time::utc;

/// The report.
#[must_use]
pub fn markdown(document: &Document) -> String {
    let machine = &document.machine;
    let mut out = format!("# {}\n\n", cell(&document.title()));
    let label = document.label.as_ref().map_or_else(String::new, |label| format!("{} · ", cell(label)));
    // Writing to a String does not fail.
    let _ = writeln!(
        out,
        "{label}{} UTC · {} processors, {} · {}\n",
        utc(document.made_unix_s),
        machine.processors,
        cell(&machine.system),
        document.program
    );
    for block in blocks::of(document) {
        match block {
            Block::Verdict { word, text, .. } => {
                let _ = writeln!(out, "**{}** {}\n", cell(&word), cell(&text));
            }
            Block::Tiles(tiles) => {
                for (what, value) in tiles {
                    let _ = writeln!(out, "- {}: {}", cell(&what), cell(&value));
                }
                out.push('\n');
            }
            Block::Table(table) => out += &self::table(&table),
            Block::Charts(_) => {}
        }
    }
    out.truncate(out.trim_end().len());
    out + "\n"
}

fn table(table: &Table) -> String {
    let mut out = format!("## {}\n\n", cell(&table.title));
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    out += &line(table.head.iter().map(|text| cell(text)).collect());
    out += &line(
        (0..table.head.len()).map(|n| if n < table.words { "---" } else { "---:" }.to_owned()).collect(),
    );
    for row in &table.rows {
        let bold = |tone: Tone, text: String| if tone == Tone::Bad { format!("**{text}**") } else { text };
        out += &line(row.iter().map(|one| bold(one.tone, cell(&one.text))).collect());
    }
    out + "\n"
}
