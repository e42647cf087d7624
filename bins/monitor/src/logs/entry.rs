//! A line with its time and level, however its program writes them: JSON, or text with a date in front.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::level::Level;

/// Names under which programs write the time, the level and the text of a JSON line.
const TIMES: [&str; 6] = ["time", "timestamp", "ts", "@timestamp", "t", "datetime"];
const LEVELS: [&str; 5] = ["level", "severity", "lvl", "log.level", "levelname"];
const TEXTS: [&str; 5] = ["message", "msg", "event", "text", "error"];

/// Where a level is looked for in a line of text.
const HEAD_WORDS: usize = 8;

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Counts up by one over all sources, over restarts too.
    pub seq: u64,
    /// Its own time; when it was read where it tells none, or one beyond tomorrow. In milliseconds since 1970.
    pub at_ms: i64,
    /// Its own level.
    pub level: Level,
    /// Name of its source.
    pub source: Arc<str>,
    /// What it says: without time and level where those could be told apart.
    pub text: String,
}

impl Entry {
    /// Reads a line that was added at `now_ms`. Any text is a line.
    #[must_use]
    pub fn parse(seq: u64, now_ms: i64, source: &Arc<str>, line: &str) -> Self {
        let (at_ms, level, text) = json(line).unwrap_or_else(|| plain(line));
        let tomorrow = now_ms.saturating_add(86_400_000);
        let at_ms = at_ms.filter(|at| (1..tomorrow).contains(at)).unwrap_or(now_ms);
        Self { seq, at_ms, level, source: Arc::clone(source), text }
    }
}

type Parts = (Option<i64>, Level, String);

fn json(line: &str) -> Option<Parts> {
    if !line.starts_with('{') {
        return None;
    }
    let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else { return None };
    let at_ms = TIMES.iter().find_map(|name| fields.remove(*name)).and_then(|time| time_of(&time));
    let level =
        LEVELS.iter().find_map(|name| fields.remove(*name)).map(|level| level_of(&level)).unwrap_or_default();
    // tracing-subscriber's JSON nests what was said.
    if let Some(Value::Object(nested)) = fields.remove("fields") {
        fields.extend(nested);
    }
    let text = TEXTS.iter().find_map(|name| match fields.get(*name) {
        Some(Value::String(_)) => match fields.remove(*name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        },
        _ => None,
    });
    let mut text = text.unwrap_or_default();
    for (name, value) in &fields {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(name);
        text.push('=');
        match value {
            Value::String(value) => text.push_str(value),
            value => text.push_str(&value.to_string()),
        }
    }
    Some((at_ms, level, text))
}

fn time_of(time: &Value) -> Option<i64> {
    match time {
        Value::String(text) => {
            text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond).or_else(|| civil(text))
        }
        // By its size: seconds, milliseconds, microseconds or nanoseconds since 1970.
        Value::Number(number) => {
            let number = number.as_f64()?;
            let scale = [(1e11, 1000.0), (1e14, 1.0), (1e17, 1e-3), (f64::INFINITY, 1e-6)];
            let (_, scale) = scale.iter().find(|(below, _)| number < *below)?;
            Some((number * scale) as i64)
        }
        _ => None,
    }
}

fn level_of(level: &Value) -> Level {
    match level {
        Value::String(word) => Level::parse(word).unwrap_or_default(),
        Value::Number(number) => number.as_i64().map(Level::of_number).unwrap_or_default(),
        _ => Level::Unknown,
    }
}

fn plain(line: &str) -> Parts {
    let (at_ms, rest) = time_in_front(line);
    let mut level = Level::Unknown;
    for word in rest.split_ascii_whitespace().take(HEAD_WORDS) {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphabetic());
        // In lower case it may be a word of the text: only with something around it, as in `[error]` or `level=info`.
        let marked = bare.len() < word.len() || bare.bytes().all(|byte| byte.is_ascii_uppercase());
        let named = word.strip_prefix("level=").or(word.strip_prefix("lvl="));
        let found =
            named.map(|value| value.trim_matches('"')).or(marked.then_some(bare)).and_then(Level::parse);
        if let Some(found) = found {
            level = found;
            break;
        }
    }
    (at_ms, level, rest.trim().to_owned())
}

/// The time a line begins with, and what follows it.
fn time_in_front(line: &str) -> (Option<i64>, &str) {
    let opened = line.trim_start().trim_start_matches(['[', '"', '<']);
    // 2026-11-21T16:37:02.123Z, with an offset or without
    if let Some((first, rest)) = split(opened, 1) {
        let stamp = first.trim_end_matches([']', '"', '>', ',']);
        if stamp.len() >= 16 {
            let at = stamp.parse::<Timestamp>().ok().map(Timestamp::as_millisecond).or_else(|| civil(stamp));
            if at.is_some() {
                return (at, rest);
            }
        }
    }
    // 2026-11-21 16:37:02,123 and 2026/11/21 16:37:02
    if let Some((first, rest)) = split(opened, 2) {
        let at = civil(first.trim_end_matches([']', '"', '>', ',']));
        if at.is_some() {
            return (at, rest);
        }
    }
    (None, line)
}

/// The first so many words, and the rest.
fn split(text: &str, words: usize) -> Option<(&str, &str)> {
    let mut end = 0;
    for _ in 0..words {
        let rest = &text[end..];
        let begin = end + rest.len() - rest.trim_start().len();
        let word = text[begin..].find(char::is_whitespace).unwrap_or(text.len() - begin);
        if word == 0 {
            return None;
        }
        end = begin + word;
    }
    Some((&text[..end], &text[end..]))
}

/// A date and a time without a zone: read as UTC.
fn civil(text: &str) -> Option<i64> {
    if !(16..=40).contains(&text.len()) || !text.is_ascii() || !text.starts_with(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    let text = text.trim_end_matches('Z').replacen('/', "-", 2).replace(',', ".");
    let civil: DateTime = text.parse().ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_795_279_022_000;

    fn parse(line: &str) -> (i64, Level, String) {
        let Entry { at_ms, level, text, .. } = Entry::parse(1, NOW, &"s".into(), line);
        (at_ms, level, text)
    }

    #[test]
    fn lines_of_many_programs_tell_their_time_and_level() {
        let at = "2026-11-20T10:11:12.345Z".parse::<Timestamp>().unwrap().as_millisecond();
        for (line, at, level, text) in [
            ("2026-11-20T10:11:12.345Z  INFO tidemill: begins", at, Level::Info, "INFO tidemill: begins"),
            ("[2026-11-20T11:11:12.345+01:00] [error] no room", at, Level::Error, "[error] no room"),
            ("2026-11-20 10:11:12,345 WARNING disk", at, Level::Warning, "WARNING disk"),
            ("2026/11/20 10:11:12 [crit] 7#7: *1 open()", at - 345, Level::Critical, "[crit] 7#7: *1 open()"),
            (
                "{\"ts\":1795169472.345,\"level\":\"warn\",\"msg\":\"slow\",\"ms\":5}",
                at,
                Level::Warning,
                "slow ms=5",
            ),
            ("{\"time\":1795169472345,\"level\":50,\"msg\":\"down\"}", at, Level::Error, "down"),
            (
                "{\"timestamp\":\"2026-11-20T10:11:12.345Z\",\"level\":\"ERROR\",\"fields\":{\"message\":\"no\",\"n\":1}}",
                at,
                Level::Error,
                "no n=1",
            ),
            ("level=error msg=\"no such host\"", NOW, Level::Error, "level=error msg=\"no such host\""),
            ("an error of mine", NOW, Level::Unknown, "an error of mine"),
            ("9999-01-01T00:00:00Z later", NOW, Level::Unknown, "later"),
            ("{broken", NOW, Level::Unknown, "{broken"),
            ("", NOW, Level::Unknown, ""),
        ] {
            assert_eq!(parse(line), (at, level, text.to_owned()), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_line(line in ".{0,200}", json in "\\{.{0,100}\\}", dated in "20[0-9]{2}-[0-9]{2}-[0-9]{2}[T ][0-9:.,]{0,12}.{0,20}") {
            for line in [line, json, dated] {
                let (at, ..) = parse(&line);
                prop_assert!(at > 0 && at < NOW + 86_400_000);
            }
        }
    }
}
