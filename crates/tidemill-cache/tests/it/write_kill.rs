//! A process with write-behind is killed again and again: what it acknowledged reaches the backend.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidemill_cache::{
    Backend, Cache, Change, Config, ErrorKind, Failure, Json, WriteBehind, WriteBehindConfig, Written,
};

use crate::disk::noise;
use crate::killed::{Acknowledged, asked};
use crate::{MS, SECOND};

const KEYS: u64 = 16;

/// A file of lines, `key number`, that refuses every third batch.
struct Lines {
    file: Mutex<File>,
    calls: AtomicU64,
}

impl Lines {
    fn open(dir: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(dir.join("backend")).unwrap();
        Self { file: Mutex::new(file), calls: AtomicU64::new(0) }
    }
}

impl Backend<u64, u64> for Lines {
    fn write<'a>(&'a self, changes: &'a [Change<u64, u64>]) -> Written<'a> {
        Box::pin(async move {
            let refused = self.calls.fetch_add(1, Ordering::Relaxed) % 3 == 1;
            let lines: String = changes
                .iter()
                .map(|change| match change {
                    Change::Put(key, number) => format!("{key} {number}\n"),
                    Change::Remove(key) => format!("{key} removed\n"),
                })
                .collect();
            // A half of it has happened when it is refused.
            let take = if refused { lines.len() / 2 } else { lines.len() };
            let whole = lines[..take].rfind('\n').map_or(0, |end| end + 1);
            self.file.lock().unwrap().write_all(&lines.as_bytes()[..whole]).unwrap();
            if refused { Err(Failure::Retry("planted".into())) } else { Ok(()) }
        })
    }
}

fn settings(dir: &Path) -> WriteBehindConfig {
    let (first_pause, longest_pause) = (MS, 2 * MS);
    let dir = dir.join("journal");
    WriteBehindConfig {
        dir,
        sync: false,
        linger: MS,
        first_pause,
        longest_pause,
        ..WriteBehindConfig::default()
    }
}

async fn open(dir: &Path) -> WriteBehind<u64, u64> {
    loop {
        let cache = Cache::builder(Config::default()).codec(Json).build().unwrap();
        match WriteBehind::open(cache, &settings(dir), Lines::open(dir)).await {
            Ok(open) => return open,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Disk, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Not a test of its own: what the killed process does, when there is a directory for it.
#[test]
fn the_process_that_is_killed() {
    let Some((dir, mut number)) = asked() else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let behind = open(&dir).await;
        let mut out = std::io::stdout();
        loop {
            number += 1;
            behind.put(number % KEYS, number).await.unwrap();
            out.write_all(format!("{} {number}\n", number % KEYS).as_bytes()).unwrap();
        }
    });
}

#[test]
fn nothing_acknowledged_is_lost_over_kills() {
    if asked().is_some() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::default();
    for kill in 0..crate::kills() {
        let patience = 5 + usize::from(noise(1, kill + 1)[0]) / 2;
        acknowledged.kill_once("write_kill::the_process_that_is_killed", dir.path(), patience);
        // Not after each kill: what is left grows over several.
        if kill % 4 == 3 {
            check(dir.path(), &acknowledged.last);
        }
    }
    check(dir.path(), &acknowledged.last);
}

/// After what is left is written, the backend's last word on each key is what was acknowledged last, or newer.
fn check(dir: &Path, acknowledged: &HashMap<u64, u64>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let behind = open(dir).await;
        assert_eq!(behind.close(60 * SECOND).await.unwrap().left, 0);
    });
    let mut rows = HashMap::<u64, u64>::new();
    for line in std::fs::read_to_string(dir.join("backend")).unwrap().lines() {
        let (key, number) = line.split_once(' ').unwrap();
        rows.insert(key.parse().unwrap(), number.parse().unwrap());
    }
    for (key, last) in acknowledged {
        assert!(
            rows.get(key) >= Some(last),
            "key {key}: {last} was acknowledged, the backend has {:?}",
            rows.get(key)
        );
    }
}
