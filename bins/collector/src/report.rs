//! What a pass came to: the summary as JSON and the closing report for people.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::grade::{Grade, Graded};

/// How many missing symbols the summary names; the rest is a number.
pub const MISSING_NAMED: usize = 100;

/// One pass in figures. Counts are of this pass alone, but for `symbols` and `fresh`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Symbols of all datasets.
    pub symbols: u64,
    /// Symbols answered in this pass.
    pub answered: u64,
    /// Symbols whose answer was fresh already, so that nobody was asked.
    pub fresh: u64,
    /// Attempts on the wire.
    pub requests: u64,
    /// Attempts the providers refused.
    pub refused: u64,
    /// Symbols that were asked for in vain.
    pub failed: u64,
    /// Symbols not asked for, because the pass ended before.
    pub not_asked: u64,
    /// Rows in the answers; `received = stored + quarantined + duplicate`.
    pub rows_received: u64,
    /// Rows new or changed.
    pub rows_stored: u64,
    /// Rows that broke a rule; kept in the table `quarantine`.
    pub rows_quarantined: u64,
    /// Rows kept already, equal in every column.
    pub rows_duplicate: u64,
    /// Seconds from the first request to the last published row.
    pub elapsed_s: f64,
    /// Answered symbols a minute.
    pub symbols_per_minute: f64,
    /// Answered or fresh symbols, of all; 0 to 1.
    pub success_rate: f64,
    /// Time from request to answer.
    pub response_ms: ResponseMs,
    /// Requests by provider and key.
    pub providers: Vec<ProviderSummary>,
    /// Grades against SPEC C10.
    pub grades: Vec<Graded>,
    /// Why the pass ended early, if it did.
    pub ended_early: Option<String>,
    /// Failures by reason, most frequent first.
    pub failures: Vec<Failure>,
    /// Up to [`MISSING_NAMED`] symbols without a fresh answer, as `dataset/symbol`.
    pub missing: Vec<String>,
}

/// Quantiles of the time from request to answer, milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct ResponseMs {
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// What one provider was asked.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProviderSummary {
    /// Its name in the configuration.
    pub name: String,
    /// Attempts on the wire.
    pub requests: u64,
    /// Attempts refused.
    pub refused: u64,
    /// The same by key, in the order configured; a key itself is never shown.
    pub keys: Vec<KeySummary>,
}

impl ProviderSummary {
    /// Takes away what was counted before.
    pub fn subtract(&mut self, earlier: &Self) {
        self.requests -= earlier.requests;
        self.refused -= earlier.refused;
        for (key, earlier) in self.keys.iter_mut().zip(&earlier.keys) {
            key.requests -= earlier.requests;
            key.refused -= earlier.refused;
        }
    }
}

/// What one key was used for.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct KeySummary {
    /// Attempts with this key.
    pub requests: u64,
    /// Attempts refused.
    pub refused: u64,
}

/// A reason for failures and how often it was met.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// In words, without keys.
    pub reason: String,
    /// Symbols that failed for it.
    pub symbols: u64,
}

impl Summary {
    /// True when every symbol has a fresh answer.
    pub fn is_complete(&self) -> bool {
        self.answered + self.fresh == self.symbols
    }

    /// True when every received row is accounted for.
    pub fn is_balanced(&self) -> bool {
        self.rows_received == self.rows_stored + self.rows_quarantined + self.rows_duplicate
    }

    /// Writes the summary as JSON, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).context("cannot render the summary")?;
        let beside = path.with_extension("partial");
        std::fs::write(&beside, text)
            .and_then(|()| std::fs::rename(&beside, path))
            .with_context(|| format!("cannot write the summary {}", path.display()))
    }

    /// The closing report.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let verdict = if self.is_complete() { "complete" } else { "INCOMPLETE" };
        let _ = writeln!(
            out,
            "{verdict}: {} of {} symbols are fresh ({} asked for now, {} before), {:.1} s",
            self.answered + self.fresh,
            self.symbols,
            self.answered,
            self.fresh,
            self.elapsed_s
        );
        let _ = writeln!(out, "  requests  {} sent, {} refused", self.requests, self.refused);
        for p in &self.providers {
            let keys: Vec<_> = p.keys.iter().map(|k| format!("{}/{}", k.requests, k.refused)).collect();
            let _ = writeln!(
                out,
                "    {:<12} {} sent, {} refused; by key {}",
                p.name,
                p.requests,
                p.refused,
                keys.join(" ")
            );
        }
        let _ = writeln!(
            out,
            "  rows      {} received = {} stored + {} quarantined + {} duplicate{}",
            self.rows_received,
            self.rows_stored,
            self.rows_quarantined,
            self.rows_duplicate,
            if self.is_balanced() { "" } else { "  DOES NOT BALANCE; please report this" }
        );
        let r = &self.response_ms;
        let _ = writeln!(
            out,
            "  response  mean {:.0} ms, p50 {:.0}, p95 {:.0}, p99 {:.0}",
            r.mean, r.p50, r.p95, r.p99
        );
        for graded in &self.grades {
            let grade = graded.grade.map_or("not measured", Grade::as_str);
            let value = graded.value.map_or_else(|| "-".into(), |v| format!("{v:.1}"));
            let _ = writeln!(out, "  {:<24} {value:>10}  {grade}", graded.what);
        }
        if let Some(why) = &self.ended_early {
            let _ = writeln!(out, "  ended early: {why}");
        }
        for failure in self.failures.iter().take(8) {
            let _ = writeln!(out, "  failed    {} symbols: {}", failure.symbols, failure.reason);
        }
        if !self.is_complete() {
            let missing = self.symbols - self.answered - self.fresh;
            let named = self.missing.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(" ");
            let _ = writeln!(
                out,
                "  missing   {missing} symbols: {named}{}",
                if missing > 8 { " …" } else { "" }
            );
            let _ = writeln!(
                out,
                "  What was stored is kept; run the same command again to fetch only what is missing."
            );
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_is_missing_and_what_to_do() {
        let summary = Summary {
            symbols: 3,
            answered: 1,
            fresh: 1,
            failed: 1,
            rows_received: 10,
            rows_stored: 8,
            rows_quarantined: 1,
            rows_duplicate: 1,
            missing: vec!["us_daily/MSFT".into()],
            failures: vec![Failure { reason: "provider answered 500".into(), symbols: 1 }],
            ..Summary::default()
        };
        let text = summary.render();
        for part in
            ["INCOMPLETE: 2 of 3", "us_daily/MSFT", "provider answered 500", "run the same command again"]
        {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(!text.contains("DOES NOT BALANCE"));
        assert!(Summary { rows_stored: 7, ..summary }.render().contains("DOES NOT BALANCE"));
    }
}
