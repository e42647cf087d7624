//! One page that needs nothing else: style, script and charts stand in it.
//!
//! Its content security policy forbids every request, so that a page opened from an archive years later shows the
//! same, and what a server answered cannot call home.

use std::fmt::Write as _;

use super::block::{Block, Cell, Table, Tone};
use super::blocks;
use super::document::{Content, Document};
use super::escape::{markup, script};
use super::number::number;
use super::series::Series;
use super::time::utc;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// The values under the pointer are those of the charts.
const SLICES: usize = 600;

/// The page.
///
/// # Errors
/// When the series cannot become JSON; all that this program makes can.
pub fn page(document: &Document) -> serde_json::Result<String> {
    let title = markup(&document.title());
    let body: String = blocks::of(document).iter().map(block).collect();
    let series = match &document.content {
        Content::Run(load) => Series::from(&load.summary).at_most(SLICES),
        Content::Search(found) => {
            found.best.as_ref().map(|best| Series::from(best).at_most(SLICES)).unwrap_or_default()
        }
        _ => Series::default(),
    };
    let series = script(&serde_json::to_string(&series)?);
    let made = made(document);
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>{title}</h1><p class=\"made\">{made}</p></header>\n<main>\n{body}</main>\n\
         <script type=\"application/json\" id=\"series\">{series}</script>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    ))
}

fn made(document: &Document) -> String {
    let machine = &document.machine;
    let label = document.label.as_ref().map_or_else(String::new, |label| format!("{} · ", markup(label)));
    let load = machine.load.map_or_else(String::new, |load| format!(", load {} when it began", number(load)));
    format!(
        "{label}{} UTC · {} processors, {}{load} · {}",
        utc(document.made_unix_s),
        machine.processors,
        markup(&machine.system),
        markup(&document.program)
    )
}

fn block(block: &Block) -> String {
    match block {
        Block::Verdict { tone, word, text } => {
            format!(
                "<p class=\"verdict {}\"><b>{}</b> <span>{}</span></p>\n",
                class(*tone),
                markup(word),
                markup(text)
            )
        }
        Block::Tiles(tiles) => {
            let tile = |(what, value): &(String, String)| {
                format!("<div class=\"tile\"><span>{}</span><b>{}</b></div>", markup(what), markup(value))
            };
            format!("<div class=\"tiles\">{}</div>\n", tiles.iter().map(tile).collect::<String>())
        }
        Block::Table(table) => self::table(table),
        Block::Charts(charts) if charts.is_empty() => String::new(),
        Block::Charts(charts) => {
            let mut out = "<h2>Charts</h2>\n<div class=\"charts\">\n".to_owned();
            for (chart, columns) in charts {
                // Writing to a String does not fail.
                let _ = writeln!(out, "<div data-columns=\"{}\">{}</div>", columns.join(","), chart.figure());
            }
            out + "</div>\n"
        }
    }
}

fn table(table: &Table) -> String {
    let mut out = format!("<h2>{}</h2>\n<div class=\"scroll\"><table>\n", markup(&table.title));
    let class_of = |column: usize, tone: Tone| match (column > 0 && column < table.words, class(tone)) {
        (false, "") => String::new(),
        (words, tone) => format!(" class=\"{}{tone}\"", if words { "text " } else { "" }),
    };
    if table.head.iter().any(|head| !head.is_empty()) {
        let head =
            |(n, text): (usize, &String)| format!("<th{}>{}</th>", class_of(n, Tone::Plain), markup(text));
        let _ = writeln!(out, "<tr>{}</tr>", table.head.iter().enumerate().map(head).collect::<String>());
    }
    for row in &table.rows {
        let cell =
            |(n, cell): (usize, &Cell)| format!("<td{}>{}</td>", class_of(n, cell.tone), markup(&cell.text));
        let _ = writeln!(out, "<tr>{}</tr>", row.iter().enumerate().map(cell).collect::<String>());
    }
    out + "</table></div>\n"
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Plain => "",
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Warn => "warn",
    }
}
