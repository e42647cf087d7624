//! Which paths of a configuration hold secrets, so that their values are never shown.

/// Words that make a field secret, wherever they stand in its name.
const ANYWHERE: [&str; 4] = ["password", "passwd", "secret", "apikey"];
/// Words that make a field secret when they are a word of its name: `api_key`, `keys`, but not `monkey`.
const WORDS: [&str; 4] = ["key", "keys", "token", "tokens"];
/// Fields that say where a secret is, not what it is.
const POINTERS: [&str; 3] = ["_env", "_file", "_path"];

/// What stands where a secret stood.
pub(super) const MASK: &str = "***";

/// Paths named by the caller, and names that speak for themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets {
    pub(super) paths: Vec<String>,
}

impl Secrets {
    /// Whether the value at this dotted path, or anything it stands in, is secret. Indices of arrays do not matter.
    pub(super) fn covers(&self, path: &str) -> bool {
        let names: Vec<&str> = path.split('.').filter(|name| name.parse::<usize>().is_err()).collect();
        names.iter().any(|name| speaks(name))
            || self.paths.iter().any(|named| {
                let named: Vec<&str> =
                    named.split('.').filter(|name| name.parse::<usize>().is_err()).collect();
                !named.is_empty() && names.starts_with(&named)
            })
    }
}

fn speaks(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if POINTERS.iter().any(|end| name.ends_with(end)) {
        return false;
    }
    ANYWHERE.iter().any(|word| name.contains(word))
        || name.split(['_', '-']).any(|word| WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_speak_for_themselves() {
        let secrets = Secrets { paths: vec!["provider.login".to_owned()] };
        for path in
            ["provider.0.keys", "provider.0.keys.1", "api_key", "db.password", "x.client_secret", "token"]
        {
            assert!(secrets.covers(path), "{path}");
        }
        for path in ["provider.12.login", "provider.login.name"] {
            assert!(secrets.covers(path), "{path}");
        }
        for path in
            ["provider.0.keys_env", "provider.keys_file", "monkey", "provider.0.name", "log_in", "login"]
        {
            assert!(!secrets.covers(path), "{path}");
        }
    }
}
