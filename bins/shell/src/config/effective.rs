//! What a configuration amounts to: each value, and where it was set.

use std::fmt;

use serde::Serialize;
use serde_json::Value as Json;

use super::secrets::{MASK, Secrets};
use super::tree::{Node, Origin, Table, Value};

/// One value of a configuration. `Display` is a line of TOML with the origin as its comment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Effective {
    /// Dotted, with indices: `provider.0.base_url`.
    pub path: String,
    /// As TOML writes it; `***` for a secret, `unset` for an empty option.
    pub value: String,
    /// Where it was set.
    pub source: Origin,
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}  # {}", self.path, self.value, self.source)
    }
}

/// All values of `config` as it serializes, and those of the tree that it does not serialize (secrets).
pub(super) fn list(config: &impl Serialize, tree: &Table, secrets: &Secrets) -> Vec<Effective> {
    let mut listed = Listed { all: Vec::new(), tree, secrets };
    // A type that cannot be shown as JSON (a map with keys that are no text) is shown as far as it was set.
    if let Ok(json) = serde_json::to_value(config) {
        listed.json("", &json);
    }
    listed.table("", tree);
    listed.all
}

/// The origin of the value at `path`, or of the nearest value around it that was set as a whole.
pub(super) fn origin(tree: &Table, path: &str) -> Origin {
    let mut names = path.split('.');
    let Some(mut node) = names.next().and_then(|name| tree.get(name)) else { return Origin::Default };
    for name in names {
        let next = match &node.value {
            Value::Table(table) => table.get(name),
            Value::Array(items) => name.parse().ok().and_then(|index: usize| items.get(index)),
            _ => return node.origin.clone(),
        };
        match next {
            Some(next) => node = next,
            None => return Origin::Default,
        }
    }
    node.origin.clone()
}

struct Listed<'a> {
    all: Vec<Effective>,
    tree: &'a Table,
    secrets: &'a Secrets,
}

impl Listed<'_> {
    fn json(&mut self, path: &str, value: &Json) {
        match value {
            Json::Object(fields) if !fields.is_empty() || path.is_empty() => {
                for (name, value) in fields {
                    self.json(&join(path, name), value);
                }
            }
            Json::Array(items) if items.iter().any(Json::is_object) => {
                for (index, item) in items.iter().enumerate() {
                    self.json(&join(path, &index.to_string()), item);
                }
            }
            leaf => {
                let secret = self.secrets.covers(path) && carries_text(leaf);
                let value = if secret { MASK.to_owned() } else { toml_text(leaf) };
                self.all.push(Effective { path: path.to_owned(), value, source: origin(self.tree, path) });
            }
        }
    }

    /// What was set but is not shown yet: fields that a type takes in and does not give out.
    fn table(&mut self, path: &str, table: &Table) {
        for entry in &table.0 {
            self.node(&join(path, &entry.key), &entry.node);
        }
    }

    fn node(&mut self, path: &str, node: &Node) {
        let inside = format!("{path}.");
        match &node.value {
            Value::Table(table) => self.table(path, table),
            Value::Array(items) if items.iter().any(|item| matches!(item.value, Value::Table(_))) => {
                for (index, item) in items.iter().enumerate() {
                    self.node(&join(path, &index.to_string()), item);
                }
            }
            _ if self.all.iter().any(|shown| shown.path == path || shown.path.starts_with(&inside)) => {}
            leaf => {
                let json = tree_json(leaf);
                let secret = self.secrets.covers(path) && carries_text(&json);
                let value = if secret { MASK.to_owned() } else { toml_text(&json) };
                self.all.push(Effective { path: path.to_owned(), value, source: node.origin.clone() });
            }
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Numbers and booleans are no secrets: `max_tokens = 5` may be shown.
fn carries_text(value: &Json) -> bool {
    match value {
        Json::String(text) => !text.is_empty(),
        Json::Array(items) => items.iter().any(carries_text),
        Json::Object(fields) => fields.values().any(carries_text),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

fn toml_text(value: &Json) -> String {
    match value {
        Json::Null => "unset".to_owned(),
        Json::String(text) => toml::Value::String(text.clone()).to_string(),
        Json::Array(items) => format!("[{}]", items.iter().map(toml_text).collect::<Vec<_>>().join(", ")),
        Json::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Json::Object(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| format!("{name} = {}", toml_text(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        plain => plain.to_string(),
    }
}

fn tree_json(value: &Value) -> Json {
    match value {
        Value::Bool(truth) => Json::from(*truth),
        Value::Integer(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::String(text) | Value::Text(text) => Json::from(text.as_str()),
        Value::Array(items) => items.iter().map(|item| tree_json(&item.value)).collect(),
        Value::Table(table) => table
            .0
            .iter()
            .map(|entry| (entry.key.clone(), tree_json(&entry.node.value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}
