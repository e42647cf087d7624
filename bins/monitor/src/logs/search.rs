//! What is looked for among lines, and what was found.

use serde::Serialize;

use super::entry::Entry;
use super::level::Level;

/// Lines in one answer at most.
pub(super) const MAX_LIMIT: usize = 1000;

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Not before this, in milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Not after this.
    pub to_ms: Option<i64>,
    /// At least this.
    pub level: Option<Level>,
    /// From this source.
    pub source: Option<String>,
    /// Somewhere in the line, whatever its case, in lower case here.
    pub text: String,
    /// So many of the newest; at most 1000.
    pub limit: usize,
}

/// What was found, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The lines.
    pub lines: Vec<Line>,
    /// There may be older ones: the limit was reached, or the bound of what one search looks through.
    pub more: bool,
    /// Lines that were looked at.
    pub looked_at: u64,
}

/// A line that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its time, in milliseconds since 1970.
    pub at_ms: i64,
    /// Its level.
    pub level: Level,
    /// Its source.
    pub source: String,
    /// What it says.
    pub text: String,
}

impl Query {
    /// Whether a line is meant.
    #[must_use]
    pub fn wants(&self, at_ms: i64, level: Level, source: &str, text: &str) -> bool {
        self.from_ms.is_none_or(|from| at_ms >= from)
            && self.to_ms.is_none_or(|to| at_ms <= to)
            && self.level.is_none_or(|wanted| level >= wanted)
            && self.source.as_deref().is_none_or(|wanted| wanted == source)
            && holds(text, &self.text)
    }
}

impl Found {
    /// Takes a line that is meant; whether there is room for more.
    pub(super) fn take(&mut self, query: &Query, entry: &Entry) -> bool {
        let Entry { at_ms, level, source, text, .. } = entry;
        self.lines.push(Line {
            at_ms: *at_ms,
            level: *level,
            source: source.to_string(),
            text: text.clone(),
        });
        self.more = self.lines.len() >= query.limit.clamp(1, MAX_LIMIT);
        !self.more
    }
}

/// Whether `text` holds `lower`, whatever the case of its letters.
fn holds(text: &str, lower: &str) -> bool {
    if lower.is_empty() {
        return true;
    }
    if lower.is_ascii() {
        // Without a copy of each line: letters outside ASCII cannot match.
        return text
            .as_bytes()
            .windows(lower.len())
            .any(|window| window.eq_ignore_ascii_case(lower.as_bytes()));
    }
    text.to_lowercase().contains(lower)
}
