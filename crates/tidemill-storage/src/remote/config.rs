//! What an operator may set about the remote, and the keys to it.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Error;

/// Settings of a remote: where it is, when a commit counts, and every bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemoteConfig {
    /// Name of the bucket. It must exist.
    pub bucket: String,
    /// Where in the bucket the tables stand, without slashes at its ends. Default `""`.
    pub prefix: String,
    /// Region of the bucket. Default `"us-east-1"`.
    pub region: String,
    /// Scheme, host and port of a server other than Amazon's, asked by path. `http://` is accepted when it is written so.
    pub endpoint: Option<String>,
    /// When a commit is acknowledged. Default `"local"`.
    pub ack: Ack,
    /// Requests under way at once, each with at most `part_bytes` in memory. Default 10, 1 to 64.
    pub concurrency: usize,
    /// Longer files are sent in parts of this many bytes. Default 8 MiB, 5 MiB to 512 MiB.
    pub part_bytes: u64,
    /// Readers fetch blocks of this many bytes. Default 1 MiB, 64 KiB to 64 MiB.
    pub block_bytes: u64,
    /// Blocks kept of each file that is open to read. Default 16, 1 to 1024. The checksum of a file that fits them is compared
    /// before it is believed; that of a longer one by `verify` alone, as it would have to be fetched whole.
    pub blocks: usize,
    /// Longest time one request may take, retries included. Default `"1m"`.
    #[serde(with = "crate::config::duration")]
    pub timeout: Duration,
    /// How long a key that no manifest names any more stays for readers. Default `"10m"`.
    #[serde(with = "crate::config::duration")]
    pub reader_grace: Duration,
}

/// When a commit is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ack {
    /// When it is durable on the local disk. [`Store::push`](crate::Store::push) sends snapshots from time to time.
    #[default]
    Local,
    /// When the remote's manifest names files that hold it: the loss of the machine loses nothing acknowledged. Each commit, or
    /// group of commits, then costs a publish and a push.
    Remote,
}

impl Default for RemoteConfig {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            prefix: String::new(),
            region: "us-east-1".into(),
            endpoint: None,
            ack: Ack::Local,
            concurrency: 10,
            part_bytes: 8 << 20,
            block_bytes: 1 << 20,
            blocks: 16,
            timeout: Duration::from_secs(60),
            reader_grace: Duration::from_secs(600),
        }
    }
}

impl RemoteConfig {
    /// Checks every bound and names the field that is out of it.
    pub fn check(&self) -> Result<(), Error> {
        let prefix = &self.prefix;
        let inside = |part: &str| !part.is_empty() && part != "." && part != "..";
        let problem = match () {
            () if self.bucket.is_empty() => "bucket is missing",
            () if !prefix.is_empty() && !prefix.split('/').all(inside) => {
                "prefix must be names with a slash between each two"
            }
            () if !(1..=64).contains(&self.concurrency) => "concurrency must be between 1 and 64",
            () if !(5 << 20..=512 << 20).contains(&self.part_bytes) => {
                "part_bytes must be between 5 MiB and 512 MiB"
            }
            () if !(64 << 10..=64 << 20).contains(&self.block_bytes) => {
                "block_bytes must be between 64 KiB and 64 MiB"
            }
            () if !(1..=1024).contains(&self.blocks) => "blocks must be between 1 and 1024",
            () if self.timeout.is_zero() => "timeout must be above zero",
            () => return Ok(()),
        };
        Err(Error::config(format!("remote: {problem}")))
    }
}

/// Keys to a bucket. They appear in no output: `Debug` prints `***`.
#[derive(Clone, Default)]
pub struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

impl Credentials {
    /// A key's id and its secret.
    pub fn new(access_key_id: impl Into<String>, secret_access_key: impl Into<String>) -> Self {
        Self {
            access_key_id: access_key_id.into(),
            secret_access_key: secret_access_key.into(),
            session_token: None,
        }
    }

    /// The token that belongs to a temporary key.
    pub fn session_token(mut self, token: impl Into<String>) -> Self {
        self.session_token = Some(token.into());
        self
    }

    pub(super) fn id(&self) -> &str {
        &self.access_key_id
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret_access_key
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }

    /// A server's answer may repeat what was sent.
    pub(super) fn mask(&self, text: &str) -> String {
        let keys = [Some(self.id()), Some(self.secret()), self.token()];
        keys.into_iter()
            .flatten()
            .filter(|key| !key.is_empty())
            .fold(text.to_owned(), |text, key| text.replace(key, "***"))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_read_and_its_bounds_are_named() {
        let config: RemoteConfig =
            serde_json::from_str(r#"{"bucket":"b","prefix":"a/b","ack":"remote","timeout":"5s"}"#).unwrap();
        assert_eq!((config.ack, config.timeout), (Ack::Remote, Duration::from_secs(5)));
        config.check().unwrap();
        for bad in ["/a", "a/", "a//b", "a/../b"] {
            let error = RemoteConfig { prefix: bad.into(), ..config.clone() }.check().unwrap_err();
            assert!(error.to_string().contains("prefix"), "{error}");
        }
        let error = RemoteConfig { part_bytes: 1, ..config.clone() }.check().unwrap_err();
        assert!(error.to_string().contains("part_bytes"), "{error}");
        assert!(RemoteConfig::default().check().unwrap_err().to_string().contains("bucket"));
        assert!(serde_json::from_str::<RemoteConfig>(r#"{"secret":"x"}"#).is_err());
    }

    #[test]
    fn keys_are_not_shown() {
        let keys = Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI").session_token("FQoGZXIvYXdz");
        assert_eq!(format!("{keys:?}"), "Credentials(***)");
        let masked = keys.mask("id AKIDEXAMPLE, secret wJalrXUtnFEMI, token FQoGZXIvYXdz");
        assert_eq!(masked, "id ***, secret ***, token ***");
        assert_eq!(Credentials::default().mask("as it was"), "as it was");
    }
}
