//! What to upload, whose the bucket's manifest is, what may be deleted: decided from data alone.

use std::{collections::BTreeMap, time::Duration};

use super::{manifest::RemoteManifest, state::Known};
use crate::manifest::{FileEntry, Manifest};

/// What a push has to send.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Files that stand in the bucket, with their keys.
    pub(super) kept: BTreeMap<String, String>,
    /// Files that do not.
    pub(super) uploads: Vec<FileEntry>,
}

/// Compares a snapshot with what the bucket shows.
pub(super) fn plan(manifest: &Manifest, base: Option<&RemoteManifest>) -> Plan {
    let mut plan = Plan::default();
    for file in &manifest.files {
        match base.and_then(|base| base.key_of(file)) {
            Some(key) => drop(plan.kept.insert(file.path.clone(), key.clone())),
            None => plan.uploads.push(file.clone()),
        }
    }
    plan
}

/// The key of a new file, under the table's own: the epoch, the folder, and what it holds. So a file that was sent before a crash
/// is found again, and a key never changes its meaning.
pub(super) fn key(epoch: u64, path: &str, sha256: &str) -> String {
    let folder = path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    format!("{epoch:06}/{folder}{}.parquet", &sha256[..sha256.len().min(32)])
}

/// Whose the manifest in the bucket is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is none: ours will be the first.
    Free,
    /// This folder wrote it.
    Ours,
    /// Another writer did.
    Others,
}

/// `found` is the SHA-256 of the bucket's manifest.
pub(super) fn standing(found: Option<&str>, known: &Known) -> Standing {
    match found {
        None => Standing::Free,
        Some(found) if known.manifests.iter().any(|ours| ours == found) => Standing::Ours,
        Some(_) => Standing::Others,
    }
}

/// Which of the listed keys (with the time of their last change, milliseconds since 1970) nobody needs any more: named by no
/// manifest for `grace`, or left by an upload that was never shown, and not of a writer that came after ours.
pub(super) fn garbage(
    current: &RemoteManifest,
    listed: &[(String, u64)],
    now_ms: u64,
    grace: Duration,
) -> Vec<String> {
    let grace = grace.as_millis() as u64;
    let past = |since: u64| now_ms.saturating_sub(since) >= grace && now_ms >= since;
    let named: std::collections::BTreeSet<&String> = current.keys.values().collect();
    let replaced: BTreeMap<&String, u64> =
        current.replaced.iter().map(|old| (&old.key, old.since_ms)).collect();
    let later = |key: &str| {
        let epoch = key.split('/').next().and_then(|epoch| epoch.parse::<u64>().ok());
        epoch.is_none_or(|epoch| epoch > current.epoch)
    };
    let unneeded = |(key, changed_ms): &&(String, u64)| {
        !named.contains(key)
            && !later(key)
            && past(*changed_ms)
            && replaced.get(key).is_none_or(|since| past(*since))
    };
    listed.iter().filter(unneeded).map(|(key, _)| key.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::UNIX_EPOCH};

    use arrow_schema::{DataType, Field, Schema};
    use proptest::prelude::*;

    use super::*;
    use crate::{TableSpec, table::Table};

    fn manifest(snapshot: u64, files: &[(u32, u32)]) -> Manifest {
        let schema = Schema::new(vec![Field::new("symbol", DataType::Utf8, false)]);
        let table = Table::bind(&TableSpec::new("bars", Arc::new(schema), ["symbol"])).unwrap();
        let file = |(number, crc): &(u32, u32)| -> FileEntry {
            let entry = serde_json::json!({
                "path": format!("part-{number:06}.parquet"), "partition": 0, "part": number, "parts": 256,
                "rows": 1, "bytes": 100, "crc32c": crc, "groups": ["4100"],
            });
            serde_json::from_value(entry).unwrap()
        };
        Manifest::new(&table, snapshot, snapshot, UNIX_EPOCH, files.iter().map(file).collect())
    }

    #[test]
    fn only_what_differs_is_sent() {
        let first = manifest(1, &[(1, 7), (2, 8)]);
        let all = plan(&first, None);
        assert_eq!((all.kept.len(), all.uploads.len()), (0, 2));
        let keys = first.files.iter().map(|f| (f.path.clone(), format!("000001/{}", f.crc32c))).collect();
        let base = RemoteManifest::following(None, 1, first, keys, 5);
        // The same path with other bytes, as after a restore of a backup, is another file.
        let next = plan(&manifest(2, &[(1, 7), (2, 9), (3, 1)]), Some(&base));
        assert_eq!(next.kept.into_values().collect::<Vec<_>>(), ["000001/7"]);
        let sent: Vec<u32> = next.uploads.iter().map(|file| file.crc32c).collect();
        assert_eq!(sent, [9, 1]);
    }

    #[test]
    fn a_key_has_its_epoch_folder_and_content() {
        let sha = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let name = "0123456789abcdef0123456789abcdef.parquet";
        assert_eq!(key(3, "year=2024/part-000001.parquet", sha), format!("000003/year=2024/{name}"));
        assert_eq!(key(3, "part-000001.parquet", sha), format!("000003/{name}"));
    }

    proptest! {
        /// Pushes and sweeps in any order: a key is only deleted once no manifest of the last `grace` names it.
        #[test]
        fn nothing_a_reader_may_ask_for_is_garbage(
            pushes in prop::collection::vec((prop::collection::btree_set(0u32..8, 0..5), 0u64..700), 1..20),
        ) {
            let grace = Duration::from_millis(1000);
            let (mut now, mut base): (u64, Option<RemoteManifest>) = (10_000, None);
            let mut stored: BTreeMap<String, u64> = BTreeMap::new();
            let mut shown: Vec<(u64, Vec<String>)> = Vec::new();
            for (at, (files, wait)) in pushes.into_iter().enumerate() {
                let snapshot = manifest(at as u64 + 1, &files.iter().map(|n| (*n, *n)).collect::<Vec<_>>());
                let planned = plan(&snapshot, base.as_ref());
                let mut keys = planned.kept;
                for file in planned.uploads {
                    let key = format!("000001/{}", file.crc32c);
                    stored.entry(key.clone()).or_insert(now);
                    keys.insert(file.path, key);
                }
                // An upload whose push failed.
                stored.insert(format!("000001/orphan-{at}"), now);
                stored.insert(format!("000002/later-{at}"), now);
                let next = RemoteManifest::following(base.as_ref(), 1, snapshot, keys, now);
                shown.push((now, next.keys.values().cloned().collect()));
                now += wait;
                let listed: Vec<(String, u64)> = stored.clone().into_iter().collect();
                for key in garbage(&next, &listed, now, grace) {
                    prop_assert!(!key.starts_with("000002"), "a later writer's key was deleted");
                    for (from, keys) in shown.iter().enumerate().map(|(at, (_, keys))| (at, keys)) {
                        let until = shown.get(from + 1).map_or(u64::MAX, |(next, _)| next + 1000);
                        prop_assert!(now >= until || !keys.contains(&key), "{key} is still read");
                    }
                    stored.remove(&key);
                }
                base = Some(next);
            }
            // In the end nothing stays but what is named and what is a later writer's.
            let last = base.unwrap();
            let listed: Vec<(String, u64)> = stored.into_iter().collect();
            let gone = garbage(&last, &listed, now + 2000, grace);
            let left = listed.iter().filter(|(key, _)| !gone.contains(key));
            prop_assert!(left.into_iter().all(|(key, _)| key.starts_with("000002") || last.keys.values().any(|k| k == key)));
        }
    }

    #[test]
    fn a_manifest_is_ours_when_this_folder_wrote_it_or_was_about_to() {
        let known = Known { place: "s3://b".into(), manifests: vec!["one".into(), "two".into()] };
        assert_eq!(standing(None, &known), Standing::Free);
        assert_eq!(standing(Some("one"), &known), Standing::Ours);
        assert_eq!(standing(Some("two"), &known), Standing::Ours);
        assert_eq!(standing(Some("three"), &known), Standing::Others);
        assert_eq!(standing(Some("one"), &Known::default()), Standing::Others);
    }
}
