//! Which labels are meant: equal to a pattern with `*`, or not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Names and values of an alert, `alertname`, `severity` and `target` among them.
pub type Labels = BTreeMap<String, String>;

/// Matchers of one silence, rule or inhibition at most.
pub const MAX_MATCHERS: usize = 32;

/// One label and what it has to be. A label that is absent is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matcher {
    /// Name of the label.
    pub name: String,
    /// Its value; `*` stands for any number of characters.
    pub value: String,
    /// Whether it has to match, or must not. Default true.
    #[serde(default = "yes", rename = "isEqual", alias = "is_equal")]
    pub is_equal: bool,
}

impl Matcher {
    /// The label has to match.
    #[must_use]
    pub fn new(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), value: value.to_owned(), is_equal: true }
    }

    /// Whether these labels are meant.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.name).map_or("", String::as_str);
        like(&self.value, value) == self.is_equal
    }
}

/// Whether every matcher agrees; none agree with nothing, so that an empty silence does not silence everything.
#[must_use]
pub(super) fn all(matchers: &[Matcher], labels: &Labels) -> bool {
    !matchers.is_empty() && matchers.iter().all(|matcher| matcher.matches(labels))
}

/// Whether `text` is like `pattern`, in which `*` stands for anything. Linear but for stars: each one is tried from the
/// left once, since what stands before the last star never has to move.
#[must_use]
pub(super) fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                t = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text) in
            [("", ""), ("*", ""), ("*", "abc"), ("a*c", "abbc"), ("*b*", "abc"), ("a**", "a")]
        {
            assert!(like(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a", "ab"), ("a*c", "abcd"), ("*b", "abc"), ("ab*", "a")] {
            assert!(!like(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn no_matcher_silences_nothing() {
        let labels = Labels::from([("target".to_owned(), "host".to_owned())]);
        assert!(!all(&[], &labels));
        assert!(all(&[Matcher::new("target", "h*")], &labels));
        let other = Matcher { is_equal: false, ..Matcher::new("target", "host") };
        assert!(!all(&[Matcher::new("target", "host"), other], &labels));
        assert!(Matcher::new("absent", "").matches(&labels));
    }

    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            Some((byte, rest)) => text.first() == Some(byte) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn it_is_what_the_definition_says(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(like(&pattern, &text), naive(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
