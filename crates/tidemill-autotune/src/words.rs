//! The small language of rules: words, numbers with units, and where in the text they stand.

use std::time::Duration;

use crate::error::Error;

/// The longest text of one rule.
pub(crate) const MAX_TEXT: usize = 1024;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Word(String),
    /// A number and the unit that stands at it, if any.
    Number(f64, String),
    Sign(&'static str),
}

const SIGNS: [&str; 12] = [">=", "<=", ">", "<", "(", ")", ",", "*", "+", "-", "=", ";"];

/// A text as tokens, with the character each begins at.
#[derive(Debug)]
pub(crate) struct Tokens<'a> {
    text: &'a str,
    tokens: Vec<(usize, Token)>,
    next: usize,
}

impl<'a> Tokens<'a> {
    pub(crate) fn read(text: &'a str) -> Result<Self, Error> {
        if text.len() > MAX_TEXT {
            return Err(Error::syntax(text, MAX_TEXT, format!("longer than {MAX_TEXT} bytes")));
        }
        let mut tokens = Vec::new();
        let mut at = 0;
        while let Some(first) = text[at..].chars().next() {
            let rest = &text[at..];
            let length = if first.is_whitespace() {
                first.len_utf8()
            } else if first.is_ascii_digit() {
                let digits = run(rest, |c| c.is_ascii_digit() || c == '.');
                let unit = run(&rest[digits..], |c| c.is_alphabetic() || c == '%');
                let number = rest[..digits].parse().map_err(|_| Error::syntax(text, at, "not a number"))?;
                tokens.push((at, Token::Number(number, rest[digits..digits + unit].to_owned())));
                digits + unit
            } else if first.is_alphabetic() || first == '_' || is_glob(rest) {
                let length = run(rest, |c| c.is_alphanumeric() || matches!(c, '_' | '.' | '*' | '-'));
                tokens.push((at, Token::Word(rest[..length].to_owned())));
                length
            } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                tokens.push((at, Token::Sign(sign)));
                sign.len()
            } else {
                return Err(Error::syntax(text, at, format!("{first:?} has no meaning here")));
            };
            at += length;
        }
        Ok(Self { text, tokens, next: 0 })
    }

    pub(crate) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    pub(crate) fn take(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.next += usize::from(token.is_some());
        token
    }

    /// Takes the next token when it is this word.
    pub(crate) fn word(&mut self, word: &str) -> bool {
        let there = matches!(self.peek(), Some(Token::Word(found)) if found == word);
        self.next += usize::from(there);
        there
    }

    /// Takes the next token when it is this sign.
    pub(crate) fn sign(&mut self, sign: &str) -> bool {
        let there = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        self.next += usize::from(there);
        there
    }

    pub(crate) fn is_done(&self) -> bool {
        self.next == self.tokens.len()
    }

    /// An error at the next token.
    pub(crate) fn expected(&self, what: &str) -> Error {
        let at = self.tokens.get(self.next).map_or(self.text.len(), |(at, _)| *at);
        Error::syntax(self.text, self.text[..at].chars().count(), format!("expected {what}"))
    }
}

/// A star that begins a name, as in `*.capacity`, and not a product.
fn is_glob(rest: &str) -> bool {
    rest.starts_with("*.")
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// A number with a unit of time; bare numbers are seconds.
pub(crate) fn span(number: f64, unit: &str) -> Option<Duration> {
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok()
}
