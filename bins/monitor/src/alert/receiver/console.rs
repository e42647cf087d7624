//! A line for each event on the standard output.

use std::io::Write;

use crate::alert::active::Event;
use crate::alert::outbox::Notification;

/// Writes them.
///
/// # Errors
/// The output is closed.
pub(crate) fn write(notification: &Notification, to: &mut impl Write) -> std::io::Result<()> {
    for event in &notification.events {
        writeln!(to, "{} {:8} {}", time(event.at_ms), level(event), plain(&event.words()))?;
    }
    to.flush()
}

/// Good news is `INFO`, whatever it was before.
pub(super) fn level(event: &Event) -> &'static str {
    if event.is_end() { "INFO" } else { event.alert.severity.level() }
}

/// Milliseconds since 1970 as RFC 3339 in UTC.
pub(super) fn time(at_ms: i64) -> String {
    let stamp = jiff::Timestamp::from_millisecond(at_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{stamp:.3}")
}

/// Without control characters: labels come from outside and must not move a terminal's cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
