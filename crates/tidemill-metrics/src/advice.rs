//! What to do about a finding, in words.

use crate::baseline::Trend;
use crate::health::{Finding, Status, Vital};

/// Says what is wrong, by its numbers, and what to look at first; empty when nothing is.
pub(crate) fn recommend(finding: &Finding) -> String {
    if finding.status < Status::Fair && !finding.degraded {
        return String::new();
    }
    let (what, unit) = match finding.vital {
        Vital::Memory => ("memory use", " %"),
        Vital::Cpu => ("processor use", " %"),
        Vital::Response => ("response time", " ms"),
        Vital::Hits => ("the share of cache hits", " %"),
        Vital::Errors => ("the share of errors", " %"),
    };
    let side = if finding.vital == Vital::Hits { "below" } else { "above" };
    let mut text = format!("{what} is {:.1}{unit}", finding.value);
    if let Some(limit) = finding.limit.filter(|_| finding.status >= Status::Fair) {
        text += &format!(", {side} {limit:.1}{unit}");
    }
    if let (true, Some(usual), Some(worse)) = (finding.degraded, finding.baseline, finding.worse_percent) {
        text += &format!(
            ", {worse:.0} % worse than the usual {usual:.1}{unit} for {} times in a row",
            finding.consecutive
        );
    }
    match (finding.trend, finding.per_hour) {
        (Trend::Rising, Some(slope)) => text += &format!(", and rises by {slope:.1}{unit} an hour"),
        (Trend::Falling, Some(slope)) => text += &format!(", and falls by {:.1}{unit} an hour", -slope),
        _ => {}
    }
    text + ": " + advice(finding)
}

fn advice(finding: &Finding) -> &'static str {
    let grows = finding.trend == Trend::Rising;
    match (finding.vital, finding.status >= Status::Poor) {
        (Vital::Memory, _) if grows => "look for what is kept and never dropped; bound caches and queues",
        (Vital::Memory, true) => "shrink caches and batches, or give the process more memory",
        (Vital::Memory, false) => "watch it; cache capacity is the first thing to lower",
        (Vital::Cpu, true) => "lower concurrency or spread the work; profile the hottest path",
        (Vital::Cpu, false) => "there is little room for a burst; see what else runs on this machine",
        (Vital::Response, true) => {
            "see whether the time goes to waiting for a slot, to the network or to the disk"
        }
        (Vital::Response, false) => "compare it with processor and disk wait of the same minutes",
        (Vital::Hits, _) => "raise the cache's capacity or its time to live, and see which keys miss",
        (Vital::Errors, _) => "see which error type grew, and whether a provider refuses or is down",
    }
}
