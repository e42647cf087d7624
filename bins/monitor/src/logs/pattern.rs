//! Patterns that somebody wants to hear of: counted, so that an alert rule can look at them.

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::level::Level;

/// A `[[logs.pattern]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pattern {
    /// Unique; becomes the label `pattern` of `log_pattern_matches_total`.
    pub name: String,
    /// A text that is in the line, whatever its case.
    pub contains: Option<String>,
    /// A regular expression that matches somewhere in the line.
    pub regex: Option<String>,
    /// Only lines of at least this level. Default any.
    pub level: Option<Level>,
    /// Only of this source. Default any.
    pub source: Option<String>,
}

/// Patterns made ready, and how often each was seen.
#[derive(Debug, Default)]
pub struct Patterns {
    all: Vec<(Pattern, Option<Regex>, u64)>,
}

impl Patterns {
    /// Makes them ready.
    ///
    /// # Errors
    /// The pattern and field that is wrong.
    pub fn new(patterns: &[Pattern]) -> Result<Self, String> {
        let mut all = Vec::new();
        for pattern in patterns {
            let of = |wants: String| format!("log pattern {:?}: {wants}", pattern.name);
            if pattern.name.is_empty() || patterns.iter().filter(|one| one.name == pattern.name).count() > 1 {
                return Err(of("`name` must be there, and only once".to_owned()));
            }
            let text = match (&pattern.contains, &pattern.regex) {
                (Some(text), None) if !text.is_empty() => regex::escape(text),
                (None, Some(text)) => text.clone(),
                (None, None) if pattern.level.is_some() => {
                    all.push((pattern.clone(), None, 0));
                    continue;
                }
                _ => return Err(of("give `contains` or `regex`, or a `level` alone".to_owned())),
            };
            let ready = RegexBuilder::new(&text)
                .case_insensitive(pattern.contains.is_some())
                .size_limit(1 << 20)
                .build();
            all.push((pattern.clone(), Some(ready.map_err(|error| of(format!("`regex`: {error}")))?), 0));
        }
        Ok(Self { all })
    }

    /// Counts a line in each pattern it matches.
    pub fn count(&mut self, entry: &Entry) {
        for (pattern, regex, count) in &mut self.all {
            let meant = pattern.level.is_none_or(|level| entry.level >= level)
                && pattern.source.as_deref().is_none_or(|source| source == &*entry.source);
            if meant && regex.as_ref().is_none_or(|regex| regex.is_match(&entry.text)) {
                *count += 1;
            }
        }
    }

    /// Each name and how often it was seen.
    pub fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.all.iter().map(|(pattern, _, count)| (pattern.name.as_str(), *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_by_text_expression_level_and_source() {
        let patterns: Vec<Pattern> = [
            Pattern { name: "text".to_owned(), contains: Some("OUT OF".to_owned()), ..Pattern::default() },
            Pattern {
                name: "code".to_owned(),
                regex: Some("code=5\\d\\d\\b".to_owned()),
                ..Pattern::default()
            },
            Pattern {
                name: "grave".to_owned(),
                level: Some(Level::Error),
                source: Some("a".to_owned()),
                ..Pattern::default()
            },
        ]
        .to_vec();
        let mut counted = Patterns::new(&patterns).unwrap();
        for (source, line) in [("a", "ERROR out of memory code=503"), ("b", "ERROR code=404"), ("a", "fine")]
        {
            counted.count(&Entry::parse(0, 1, &source.into(), line));
        }
        assert_eq!(counted.counts().collect::<Vec<_>>(), [("text", 1), ("code", 1), ("grave", 1)]);
        let wrong = Pattern { name: "w".to_owned(), regex: Some("(".to_owned()), ..Pattern::default() };
        assert!(Patterns::new(&[wrong]).unwrap_err().contains("\"w\""));
        assert!(Patterns::new(&[Pattern { name: "n".to_owned(), ..Pattern::default() }]).is_err());
    }
}
