//! A configuration error: where, which field, what is wrong and what to write instead.

use std::fmt;

use super::secrets::{MASK, Secrets};
use super::tree::{Node, Origin, Value};

/// A value that cannot be used. `Display` is one line: place, field, problem and remedy; it never shows a secret.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    origin: Origin,
    path: String,
    problem: String,
}

impl ConfigError {
    /// An error of the caller's own checks, placed where the value was set. See [`super::Loaded::error`].
    pub(super) fn at(origin: Origin, path: &str, problem: impl Into<String>) -> Self {
        Self { origin, path: path.to_owned(), problem: problem.into() }
    }

    /// Where the wrong value was set.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The dotted path of the field; empty when the text is not even TOML.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong and what to do.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File { path, line, column } => write!(f, "{}:{line}:{column}: ", path.display())?,
            Origin::Default => {}
            set => write!(f, "{set}: ")?,
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for ConfigError {}

/// An error on its way up through serde: gets its place from the innermost value, its path from all around.
#[derive(Debug)]
pub(super) struct Unplaced {
    problem: String,
    path: Vec<String>,
    origin: Option<Origin>,
    /// What the wrong value reads like, to be masked when the path turns out to be secret.
    value: Option<String>,
}

impl Unplaced {
    /// Remembers the place unless a deeper one is known.
    pub(super) fn here(mut self, node: &Node) -> Self {
        if self.origin.is_none() {
            self.origin = Some(node.origin.clone());
            self.value = match &node.value {
                Value::String(text) | Value::Text(text) => Some(text.clone()),
                Value::Integer(number) => Some(number.to_string()),
                Value::Float(number) => Some(number.to_string()),
                Value::Bool(_) | Value::Array(_) | Value::Table(_) => None,
            };
        }
        self
    }

    /// The error concerns a key, not its value.
    pub(super) fn at_key(mut self, origin: &Origin) -> Self {
        self.origin.get_or_insert_with(|| origin.clone());
        self
    }

    /// One step up.
    pub(super) fn within(mut self, name: &str) -> Self {
        self.path.push(name.to_owned());
        self
    }

    pub(super) fn place(mut self, secrets: &Secrets) -> ConfigError {
        self.path.reverse();
        let path = self.path.join(".");
        let mut problem = self.problem;
        if let Some(value) = self.value.filter(|value| !value.is_empty() && secrets.covers(&path)) {
            problem = problem.replace(&value, MASK).replace(&value.escape_debug().to_string(), MASK);
        }
        ConfigError { origin: self.origin.unwrap_or(Origin::Default), path, problem }
    }
}

impl fmt::Display for Unplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Unplaced {}

impl serde::de::Error for Unplaced {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self { problem: problem.to_string(), path: Vec::new(), origin: None, value: None }
    }

    fn invalid_type(found: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::custom(format_args!("expected {expected}, found {found}"))
    }

    fn invalid_value(found: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::custom(format_args!("{found} is not allowed; write {expected}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format_args!("the field {field} is missing; add it"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::custom(format_args!("the field {field} is given twice; remove one"))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::custom(format_args!("unknown field; {}", remedy(field, known)))
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::custom(format_args!("unknown value \"{variant}\"; {}", remedy(variant, known)))
    }
}

/// The nearest known name, and all of them when they are few.
fn remedy(wrong: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|name| (distance(wrong, name), *name)).min();
    let few = || known.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    match nearest {
        Some((distance, name)) if distance <= 1 + name.len() / 4 => format!("did you mean \"{name}\"?"),
        Some(_) if known.len() <= 24 => format!("known are {}", few()),
        _ => "remove it".to_owned(),
    }
}

/// Edits between two names, a swap of neighbours counted as two.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (corner + usize::from(from != *to)).min(above + 1).min(row[j] + 1);
            corner = above;
        }
    }
    row[b.len()]
}
