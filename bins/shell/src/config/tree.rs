//! One tree of values from all layers; each value remembers where it came from.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use toml::de::{DeArray, DeTable, DeValue};

use super::error::ConfigError;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File {
        /// As it was given.
        path: Arc<PathBuf>,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
    },
    /// An environment variable.
    Env {
        /// Its full name.
        name: String,
    },
    /// A flag on the command line.
    Flag {
        /// As the user writes it, or the dotted path.
        name: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, .. } => write!(f, "{}:{line}", path.display()),
            Self::Env { name } | Self::Flag { name } => f.write_str(name),
        }
    }
}

/// A value and its origin.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Bool(bool),
    Integer(i64),
    Float(f64),
    String(String),
    /// From the environment or a flag: becomes what the field wants.
    Text(String),
    Array(Vec<Node>),
    Table(Table),
}

/// Entries in order of appearance. Configurations are small: looking up is a walk.
#[derive(Clone, Debug, Default)]
pub(super) struct Table(pub(super) Vec<Entry>);

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Where the key stands; differs from the value's origin by the column.
    pub(super) key_origin: Origin,
    pub(super) node: Node,
}

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.0.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Node> {
        let at = self.0.iter().position(|entry| entry.key == key)?;
        Some(self.0.remove(at).node)
    }
}

impl Value {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::String(_) | Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

/// Adds the variables that fields whose name ends in `_env` name, wherever they stand.
pub(super) fn named_variables(table: &Table, names: &mut Vec<String>) {
    for Entry { key, node, .. } in &table.0 {
        match &node.value {
            Value::String(name) if key.ends_with("_env") => names.push(name.clone()),
            Value::Table(inner) => named_variables(inner, names),
            Value::Array(items) => {
                for item in items {
                    if let Value::Table(inner) = &item.value {
                        named_variables(inner, names);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Sets the value at a dotted path. Numbers index arrays; a missing table or the next element of an array is created.
pub(super) fn set(root: &mut Table, path: &str, text: &str, origin: &Origin) -> Result<(), ConfigError> {
    let leaf = Node { origin: origin.clone(), value: Value::Text(text.to_owned()) };
    let fail = |at: &str, problem: String| Err(ConfigError::at(origin.clone(), at, problem));
    let parts: Vec<&str> = path.split('.').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return fail(path, "the path has an empty part; write section.field".to_owned());
    }
    let mut table = root;
    let mut at = 0;
    loop {
        let key = parts[at];
        let last = at + 1 == parts.len();
        let entry = match table.0.iter().position(|entry| entry.key == key) {
            Some(found) => &mut table.0[found],
            None => {
                let indexed = parts.get(at + 1).is_some_and(|next| next.parse::<usize>().is_ok());
                let value = if indexed { Value::Array(Vec::new()) } else { Value::Table(Table::default()) };
                let node = Node { origin: origin.clone(), value };
                table.0.push(Entry { key: key.to_owned(), key_origin: origin.clone(), node });
                let Some(entry) = table.0.last_mut() else { unreachable!("pushed just now") };
                entry
            }
        };
        if last {
            entry.node = leaf;
            entry.key_origin = origin.clone();
            return Ok(());
        }
        at += 1;
        let mut node = &mut entry.node;
        // Walk through as many indices as follow.
        while let (Value::Array(items), Some(Ok(index))) =
            (&node.value, parts.get(at).map(|part| part.parse::<usize>()))
        {
            let here = parts[..at].join(".");
            if index > items.len() {
                let problem = format!(
                    "has {} elements, so the next index is {}, not {index}",
                    items.len(),
                    items.len()
                );
                return fail(&here, problem);
            }
            let last = at + 1 == parts.len();
            let Value::Array(items) = &mut node.value else { unreachable!("matched above") };
            if index == items.len() {
                let indexed = parts.get(at + 1).is_some_and(|next| next.parse::<usize>().is_ok());
                let value = if indexed { Value::Array(Vec::new()) } else { Value::Table(Table::default()) };
                items.push(Node { origin: origin.clone(), value });
            }
            node = &mut items[index];
            at += 1;
            if last {
                *node = leaf;
                return Ok(());
            }
        }
        if at >= parts.len() {
            return fail(path, "ends at an array".to_owned());
        }
        let kind = node.value.kind();
        match &mut node.value {
            Value::Table(next) => table = next,
            Value::Array(_) => return fail(path, format!("\"{}\" is no index of an array", parts[at])),
            _ => {
                let here = parts[..at].join(".");
                return fail(path, format!("{here} is {kind}, so it has no field {}", parts[at]));
            }
        }
    }
}

/// The tree of a TOML text.
pub(super) fn parse(path: &Arc<PathBuf>, text: &str) -> Result<Table, ConfigError> {
    let lines = Lines::of(path, text);
    match DeTable::parse(text) {
        Ok(table) => from_table(table.into_inner(), &lines),
        Err(error) => {
            let origin = lines.origin(error.span().map_or(0, |span| span.start));
            Err(ConfigError::at(origin, "", format!("not valid TOML: {}", one_line(error.message()))))
        }
    }
}

/// A value written in TOML, for variables and flags: `["a", "b"]`, `{ x = 1 }`, `5`.
pub(super) fn parse_value(text: &str, origin: &Origin) -> Option<Node> {
    let value = DeValue::parse(text).ok()?.into_inner();
    from_value(value, &Lines { from: Err(origin.clone()) }, 0).ok()
}

/// Finds lines and columns in a file, or knows that there is none.
struct Lines<'a> {
    from: Result<(Arc<PathBuf>, &'a str), Origin>,
}

impl<'a> Lines<'a> {
    fn of(path: &Arc<PathBuf>, text: &'a str) -> Self {
        Self { from: Ok((path.clone(), text)) }
    }

    fn origin(&self, at: usize) -> Origin {
        let (path, text) = match &self.from {
            Ok(file) => file,
            Err(origin) => return origin.clone(),
        };
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &text[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Origin::File { path: path.clone(), line, column }
    }
}

fn from_table(table: DeTable<'_>, lines: &Lines<'_>) -> Result<Table, ConfigError> {
    let mut entries = Vec::with_capacity(table.len());
    for (key, value) in table {
        let at = value.span().start;
        let key_at = key.span().start;
        let node = from_value(value.into_inner(), lines, at)?;
        entries.push((
            key_at,
            Entry { key: key.into_inner().into_owned(), key_origin: lines.origin(key_at), node },
        ));
    }
    entries.sort_by_key(|(at, _)| *at);
    Ok(Table(entries.into_iter().map(|(_, entry)| entry).collect()))
}

fn from_array(array: DeArray<'_>, lines: &Lines<'_>) -> Result<Vec<Node>, ConfigError> {
    array
        .into_iter()
        .map(|item| {
            let at = item.span().start;
            from_value(item.into_inner(), lines, at)
        })
        .collect()
}

fn from_value(value: DeValue<'_>, lines: &Lines<'_>, at: usize) -> Result<Node, ConfigError> {
    let origin = lines.origin(at);
    let value = match value {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => {
                return Err(ConfigError::at(
                    origin,
                    "",
                    format!("the integer {number} does not fit 64 bits"),
                ));
            }
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => return Err(ConfigError::at(origin, "", format!("{number} is no number"))),
        },
        DeValue::Boolean(truth) => Value::Bool(truth),
        DeValue::Datetime(date) => Value::String(date.to_string()),
        DeValue::Array(items) => Value::Array(from_array(items, lines)?),
        DeValue::Table(table) => Value::Table(from_table(table, lines)?),
    };
    Ok(Node { origin, value })
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
