//! What a report consists of, before anyone says how it looks: verdicts, tiles, tables, charts.

use super::chart::Chart;

/// How a figure is to be taken.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Tone {
    /// As it is.
    #[default]
    Plain,
    /// Kept, better.
    Good,
    /// Missed, worse.
    Bad,
    /// To be looked at.
    Warn,
}

/// One cell of a table.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Cell {
    /// As text.
    pub text: String,
    /// How it is to be taken.
    pub tone: Tone,
}

/// A table; its first column names the row.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Table {
    /// Above it.
    pub title: String,
    /// One a column.
    pub head: Vec<String>,
    /// Each as long as `head`.
    pub rows: Vec<Vec<Cell>>,
    /// How many of the first columns are words; the rest are numbers.
    pub words: usize,
}

/// A piece of a report.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Block {
    /// What it comes to.
    Verdict {
        /// How it is to be taken.
        tone: Tone,
        /// In a word: `PASS`.
        word: String,
        /// And in a sentence.
        text: String,
    },
    /// A few figures at a glance: what, and how much.
    Tiles(Vec<(String, String)>),
    /// Figures.
    Table(Table),
    /// Pictures, on the page only; with the columns of the series that each shows.
    Charts(Vec<(Chart, Vec<&'static str>)>),
}

impl Cell {
    /// With a tone.
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }
}

impl Table {
    /// An empty table whose first column is words.
    pub(crate) fn new(title: &str, head: &[&str]) -> Self {
        let head = head.iter().map(|text| (*text).to_owned()).collect();
        Self { title: title.to_owned(), head, rows: Vec::new(), words: 1 }
    }

    /// So many columns of words.
    #[must_use]
    pub(crate) fn words(mut self, columns: usize) -> Self {
        self.words = columns;
        self
    }

    /// A row more.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let mut row: Vec<Cell> = cells.into_iter().collect();
        row.resize(self.head.len(), Cell::default());
        self.rows.push(row);
    }

    /// The table as a block; nothing without rows.
    pub(crate) fn block(self) -> Option<Block> {
        (!self.rows.is_empty()).then_some(Block::Table(self))
    }
}
