//! A process with a disk tier is killed again and again: what it was told to forget does not come back.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use tidemill_cache::{Disk, DiskConfig, Read, Record, Tier};

use crate::disk::noise;
use crate::killed::{Acknowledged, asked};

const KEYS: u64 = 64;

fn config(dir: &Path) -> DiskConfig {
    DiskConfig { dir: dir.to_owned(), capacity: 2 << 20, ..DiskConfig::default() }
}

/// Not a test of its own: what the killed process does, when there is a directory for it.
#[test]
fn the_process_that_is_killed() {
    let Some((dir, mut number)) = asked() else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let disk = Disk::open(&config(&dir)).unwrap();
        let mut out = std::io::stdout();
        loop {
            number += 1;
            let random = noise(16, number);
            let (key, what) = (u64::from(random[0]) % KEYS, random[1] % 8);
            let name = key.to_le_bytes();
            let bytes = [&number.to_le_bytes()[..], &noise(usize::from(random[2]) * 8, number)].concat();
            let life = Some(Duration::from_secs(3600));
            let generation = disk.generation();
            let record = Record { bytes, age: Duration::ZERO, life, own: false, tags: vec![], generation };
            match what {
                0..4 => _ = disk.write(&name, record, None).await.unwrap(),
                4..7 => {
                    let Read::Absent(Some(claim)) = disk.read(&name, true).await.unwrap() else { continue };
                    disk.write(&name, record, Some(claim)).await.unwrap();
                }
                _ => disk.remove(&name).await.unwrap(),
            }
            // Acknowledged: from now on, nothing older may be given for the key.
            out.write_all(format!("{key} {number}\n").as_bytes()).unwrap();
        }
    });
}

#[test]
fn what_was_taken_back_stays_gone_over_kills() {
    if asked().is_some() {
        return;
    }
    let kills = crate::kills() / 5;
    let dir = tempfile::tempdir().unwrap();
    let (mut acknowledged, mut found) = (Acknowledged::default(), 0);
    for kill in 0..kills {
        let patience = 20 + usize::from(noise(1, kill + 1)[0]) * 8;
        acknowledged.kill_once("disk_kill::the_process_that_is_killed", dir.path(), patience);
        found += check(dir.path(), &acknowledged.last);
    }
    assert!(found > kills as usize * 10, "it keeps something over a kill: {found} in {kills}");
}

/// Every value that is there is as new as what was acknowledged last of its key.
fn check(dir: &Path, acknowledged: &HashMap<u64, u64>) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let disk = Disk::open(&config(dir)).unwrap();
        assert_eq!(disk.stats().recovered.damaged, 0, "a kill damages nothing");
        let mut found = 0;
        for (key, last) in acknowledged {
            if let Read::Found(record) = disk.read(&key.to_le_bytes(), false).await.unwrap() {
                let number = u64::from_le_bytes(record.bytes[..8].try_into().unwrap());
                assert!(number >= *last, "key {key}: {number} came back after {last}");
                assert_eq!(record.bytes[8..], noise(record.bytes.len() - 8, number));
                found += 1;
            }
        }
        found
    })
}
