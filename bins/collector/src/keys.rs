//! API keys: read from where the configuration says, never shown again.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::config::{Provider, read_list};

/// A key. It cannot be printed: `Debug` shows `***`, and there is no `Display` and no `Serialize`.
#[derive(Clone, Eq, PartialEq)]
pub struct ApiKey(String);

impl ApiKey {
    /// The key itself, for a request about to be sent and for the log's redactor.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The keys of `provider`, in the order given. A provider without any key gets one empty key: the limits then hold
/// for the caller as a whole.
pub fn load(provider: &Provider, base: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<ApiKey>> {
    let texts = match (&provider.keys_env, &provider.keys_file) {
        (Some(name), _) => {
            let value = env(name).with_context(|| {
                format!(
                    "provider {:?}: environment variable {name} is not set; keys_env asks for it",
                    provider.name
                )
            })?;
            value
                .split(|c: char| c == ',' || c.is_whitespace())
                .filter(|k| !k.is_empty())
                .map(str::to_owned)
                .collect()
        }
        (None, Some(path)) => read_list(base, path, "keys_file")?,
        (None, None) if provider.keys.is_empty() => return Ok(vec![ApiKey(String::new())]),
        (None, None) => provider.keys.clone(),
    };
    ensure!(!texts.is_empty(), "provider {:?}: its source of keys holds none", provider.name);
    let mut keys: Vec<ApiKey> = Vec::with_capacity(texts.len());
    for (i, text) in texts.into_iter().enumerate() {
        let clean = !text.trim().is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        ensure!(
            clean,
            "provider {:?}: key number {} is empty or holds white space or control characters",
            provider.name,
            i + 1
        );
        ensure!(
            !keys.iter().any(|k| k.0 == text),
            "provider {:?}: key number {} is there twice; its quota would be spent twice as fast",
            provider.name,
            i + 1
        );
        keys.push(ApiKey(text));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider() -> Provider {
        Provider { name: "vendor".into(), ..Provider::default() }
    }

    #[test]
    fn a_key_cannot_be_printed() {
        let keys =
            load(&Provider { keys: vec!["s3cret".into()], ..provider() }, Path::new("."), &|_| None).unwrap();
        assert_eq!(format!("{keys:?}"), "[***]");
        assert_eq!(keys[0].expose(), "s3cret");
    }

    #[test]
    fn the_environment_gives_several() {
        let p = Provider { keys_env: Some("VENDOR_KEYS".into()), ..provider() };
        let keys =
            load(&p, Path::new("."), &|name| (name == "VENDOR_KEYS").then(|| "a, b\nc".into())).unwrap();
        assert_eq!(keys.iter().map(ApiKey::expose).collect::<Vec<_>>(), ["a", "b", "c"]);
        let error = load(&p, Path::new("."), &|_| None).unwrap_err().to_string();
        assert!(error.contains("VENDOR_KEYS is not set"), "{error}");
    }

    #[test]
    fn the_same_key_twice_is_a_mistake_that_does_not_show_the_key() {
        let p = Provider { keys: vec!["hush".into(), "hush".into()], ..provider() };
        let error = load(&p, Path::new("."), &|_| None).unwrap_err().to_string();
        assert!(error.contains("number 2") && !error.contains("hush"), "{error}");
    }
}
