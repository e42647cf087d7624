//! The JSON document: one format for runs, comparisons, suites and histories, with a number of its own.

use serde::{Deserialize, Serialize};
use tidemill_load::{Capacity, Summary};

use crate::compare::{Comparison, Pair};
use crate::history::ChangePoint;
use crate::suite::Suite;

/// What the document calls itself.
pub const FORMAT: &str = "tidemill-bench";
/// The version that this build writes and reads.
pub const VERSION: u32 = 1;
/// A document is refused beyond this many bytes.
const MAX_BYTES: u64 = 64 << 20;

/// What a command leaves behind.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Document {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The program that wrote it.
    pub program: String,
    /// Seconds since 1970.
    pub made_unix_s: u64,
    /// Where it was measured.
    pub machine: Machine,
    /// What the user calls this state of things: a version, a commit.
    #[serde(default)]
    pub label: Option<String>,
    /// The figures.
    #[serde(flatten)]
    pub content: Content,
}

/// Where it was measured.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Machine {
    /// Processors the program may use.
    pub processors: usize,
    /// Such as `linux x86_64`.
    pub system: String,
    /// Tasks that wanted to run when it began, over the last minute; a busy machine's wall times say little.
    pub load: Option<f64>,
}

/// The figures.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Content {
    /// One load run.
    Run(Box<Load>),
    /// A search for the largest rate that keeps the promises.
    Search(Box<Found>),
    /// B against A.
    Comparison(Box<Compared>),
    /// The component suite.
    Suite(Box<Suite>),
    /// Change points over stored runs.
    History(Box<Histories>),
}

/// One load run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Load {
    /// As the engine tells it.
    pub summary: Summary,
}

/// A search for the largest rate that keeps the promises.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Found {
    /// Whom.
    pub target: String,
    /// The answer.
    pub capacity: Capacity,
    /// The run at the largest rate that kept the promises; `None` when none did.
    pub best: Option<Summary>,
    /// Whether a signal ended it early.
    pub interrupted: bool,
}

/// B against A: every turn, and what was made of it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Compared {
    /// What A is.
    pub a: Side,
    /// What B is.
    pub b: Side,
    /// Seconds of one turn.
    pub turn_s: f64,
    /// The figure that decides, such as `response.p50`.
    pub metric: String,
    /// Its unit.
    pub unit: String,
    /// Every turn.
    pub pairs: Vec<Pair>,
    /// The verdict; `None` when the pairs could not be judged.
    pub comparison: Option<Comparison>,
    /// Other figures, each with its interval; they decide nothing.
    pub beside: Vec<Beside>,
    /// Why no turn counts; empty means VALID.
    pub invalid: Vec<String>,
    /// Whether a signal ended it early.
    pub interrupted: bool,
}

/// A figure that was looked at and decides nothing.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Beside {
    /// Such as `response.p99`.
    pub metric: String,
    /// Its unit.
    pub unit: String,
    /// Its interval and what its verdict would be.
    pub comparison: Comparison,
}

/// One of the two.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Side {
    /// The address, command or file.
    pub what: String,
    /// What the user calls it.
    pub label: Option<String>,
}

/// Every figure of every scenario over time.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Histories {
    /// The folder or files they were read from.
    pub source: String,
    /// One a scenario and figure.
    pub histories: Vec<History>,
    /// Files that could not be used, and why.
    pub skipped: Vec<String>,
}

/// One figure of one scenario over time.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct History {
    /// The scenario's name.
    pub name: String,
    /// Such as `response.p99`.
    pub metric: String,
    /// Its unit.
    pub unit: String,
    /// Whether more is worse.
    pub lower_is_better: bool,
    /// When and under which label each run was made, oldest first.
    pub runs: Vec<String>,
    /// Its values.
    pub values: Vec<f64>,
    /// Where it changed.
    pub changes: Vec<ChangePoint>,
}

impl History {
    /// The last change, when it made things worse.
    #[must_use]
    pub fn regression(&self) -> Option<&ChangePoint> {
        self.changes
            .last()
            .filter(|point| (point.change > 0.0) == self.lower_is_better && point.change != 0.0)
    }
}

/// Why a document cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Fault {
    path: String,
    problem: String,
}

impl Document {
    /// With this machine's name on it.
    #[must_use]
    pub fn new(made_unix_s: u64, machine: Machine, label: Option<String>, content: Content) -> Self {
        let program = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned();
        Self { format: FORMAT.to_owned(), version: VERSION, program, made_unix_s, machine, label, content }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// When the file cannot be read, is larger than 64 MB, is no document of ours, or of a later version.
    pub fn read(path: &std::path::Path) -> Result<Self, Fault> {
        let fail = |problem: String| Fault { path: path.display().to_string(), problem };
        let size = std::fs::metadata(path).map_err(|error| fail(format!("cannot be read: {error}")))?.len();
        if size > MAX_BYTES {
            return Err(fail(format!("larger than {} MB; is it a report?", MAX_BYTES >> 20)));
        }
        let text = std::fs::read_to_string(path).map_err(|error| fail(format!("cannot be read: {error}")))?;
        Self::parse(&text).map_err(fail)
    }

    /// Reads a document from text.
    ///
    /// # Errors
    /// When it is no document of ours, or of a later version.
    pub fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u32,
        }
        let head: Head = serde_json::from_str(text).map_err(|error| {
            format!("is no report of tidemill-bench ({error}); give the file written by --json")
        })?;
        if head.format != FORMAT {
            return Err(format!("is a \"{}\", not a {FORMAT}; give the file written by --json", head.format));
        }
        if head.version != VERSION {
            return Err(format!(
                "has version {}, this build reads {VERSION}; read it with the build that wrote it",
                head.version
            ));
        }
        serde_json::from_str(text).map_err(|error| format!("is damaged: {error}"))
    }

    /// The document as text.
    ///
    /// # Errors
    /// Never for what this program makes: all numbers in it are finite.
    pub fn to_json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// A file name without its ending: time and name, so that files sort by time.
    #[must_use]
    pub fn file_stem(&self) -> String {
        let name = match &self.content {
            Content::Run(run) => run.summary.name.as_str(),
            Content::Search(_) => "search",
            Content::Comparison(_) => "compare",
            Content::Suite(_) => "suite",
            Content::History(_) => "history",
        };
        let time: String = super::time::utc(self.made_unix_s).chars().filter(char::is_ascii_digit).collect();
        let name: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).take(60).collect();
        format!("{}_{}-{name}", &time[..8], &time[8..])
    }

    /// What the document is about, in a few words.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.content {
            Content::Run(run) => format!("{}: {}", run.summary.name, run.summary.plan.target.url),
            Content::Search(found) => format!("capacity of {}", found.target),
            Content::Comparison(compared) => format!("{} against {}", compared.b.name(), compared.a.name()),
            Content::Suite(_) => "component suite".to_owned(),
            Content::History(histories) => format!("history of {}", histories.source),
        }
    }
}

impl Side {
    /// The label, or what it is.
    #[must_use]
    pub fn name(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        let histories = Histories { source: "runs".into(), ..Histories::default() };
        Document::new(1_700_000_000, Machine::default(), None, Content::History(Box::new(histories)))
    }

    #[test]
    fn a_document_comes_back_as_it_was_written() {
        let text = document().to_json().unwrap();
        assert_eq!(Document::parse(&text).unwrap(), document());
        assert!(text.contains("\"kind\": \"history\""), "{text}");
    }

    #[test]
    fn what_is_not_ours_is_refused_with_a_remedy() {
        let later = document().to_json().unwrap().replace("\"version\": 1", "\"version\": 2");
        for (text, part) in [("{}", "--json"), ("[1]", "--json"), (later.as_str(), "version 2")] {
            assert!(Document::parse(text).unwrap_err().contains(part), "{text}");
        }
        let other = document().to_json().unwrap().replace("tidemill-bench\"", "k6\"");
        assert!(Document::parse(&other).unwrap_err().contains("k6"));
    }
}
