//! Which kind of contender an argument names; both must be of one kind.

use anyhow::{Result, bail};

/// What is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Two addresses.
    Address,
    /// Two scenario files.
    Scenario,
    /// Two commands that serve on a port we choose.
    Served,
    /// Two commands, timed from start to end.
    Timed,
}

/// The kind of both.
///
/// # Errors
/// When they are of two kinds.
pub fn kind(a: &str, b: &str) -> Result<Kind> {
    let (kind, other) = (of(a), of(b));
    if kind != other {
        bail!("A is {}, B is {}; compare two of one kind", kind.name(), other.name());
    }
    Ok(kind)
}

fn of(text: &str) -> Kind {
    if ["http://", "https://", "ws://", "wss://", "tcp://"].iter().any(|scheme| text.starts_with(scheme)) {
        Kind::Address
    } else if text.contains("{port}") {
        Kind::Served
    } else if text.ends_with(".toml") && !text.contains(' ') {
        Kind::Scenario
    } else {
        Kind::Timed
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Address => "an address",
            Self::Scenario => "a scenario",
            Self::Served => "a command that serves on {port}",
            Self::Timed => "a command to be timed",
        }
    }
}

/// A command line as words; quotes keep blanks together, a backslash takes the next character as it is. No shell sees it.
///
/// # Errors
/// A quote that is not closed, or no word at all.
pub(super) fn words(line: &str) -> Result<Vec<String>> {
    let (mut words, mut word, mut begun) = (Vec::new(), String::new(), false);
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some('\''), _) => word.push(letter),
            (_, '\\') => {
                word.extend(letters.next());
                begun = true;
            }
            (Some(_), _) => word.push(letter),
            (None, '"' | '\'') => (quote, begun) = (Some(letter), true),
            (None, blank) if blank.is_whitespace() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (None, _) => {
                word.push(letter);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    match (quote, words.is_empty()) {
        (Some(open), _) => bail!("the command {line} has a {open} that is not closed"),
        (_, true) => bail!("a command is empty"),
        _ => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_one_kind_are_compared() {
        assert_eq!(kind("http://127.0.0.1/", "https://x/").unwrap(), Kind::Address);
        assert_eq!(kind("a.toml", "b.toml").unwrap(), Kind::Scenario);
        assert_eq!(kind("old --port {port}", "new --port {port}").unwrap(), Kind::Served);
        assert_eq!(kind("sort a.toml", "sort b.toml").unwrap(), Kind::Timed);
        let mixed = kind("a.toml", "http://127.0.0.1/").unwrap_err().to_string();
        assert!(mixed.contains("a scenario") && mixed.contains("an address"), "{mixed}");
    }

    #[test]
    fn a_command_line_becomes_words() {
        assert_eq!(words(" a  'b c' d\\ e \"f'\\\"g\" ''").unwrap(), ["a", "b c", "d e", "f'\"g", ""]);
        assert!(words("a 'b").is_err() && words("  ").is_err());
    }
}
