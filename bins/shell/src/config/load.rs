//! Puts the layers together: file, then environment, then flags.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::de::From;
use super::effective::{self, Effective};
use super::error::ConfigError;
use super::secrets::Secrets;
use super::tree::{self, Node, Origin, Table, Value};

/// What variables of ours begin with.
const PREFIX: &str = "TIDEMILL_";
/// The version of configuration files that this build reads.
const VERSION: i64 = 1;
/// A configuration file is refused beyond this many bytes.
const MAX_FILE: u64 = 16 << 20;

/// A value from the command line.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Flag {
    /// Dotted path of the field, such as `provider.0.base_url`.
    pub path: String,
    /// As the user wrote it.
    pub value: String,
    /// What errors call it, such as `--listen`.
    pub name: String,
}

impl Flag {
    /// A flag that errors call by its path.
    pub fn new(path: impl Into<String>, value: impl Into<String>) -> Self {
        let path = path.into();
        Self { name: path.clone(), path, value: value.into() }
    }

    /// A flag that errors call by the name the user knows, such as `--listen`.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

/// A further environment variable for a field, such as `MONITORING_INTERVAL`. `TIDEMILL_…` for the same field wins.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Alias {
    /// The full name of the variable.
    pub name: &'static str,
    /// Dotted path of the field.
    pub path: &'static str,
}

impl Alias {
    /// `name` sets `path`.
    pub const fn new(name: &'static str, path: &'static str) -> Self {
        Self { name, path }
    }
}

/// The layers of a configuration, weakest first: file, environment, flags.
#[derive(Clone, Debug)]
pub struct Sources<I> {
    /// A TOML file; it must exist.
    pub file: Option<PathBuf>,
    /// All environment variables: [`std::env::vars`] in `main`. Those that are not ours are passed over.
    pub env: I,
    /// Values from the command line, later ones win.
    pub flags: Vec<Flag>,
    /// Further names of variables.
    pub aliases: Vec<Alias>,
    /// Variables that begin with `TIDEMILL_` but are no field, such as `TIDEMILL_LOG`. Those that a field of the file whose name ends
    /// in `_env` names are none either.
    pub not_fields: Vec<&'static str>,
    /// Dotted paths, without indices, whose values are secret although their name does not say so.
    pub secrets: Vec<String>,
}

impl<I> Sources<I> {
    /// Only the environment.
    pub fn new(env: I) -> Self {
        let (flags, aliases, not_fields, secrets) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { file: None, env, flags, aliases, not_fields, secrets }
    }

    /// With a file below it.
    #[must_use]
    pub fn file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// With one flag more.
    #[must_use]
    pub fn flag(mut self, flag: Flag) -> Self {
        self.flags.push(flag);
        self
    }
}

/// A configuration and where each of its values came from.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The configuration itself.
    pub value: T,
    tree: Table,
    secrets: Secrets,
}

impl<T> Loaded<T> {
    /// Where the value at a dotted path was set; the nearest value around it when it was set as a whole.
    pub fn origin(&self, path: &str) -> Origin {
        effective::origin(&self.tree, path)
    }

    /// An error of the caller's own checks, placed where the field was set.
    pub fn error(&self, path: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::at(self.origin(path), path, problem)
    }
}

impl<T: Serialize> Loaded<T> {
    /// Every value with its origin, sorted by name; secrets are masked.
    pub fn effective(&self) -> Vec<Effective> {
        effective::list(&self.value, &self.tree, &self.secrets)
    }
}

/// Reads the layers into `T`. The key `config_version` is checked here (1) and is no field of `T`.
///
/// # Errors
/// The first thing that is wrong: an unreadable file, TOML that is none, an unknown field, a wrong type, another
/// `config_version`; with file, line and column, or the name of the variable or flag, and the field.
pub fn load<T: DeserializeOwned>(
    sources: Sources<impl IntoIterator<Item = (String, String)>>,
) -> Result<Loaded<T>, ConfigError> {
    let secrets = Secrets { paths: sources.secrets };
    let mut root_origin = Origin::Default;
    let mut tree = Table::default();
    if let Some(path) = sources.file {
        let path = Arc::new(path);
        root_origin = Origin::File { path: path.clone(), line: 1, column: 1 };
        tree = tree::parse(&path, &read(&path)?)?;
    }
    let mut not_fields: Vec<String> = sources.not_fields.iter().map(|name| (*name).to_owned()).collect();
    tree::named_variables(&tree, &mut not_fields);
    for Variable { name, path, value } in variables(sources.env, &sources.aliases, &not_fields) {
        tree::set(&mut tree, &path, &value, &Origin::Env { name })?;
    }
    for flag in sources.flags {
        tree::set(&mut tree, &flag.path, &flag.value, &Origin::Flag { name: flag.name })?;
    }
    check_version(tree.remove("config_version"))?;
    let root = Node { origin: root_origin, value: Value::Table(tree) };
    let value = T::deserialize(From(&root)).map_err(|error| error.here(&root).place(&secrets))?;
    let Value::Table(tree) = root.value else { unreachable!("built as a table above") };
    Ok(Loaded { value, tree, secrets })
}

fn read(path: &Arc<PathBuf>) -> Result<String, ConfigError> {
    let fail =
        |problem: String| ConfigError::at(Origin::Default, "", format!("{}: {problem}", path.display()));
    let size = std::fs::metadata(path.as_path()).map(|found| found.len());
    match size {
        Ok(bytes) if bytes > MAX_FILE => {
            return Err(fail(format!("larger than {} MB; is it a configuration?", MAX_FILE >> 20)));
        }
        Err(error) => return Err(fail(format!("cannot be read: {error}; check --config"))),
        Ok(_) => {}
    }
    std::fs::read_to_string(path.as_path())
        .map_err(|error| fail(format!("cannot be read: {error}; check --config")))
}

fn check_version(version: Option<Node>) -> Result<(), ConfigError> {
    let Some(node) = version else { return Ok(()) };
    let found = match &node.value {
        Value::Integer(number) => Some(*number),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    match found {
        Some(VERSION) => Ok(()),
        Some(other) => {
            let problem = format!(
                "is {other}, but this build reads version {VERSION}; write config_version = {VERSION}"
            );
            Err(ConfigError::at(node.origin, "config_version", problem))
        }
        None => {
            let problem = format!("expected an integer; write config_version = {VERSION}");
            Err(ConfigError::at(node.origin, "config_version", problem))
        }
    }
}

struct Variable {
    name: String,
    path: String,
    value: String,
}

/// Our variables, aliases first, then by path with indices in numeric order, so that arrays grow from their start.
fn variables(
    env: impl IntoIterator<Item = (String, String)>,
    aliases: &[Alias],
    not_fields: &[String],
) -> Vec<Variable> {
    let mut found = Vec::new();
    for (name, value) in env {
        if let Some(alias) = aliases.iter().find(|alias| alias.name == name) {
            found.push((false, Variable { name, path: alias.path.to_owned(), value }));
        } else if let Some(rest) = name.strip_prefix(PREFIX).filter(|_| !not_fields.contains(&name)) {
            let path = rest.to_ascii_lowercase().replace("__", ".");
            found.push((true, Variable { name, path, value }));
        }
    }
    found.sort_by_cached_key(|(own, variable)| {
        let parts: Vec<_> =
            variable.path.split('.').map(|part| (part.parse::<usize>().ok(), part.to_owned())).collect();
        (*own, parts)
    });
    found.into_iter().map(|(_, variable)| variable).collect()
}
