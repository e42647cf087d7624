//! Whether a run's figures may be believed, and why not.

use serde::{Deserialize, Serialize};

use crate::plan::Limits;
use crate::summary::{Errors, Percentiles, Totals};
use crate::units::duration;

/// VALID without reasons, INVALID with them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the figures may be believed.
    pub valid: bool,
    /// Why not; empty when valid.
    pub reasons: Vec<Reason>,
}

/// Why a run's figures say more about the generator than about the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// What kind.
    pub kind: ReasonKind,
    /// What was seen, the bound, and what to do.
    pub text: String,
}

/// What kind of reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ReasonKind {
    /// The generator sent late by its own fault.
    GeneratorLate,
    /// Others took the machine's virtual processors.
    CpuSteal,
    /// This machine had no socket or port left.
    Sockets,
    /// The server's samples have holes.
    SamplesLost,
    /// Nothing was counted: the run ended within its warm-up, or nothing was due.
    Empty,
}

/// What a verdict is founded on.
pub(crate) struct Evidence<'a> {
    pub(crate) totals: &'a Totals,
    pub(crate) errors: &'a Errors,
    pub(crate) late: &'a Percentiles,
    /// 0 to 1.
    pub(crate) steal: f64,
    /// The server's samples that should have been taken, and those that failed.
    pub(crate) samples: (u64, u64),
}

impl Verdict {
    pub(crate) fn of(evidence: &Evidence<'_>, limits: &Limits) -> Self {
        let mut reasons = Vec::new();
        let mut reason = |kind, text| reasons.push(Reason { kind, text });
        let Evidence { totals, errors, late, steal, samples } = evidence;
        if totals.ended == 0 && totals.messages == 0 {
            reason(ReasonKind::Empty, "nothing ended in the counted time: is it all warm-up?".to_owned());
        }
        let share = totals.late as f64 / totals.sent.max(1) as f64;
        if share > limits.late_share {
            let text = format!(
                "the generator sent {:.1}% more than 1ms late, {:.1}% are allowed: use more threads, a lower rate or a \
                 quieter machine",
                share * 100.0,
                limits.late_share * 100.0
            );
            reason(ReasonKind::GeneratorLate, text);
        } else if late.count > 0 && late.p99_us > limits.lateness.as_secs_f64() * 1e6 {
            let text = format!(
                "the generator's own lateness was {:.1}ms at p99, {} is allowed: use more threads, a lower rate or a \
                 quieter machine",
                late.p99_us / 1e3,
                duration::text(limits.lateness)
            );
            reason(ReasonKind::GeneratorLate, text);
        }
        if *steal > limits.steal {
            let text = format!(
                "other guests took {:.1}% of this machine's processors, {:.1}% are allowed",
                steal * 100.0,
                limits.steal * 100.0
            );
            reason(ReasonKind::CpuSteal, text);
        }
        if errors.sockets > 0 {
            let text = format!(
                "{} times this machine had no socket or port left: raise nofile and ip_local_port_range, or keep \
                 connections alive",
                errors.sockets
            );
            reason(ReasonKind::Sockets, text);
        }
        let (taken, lost) = *samples;
        if lost as f64 > limits.lost_samples * taken as f64 {
            reason(ReasonKind::SamplesLost, format!("{lost} of {taken} samples of the server failed"));
        }
        Self { valid: reasons.is_empty(), reasons }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.valid { "VALID" } else { "INVALID" })?;
        for (n, reason) in self.reasons.iter().enumerate() {
            write!(f, "{}{}", if n == 0 { ": " } else { "; " }, reason.text)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of 1000 requests with one thing changed.
    fn kinds(
        change: impl FnOnce(&mut Totals, &mut Errors, &mut Percentiles, &mut f64, &mut (u64, u64)),
    ) -> Vec<ReasonKind> {
        let mut totals = Totals { sent: 1000, ended: 1000, ok: 1000, late: 10, ..Totals::default() };
        let (mut errors, mut steal, mut samples) = (Errors::default(), 0.05, (10, 1));
        let mut late = Percentiles { count: 1000, p99_us: 5000.0, ..Percentiles::default() };
        change(&mut totals, &mut errors, &mut late, &mut steal, &mut samples);
        let evidence = Evidence { totals: &totals, errors: &errors, late: &late, steal, samples };
        let verdict = Verdict::of(&evidence, &Limits::default());
        assert_eq!(verdict.valid, verdict.reasons.is_empty());
        verdict.reasons.iter().map(|reason| reason.kind).collect()
    }

    #[test]
    fn each_bound_is_still_valid_and_a_little_more_is_not() {
        assert_eq!(kinds(|_, _, _, _, _| {}), []);
        assert_eq!(kinds(|totals, _, _, _, _| totals.late = 11), [ReasonKind::GeneratorLate]);
        assert_eq!(kinds(|_, _, late, _, _| late.p99_us = 5001.0), [ReasonKind::GeneratorLate]);
        assert_eq!(kinds(|_, _, _, steal, _| *steal = 0.051), [ReasonKind::CpuSteal]);
        assert_eq!(kinds(|_, errors, _, _, _| errors.sockets = 1), [ReasonKind::Sockets]);
        assert_eq!(kinds(|_, _, _, _, samples| samples.1 = 2), [ReasonKind::SamplesLost]);
        assert_eq!(kinds(|totals, _, _, _, _| totals.ended = 0), [ReasonKind::Empty]);
        assert_eq!(kinds(|totals, _, _, _, _| (totals.ended, totals.messages) = (0, 1)), []);
    }

    #[test]
    fn a_verdict_says_every_reason() {
        let reason = |kind, text: &str| Reason { kind, text: text.to_owned() };
        let reasons = vec![reason(ReasonKind::CpuSteal, "a"), reason(ReasonKind::Sockets, "b")];
        assert_eq!(Verdict { valid: false, reasons }.to_string(), "INVALID: a; b");
        assert_eq!(Verdict { valid: true, reasons: Vec::new() }.to_string(), "VALID");
    }
}
