//! What a table's manifest in the bucket says: a snapshot's own manifest, and under which key each of its files stands.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Error,
    manifest::{FileEntry, Manifest},
};

/// What this program writes and reads.
const FORMAT: u32 = 1;

/// A longer manifest is not fetched.
pub(super) const MAX_BYTES: u64 = 64 << 20;

/// The object `<prefix>/<table>/manifest.json`, the only one that is ever replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RemoteManifest {
    pub(super) format: u32,
    /// One more with each push.
    pub(super) version: u64,
    /// One more with each writer that took the table over. New keys begin with it, so no two writers share one.
    pub(super) epoch: u64,
    /// The snapshot.
    pub(super) manifest: Manifest,
    /// Path of each of its files to the key, under `<prefix>/<table>/`.
    pub(super) keys: BTreeMap<String, String>,
    /// Keys that a manifest before this one named.
    pub(super) replaced: Vec<Replaced>,
}

/// A key that readers of an older manifest may still ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Replaced {
    pub(super) key: String,
    /// Milliseconds since 1970.
    pub(super) since_ms: u64,
}

impl RemoteManifest {
    /// The manifest that follows `base`. `keys` holds every file of `manifest`.
    pub(super) fn following(
        base: Option<&Self>,
        epoch: u64,
        manifest: Manifest,
        keys: BTreeMap<String, String>,
        now_ms: u64,
    ) -> Self {
        let named: BTreeSet<&str> = keys.values().map(String::as_str).collect();
        let mut replaced: Vec<Replaced> = Vec::new();
        if let Some(base) = base {
            // A key that came back is no longer replaced; one that goes now is from now on.
            replaced.extend(base.replaced.iter().filter(|old| !named.contains(old.key.as_str())).cloned());
            let gone = base.keys.values().filter(|key| !named.contains(key.as_str()));
            replaced.extend(gone.map(|key| Replaced { key: key.clone(), since_ms: now_ms }));
        }
        let version = base.map_or(1, |base| base.version + 1);
        Self { format: FORMAT, version, epoch, manifest, keys, replaced }
    }

    /// The key of a file that stands in the bucket already.
    pub(super) fn key_of(&self, file: &FileEntry) -> Option<&String> {
        let same =
            |old: &&FileEntry| (old.crc32c, old.bytes, old.rows) == (file.crc32c, file.bytes, file.rows);
        self.manifest.files.iter().find(|old| old.path == file.path).filter(same)?;
        self.keys.get(&file.path)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// Reads what a bucket holds; nothing of it is believed unseen.
    pub(super) fn from_bytes(bytes: &[u8], table: &str, place: &str) -> Result<Self, Error> {
        let bad = |why: String| Error::corrupt(place.as_ref(), why);
        let found: Self = serde_json::from_slice(bytes).map_err(|e| bad(format!("is no manifest: {e}")))?;
        if found.format > FORMAT {
            return Err(bad(format!("format {} is not known to this program", found.format)));
        }
        found.manifest.validate(place.as_ref(), table, found.manifest.snapshot)?;
        let inside =
            |key: &&String| key.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        let keys = found.keys.values().chain(found.replaced.iter().map(|old| &old.key));
        if let Some(key) = keys.into_iter().find(|key| !inside(key)) {
            return Err(bad(format!("names the key {key:?}")));
        }
        match found.manifest.files.iter().find(|file| !found.keys.contains_key(&file.path)) {
            Some(file) => Err(bad(format!("has no key for {}", file.path))),
            None => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::UNIX_EPOCH};

    use arrow_schema::{DataType, Field, Schema};
    use proptest::prelude::*;

    use super::*;
    use crate::{TableSpec, table::Table};

    fn sample() -> RemoteManifest {
        let schema = Schema::new(vec![Field::new("symbol", DataType::Utf8, false)]);
        let table = Table::bind(&TableSpec::new("bars", Arc::new(schema), ["symbol"])).unwrap();
        let file = serde_json::json!({
            "path": "part-000007.parquet", "partition": 0, "rows": 3, "bytes": 900,
            "crc32c": 0xe328_3da7_u32, "groups": ["4100"],
        });
        let file: FileEntry = serde_json::from_value(file).unwrap();
        let manifest = Manifest::new(&table, 7, 41, UNIX_EPOCH, vec![file]);
        let keys = BTreeMap::from([("part-000007.parquet".to_owned(), "000003/abc.parquet".to_owned())]);
        let old = BTreeMap::from([("part-000006.parquet".to_owned(), "000002/old.parquet".to_owned())]);
        let base = RemoteManifest::following(None, 2, manifest.clone(), old, 0);
        RemoteManifest::following(Some(&base), 3, manifest, keys, 1_763_000_000_000)
    }

    #[test]
    fn format_1_is_read_and_written_as_it_always_was() {
        let text = include_str!("../../tests/golden/remote-manifest-v1.json");
        assert_eq!(String::from_utf8(sample().to_bytes()).unwrap(), text.trim_end());
        assert_eq!(RemoteManifest::from_bytes(text.as_bytes(), "bars", "here").unwrap(), sample());
    }

    #[test]
    fn what_a_bucket_holds_is_not_believed_unseen() {
        let text = String::from_utf8(sample().to_bytes()).unwrap();
        let cases = [
            ("\"format\": 1,\n  \"version\"", "\"format\": 2,\n  \"version\"", "not known"),
            ("\"bars\"", "\"other\"", "another snapshot"),
            ("000003/abc.parquet", "../../elsewhere", "names the key"),
            ("000002/old.parquet", "a//b", "names the key"),
            ("\"part-000007.parquet\": ", "\"part-000008.parquet\": ", "has no key"),
            ("\"path\": \"part-000007.parquet\"", "\"path\": \"../part\"", "names the file"),
        ];
        for (from, to, why) in cases {
            assert!(text.contains(from), "{from}");
            let error = RemoteManifest::from_bytes(text.replace(from, to).as_bytes(), "bars", "here");
            assert!(error.as_ref().is_err_and(|error| error.to_string().contains(why)), "{to}: {error:?}");
        }
    }

    proptest! {
        #[test]
        fn mutated_manifests_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            let mut bytes = sample().to_bytes();
            for (at, to) in flips {
                let at = at.index(bytes.len());
                bytes[at] = to;
            }
            drop(RemoteManifest::from_bytes(&bytes, "bars", "here"));
        }
    }
}
