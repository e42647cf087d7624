//! The words by which providers say that they have had enough, when no sign of the mapping knows better.

use std::time::Duration;

use crate::json::{Kind, Value};
use crate::reading::{Class, Refused};

/// Longest message that is kept, in characters.
const MESSAGE: usize = 300;
/// Words are looked for in so many bytes.
pub(crate) const SEARCHED: usize = 4096;
/// No body can ask for a longer wait.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 86_400);

const BLOCKED: [&str; 8] = [
    "banned",
    "captcha",
    "unusual traffic",
    "verify you are human",
    "enable javascript",
    "access denied",
    "request rate threshold exceeded",
    "has been blocked",
];

const THROTTLED: [&str; 14] = [
    "rate limit",
    "ratelimit",
    "rate-limit",
    "too many requests",
    "out of api credits",
    "request allocation",
    "requests per",
    "call frequency",
    "calls per",
    "maximum requests",
    "hits limit",
    "api limit reached",
    "quota",
    "throttl",
];

const KEY: [&str; 6] = [
    "invalid api key",
    "invalid apikey",
    "unknown api key",
    "api key is invalid",
    "invalid token",
    "api key has been revoked",
];

/// Where bodies put their words.
const MESSAGE_MEMBERS: [&str; 9] =
    ["Information", "Note", "Error Message", "message", "error", "detail", "msg", "description", "reason"];

/// What the words of a body without rows say, if they say anything known.
pub(crate) fn class(text: &str) -> Option<Class> {
    if holds_any(text, &BLOCKED) {
        Some(Class::Blocked)
    } else if holds_any(text, &THROTTLED) {
        Some(Class::Throttled)
    } else if holds_any(text, &KEY) {
        Some(Class::Refused(Refused::KeyRevoked))
    } else {
        None
    }
}

/// What a 404 says: a missing symbol names one, a missing route does not.
pub(crate) fn not_found(text: &str) -> Refused {
    let symbol = holds_any(text, &["symbol", "ticker", "instrument", "not found"]);
    if symbol { Refused::UnknownSymbol } else { Refused::Other }
}

pub(crate) fn is_markup(text: &str) -> bool {
    text.trim_ascii_start().starts_with('<')
}

/// True if the beginning of the text holds one of these, in any case of ASCII letters.
pub(crate) fn holds_any<S: AsRef<str>>(text: &str, needles: &[S]) -> bool {
    let lower = text.as_bytes()[..text.len().min(SEARCHED)].to_ascii_lowercase();
    needles.iter().any(|needle| {
        let needle = needle.as_ref().to_ascii_lowercase();
        !needle.is_empty() && lower.windows(needle.len()).any(|window| window == needle.as_bytes())
    })
}

/// The provider's own words in a JSON body, or its beginning.
pub(crate) fn words(root: Value<'_, '_>, text: &str) -> String {
    let said = MESSAGE_MEMBERS.iter().find_map(|name| {
        let value = root.get(name)?;
        let value = if value.kind() == Kind::Object {
            value.get("description").or(value.get("message"))?
        } else {
            value
        };
        (value.kind() == Kind::Text).then(|| value.text().into_owned())
    });
    said.map_or_else(|| snippet(text), |words| bounded(&words))
}

/// The beginning of a body on one line.
pub(crate) fn snippet(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
        if out.len() > MESSAGE * 4 {
            break;
        }
    }
    if out.is_empty() { "the body is empty".into() } else { bounded(&out) }
}

/// At most [`MESSAGE`] characters, none of them a control character.
pub(crate) fn bounded(text: &str) -> String {
    text.chars().take(MESSAGE).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// At most 60 characters: what is repeated with every row of an answer.
pub(crate) fn short(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// How long the words ask to wait: "banned until 1700000000000" (milliseconds since 1970), "in 12 seconds".
pub(crate) fn retry_after(words: &str, now_ns: i64) -> Option<Duration> {
    let lower = words.to_ascii_lowercase();
    if let Some((_, rest)) = lower.split_once("until ") {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        if digits.len() == 13 {
            let until_ns = digits.parse::<i64>().ok()?.checked_mul(1_000_000)?;
            return Some(
                Duration::from_nanos(until_ns.saturating_sub(now_ns).max(0) as u64).min(LONGEST_WAIT),
            );
        }
    }
    let parts: Vec<&str> = lower.split([' ', ',', '.', ';']).filter(|part| !part.is_empty()).collect();
    parts.windows(3).find_map(|part| {
        if !matches!(part[0], "in" | "after" | "wait") {
            return None;
        }
        let unit = match part[2] {
            "s" | "second" | "seconds" => 1,
            "minute" | "minutes" => 60,
            "hour" | "hours" => 3600,
            _ => return None,
        };
        let count: u64 = part[1].parse().ok()?;
        Some(Duration::from_secs(count.saturating_mul(unit)).min(LONGEST_WAIT))
    })
}

/// The window the words name; the longest one if they name several, since that is the one to fear.
pub(crate) fn quota_window(words: &str) -> Option<Duration> {
    let named = |names: &[&str]| holds_any(words, names);
    let seconds = if named(&["per day", "daily", "/day", "for the day", "a day"]) {
        86_400
    } else if named(&["per hour", "hourly", "/hour"]) {
        3600
    } else if named(&["per minute", "current minute", "minute-level", "/minute"]) {
        60
    } else if named(&["per second", "/second"]) {
        1
    } else {
        return None;
    };
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_from_words_and_bounded() {
        let now = 1_700_000_000_000 * 1_000_000;
        let until = "Way too much request weight used; IP banned until 1700000090000. Please use WebSocket";
        assert_eq!(retry_after(until, now), Some(Duration::from_secs(90)));
        assert_eq!(retry_after("Try again in 12 seconds.", now), Some(Duration::from_secs(12)));
        assert_eq!(retry_after("wait 99999999999 hours", now), Some(LONGEST_WAIT));
        assert_eq!(retry_after("until 1600000000000", now), Some(Duration::ZERO));
        assert_eq!(retry_after("at most 5 requests per minute", now), None);
    }

    #[test]
    fn windows_are_named() {
        assert_eq!(
            quota_window("our standard limit is 25 requests per day"),
            Some(Duration::from_secs(86_400))
        );
        assert_eq!(quota_window("(1 request per second)"), Some(Duration::from_secs(1)));
        assert_eq!(quota_window("credits for the current minute"), Some(Duration::from_secs(60)));
        assert_eq!(quota_window("slow down"), None);
    }
}
