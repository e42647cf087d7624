//! `history_YYYYMMDD_HHMMSS.json`: the past of every series as one file, on demand.

use std::io::Write;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::Serialize;

use super::{Answered, History, Question};

/// What stands before the series.
#[derive(Debug, Serialize)]
struct Head<'a> {
    format: &'static str,
    at_ms: i64,
    from_ms: i64,
    to_ms: i64,
    version: &'a str,
}

/// The name of a file written at this moment, in UTC.
#[must_use]
pub fn file_name(at_ms: i64) -> String {
    format!("history_{}.json", stamp(at_ms))
}

/// `YYYYMMDD_HHMMSS`, in UTC.
#[must_use]
pub(crate) fn stamp(at_ms: i64) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y%m%d_%H%M%S").to_string()
}

impl History {
    /// Writes every series of a stretch of time, one at a time: memory is that of one. Blocks.
    ///
    /// # Errors
    /// What the disk or the writer said.
    pub fn export(&self, from_ms: i64, to_ms: i64, points: usize, to: &mut dyn Write) -> Result<()> {
        let version = env!("CARGO_PKG_VERSION");
        let head = Head { format: "tidemill-history-1", at_ms: crate::now_ms(), from_ms, to_ms, version };
        let head = serde_json::to_string(&head)?;
        write!(to, "{},\"series\":[", head.trim_end_matches('}')).context("cannot write history")?;
        let mut first = true;
        for (metric, target) in self.metrics() {
            let target = Some(target.to_string());
            let question =
                Question { metric: metric.to_string(), target, labels: Vec::new(), from_ms, to_ms, points };
            for answered in self.ask(&question)?.series {
                write!(to, "{}", if first { "\n" } else { ",\n" })?;
                first = false;
                one(&answered, to)?;
            }
        }
        to.write_all(b"\n]}\n").context("cannot write history")
    }
}

fn one(answered: &Answered, to: &mut dyn Write) -> Result<()> {
    serde_json::to_writer(to, answered).context("cannot write history")
}
