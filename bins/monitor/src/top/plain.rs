//! The view where there is no terminal: a line a snapshot.

use super::dashboard::Dashboard;
use super::words::{bytes, count, percent, seconds};

/// One line of everything that matters, without an end of line.
#[must_use]
pub fn line(board: &Dashboard) -> String {
    let mut parts = vec![clock(board.at_ms)];
    if let Some(error) = &board.error {
        parts.push(error.clone());
        return parts.join("  ");
    }
    if !board.status.is_empty() {
        parts.push(board.status.clone());
    }
    let host = &board.host;
    for (name, value) in
        [("cpu", host.cpu.last()), ("memory", host.memory.last()), ("disk", host.disk.last())]
    {
        parts.extend(value.map(|value| format!("{name} {}", percent(value))));
    }
    if let Some((received, sent)) = host.received.zip(host.sent) {
        parts.push(format!("network {}/s in {}/s out", bytes(received), bytes(sent)));
    }
    for (name, collector) in &board.collectors {
        let mut about = vec![name.clone()];
        about.extend(collector.items_per_min.last().map(|items| format!("{} items/min", count(items))));
        about.extend(collector.success_percent.map(|share| format!("{share:.1} % good")));
        about.extend(collector.failures.map(|failures| format!("{} failed", count(failures))));
        about.extend(collector.response.mean_s.map(|mean| format!("mean {}", seconds(mean))));
        parts.push(about.join(" "));
    }
    let down: Vec<_> =
        board.targets.iter().filter(|target| !target.up).map(|target| target.name.as_str()).collect();
    if !down.is_empty() {
        parts.push(format!("down: {}", down.join(", ")));
    }
    if !board.alerts.is_empty() {
        let rules: Vec<_> = board.alerts.iter().take(5).map(|alert| alert.rule.as_str()).collect();
        parts.push(format!("{} alerts: {}", board.alerts.len(), rules.join(", ")));
    }
    parts.join("  ")
}

/// Time of the day, in UTC: the same in every log.
pub(super) fn clock(at_ms: i64) -> String {
    let seconds = at_ms.div_euclid(1000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
