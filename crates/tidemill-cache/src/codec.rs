//! How keys and values become bytes for the tiers below memory.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Serialize, de::DeserializeOwned};

/// Keys and values as bytes. Two keys never have the same bytes. What cannot be decoded counts as absent, so a format may
/// change from one release to the next when the old bytes do not decode as the new type.
pub trait Codec<K, V>: Send + Sync + 'static {
    /// The key's bytes.
    fn key(&self, key: &K) -> Vec<u8>;

    /// The key of these bytes; `None` when they are none. Another process's change of such a key makes everything absent.
    fn parse_key(&self, bytes: &[u8]) -> Option<K>;

    /// The value's bytes; `None` when it cannot be encoded, and is then kept in memory alone.
    fn encode(&self, value: &V) -> Option<Vec<u8>>;

    /// The value; `None` when the bytes are none.
    fn decode(&self, bytes: &[u8]) -> Option<V>;
}

/// Values as JSON, keys as they print: readable with any Redis client, and safe against a field added or removed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<K: Display + FromStr, V: Serialize + DeserializeOwned> Codec<K, V> for Json {
    fn key(&self, key: &K) -> Vec<u8> {
        key.to_string().into_bytes()
    }

    fn parse_key(&self, bytes: &[u8]) -> Option<K> {
        std::str::from_utf8(bytes).ok()?.parse().ok()
    }

    fn encode(&self, value: &V) -> Option<Vec<u8>> {
        serde_json::to_vec(value).ok()
    }

    fn decode(&self, bytes: &[u8]) -> Option<V> {
        serde_json::from_slice(bytes).ok()
    }
}
