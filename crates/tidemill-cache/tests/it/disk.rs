//! The disk tier: what it keeps over a restart, what it never gives back, its bounds, and damage to its files.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use tidemill_cache::{Cache, Config, Disk, DiskConfig, ErrorKind, Json, Read, Record, Tier};

use crate::SECOND;

/// A wall clock that stands.
#[derive(Clone)]
struct Wall(Arc<AtomicU64>);

impl Wall {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_700_000_000)))
    }

    fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }

    fn open(&self, config: &DiskConfig) -> Disk {
        loop {
            let wall = Arc::clone(&self.0);
            let now = move || UNIX_EPOCH + Duration::from_secs(wall.load(Ordering::Relaxed));
            match Disk::open_with(config, now) {
                Ok(disk) => return disk,
                // On a busy machine its last owner's writer may take its time.
                Err(error) => assert!(error.to_string().contains("another process"), "{error}"),
            }
        }
    }
}

fn config(dir: &Path) -> DiskConfig {
    DiskConfig { dir: dir.to_owned(), capacity: 1 << 20, ..DiskConfig::default() }
}

fn record(value: &[u8], life: u64, tags: &[u32], generation: u64) -> Record {
    let life = (life > 0).then(|| Duration::from_secs(life));
    Record { bytes: value.to_vec(), age: Duration::ZERO, life, own: false, tags: tags.to_vec(), generation }
}

async fn put(disk: &Disk, key: &str, value: &[u8]) {
    let record = record(value, 60, &[], disk.generation());
    assert!(disk.write(key.as_bytes(), record, None).await.unwrap());
}

/// As a load does: by the claim that its read was given.
async fn fill(disk: &Disk, key: &str, value: &[u8], tags: &[u32]) -> bool {
    let generation = disk.generation();
    let Read::Absent(Some(claim)) = disk.read(key.as_bytes(), true).await.unwrap() else { return false };
    disk.write(key.as_bytes(), record(value, 60, tags, generation), Some(claim)).await.unwrap()
}

async fn get(disk: &Disk, key: &str) -> Option<Vec<u8>> {
    match disk.read(key.as_bytes(), false).await.unwrap() {
        Read::Found(record) => Some(record.bytes),
        _ => None,
    }
}

#[tokio::test]
async fn values_outlive_the_process_and_what_was_taken_back_does_not_return() {
    let (dir, wall) = (tempfile::tempdir().unwrap(), Wall::new());
    let disk = wall.open(&config(dir.path()));
    put(&disk, "kept", b"1").await;
    put(&disk, "replaced", b"old").await;
    put(&disk, "replaced", b"new").await;
    put(&disk, "removed", b"1").await;
    disk.remove(b"removed").await.unwrap();
    assert!(fill(&disk, "tagged", b"1", &[5]).await && fill(&disk, "other", b"1", &[6]).await);
    disk.invalidate_tag(5).await.unwrap();
    put(&disk, "a:1", b"1").await;
    put(&disk, "a:2", b"1").await;
    assert_eq!(disk.remove_matching(b"a:*").await.unwrap(), 2);
    let check = async |disk: &Disk| {
        assert_eq!(get(disk, "kept").await.as_deref(), Some(&b"1"[..]));
        assert_eq!(get(disk, "replaced").await.as_deref(), Some(&b"new"[..]));
        for gone in ["removed", "tagged", "a:1", "a:2"] {
            assert_eq!(get(disk, gone).await, None, "{gone}");
        }
        assert!(get(disk, "other").await.is_some());
    };
    check(&disk).await;
    assert_eq!(Disk::open(&config(dir.path())).unwrap_err().kind(), ErrorKind::Disk, "{disk:?} has it");
    drop(disk);
    let disk = wall.open(&config(dir.path()));
    check(&disk).await;
    assert_eq!((disk.stats().recovered.values, disk.stats().recovered.damaged), (4, 0));
    disk.invalidate_all().await.unwrap();
    put(&disk, "after", b"1").await;
    drop(disk);
    let disk = wall.open(&config(dir.path()));
    assert_eq!(disk.stats().entries, 1);
    assert!(get(&disk, "after").await.is_some() && get(&disk, "kept").await.is_none());
}

#[tokio::test]
async fn a_load_never_comes_after_a_later_invalidation() {
    let (dir, wall) = (tempfile::tempdir().unwrap(), Wall::new());
    let disk = wall.open(&config(dir.path()));
    let claim = async |key: &[u8]| match disk.read(key, true).await.unwrap() {
        Read::Absent(claim) => claim,
        other => panic!("{other:?}"),
    };
    let generation = disk.generation();
    let load = record(b"old", 60, &[9], generation);
    let before = claim(b"k").await;
    disk.remove(b"k").await.unwrap();
    assert!(!disk.write(b"k", load.clone(), before).await.unwrap(), "removed meanwhile");
    let before = claim(b"k").await;
    put(&disk, "k", b"new").await;
    assert!(!disk.write(b"k", load.clone(), before).await.unwrap(), "written meanwhile");
    let before = claim(b"l").await;
    disk.invalidate_tag(9).await.unwrap();
    assert!(!disk.write(b"l", load.clone(), before).await.unwrap(), "its tag was struck");
    let before = claim(b"m").await;
    disk.remove_matching(b"x*").await.unwrap();
    let late = Record { generation: disk.generation(), ..load.clone() };
    assert!(!disk.write(b"m", late, before).await.unwrap(), "every claim ends with a sweep");
    // Without a claim, what is refused takes the older value with it.
    disk.invalidate_tag(9).await.unwrap();
    assert!(!disk.write(b"k", load, None).await.unwrap());
    assert_eq!(get(&disk, "k").await, None);
}

#[tokio::test]
async fn lives_end_and_their_files_go_without_a_scan() {
    let (dir, wall) = (tempfile::tempdir().unwrap(), Wall::new());
    let disk = wall.open(&config(dir.path()));
    for key in 0..300 {
        put(&disk, &key.to_string(), &noise(1000, key)).await;
    }
    let before = disk.stats();
    assert!(before.entries == 300 && before.bytes > 300_000, "{before:?}");
    wall.advance(60);
    assert_eq!(get(&disk, "7").await, None);
    for key in 0..70 {
        put(&disk, &format!("new {key}"), &noise(1000, key)).await;
    }
    let after = disk.stats();
    assert!(after.expired > 200 && after.bytes < 220_000, "{after:?}");
    drop(disk);
    wall.advance(1);
    let disk = wall.open(&config(dir.path()));
    assert_eq!(disk.stats().entries, 70, "what has ended is not adopted");
}

#[tokio::test]
async fn bytes_and_entries_have_a_bound() {
    let (dir, wall) = (tempfile::tempdir().unwrap(), Wall::new());
    let disk = wall.open(&DiskConfig { max_entries: 900, ..config(dir.path()) });
    for key in 0..3000 {
        put(&disk, &key.to_string(), &noise(1000, key)).await;
        let stats = disk.stats();
        assert!(stats.bytes <= 1 << 20 && stats.entries <= 1020, "{stats:?}");
    }
    disk.close(60 * SECOND).await.unwrap();
    let on_disk: u64 =
        fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(on_disk <= (1 << 20) + 256, "{on_disk}");
    assert!(disk.stats().evicted > 1900);
    assert!(get(&disk, "2999").await.is_some() && get(&disk, "0").await.is_none(), "the oldest go");
    assert!(
        !disk.write(b"large", record(&noise(20_000, 1), 60, &[], 0), None).await.unwrap(),
        "above a quarter of a file"
    );
}

#[tokio::test]
async fn text_is_compressed_and_its_size_shows_it() {
    let text = r#"{"symbol":"AAPL","open":189.5,"high":190.25,"low":188.75,"close":190.0}"#.repeat(14);
    let mut bytes = Vec::new();
    for compress in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let disk = Wall::new().open(&DiskConfig { compress, ..config(dir.path()) });
        for key in 0..100 {
            put(&disk, &key.to_string(), text.as_bytes()).await;
            assert_eq!(get(&disk, &key.to_string()).await.as_deref(), Some(text.as_bytes()));
        }
        bytes.push(disk.stats().bytes);
    }
    assert!(bytes[1] * 5 < bytes[0], "{bytes:?}");
}

#[tokio::test]
async fn a_machine_that_went_down_leaves_nothing_to_believe_unless_it_was_closed() {
    let (dir, wall) = (tempfile::tempdir().unwrap(), Wall::new());
    let state = dir.path().join("STATE");
    let disk = wall.open(&config(dir.path()));
    put(&disk, "k", b"1").await;
    let other_boot = |text: String| text.replace("boot ", "boot another-");
    fs::write(&state, other_boot(fs::read_to_string(&state).unwrap())).unwrap();
    drop(disk);
    let disk = wall.open(&config(dir.path()));
    assert!(disk.stats().recovered.cold && get(&disk, "k").await.is_none());
    put(&disk, "k", b"2").await;
    disk.close(60 * SECOND).await.unwrap();
    drop(disk);
    fs::write(&state, other_boot(fs::read_to_string(&state).unwrap())).unwrap();
    let disk = wall.open(&config(dir.path()));
    assert!(!disk.stats().recovered.cold && get(&disk, "k").await.is_some());
    drop(disk);
    fs::write(&state, "nonsense").unwrap();
    assert!(wall.open(&config(dir.path())).stats().recovered.cold);
}

#[tokio::test]
async fn a_disk_that_refuses_empties_the_tier_and_works_again_later() {
    let (dir, wall) = (tempfile::tempdir().unwrap(), Wall::new());
    let home = dir.path().join("tier");
    let disk = wall.open(&config(&home));
    put(&disk, "k", b"1").await;
    // New files can no longer be made.
    fs::remove_dir_all(&home).unwrap();
    let mut refused = 0;
    for key in 0..200 {
        let key = (key % 5).to_string();
        refused +=
            u64::from(disk.write(key.as_bytes(), record(&noise(1000, 1), 60, &[], 0), None).await.is_err());
    }
    assert!(refused > 0 && disk.stats().resets > 0, "{:?}", disk.stats());
    assert_eq!(get(&disk, "k").await, None);
    fs::create_dir_all(&home).unwrap();
    // What waits for the disk that was not there is refused once more.
    _ = disk.remove(b"0").await;
    put(&disk, "k", b"2").await;
    assert_eq!(get(&disk, "k").await.as_deref(), Some(&b"2"[..]));
}

#[tokio::test]
async fn a_cache_finds_after_a_restart_what_it_loaded_before() {
    let (dir, loads) = (tempfile::tempdir().unwrap(), Arc::new(AtomicU64::new(0)));
    for _ in 0..2 {
        let disk = Wall::new().open(&config(dir.path()));
        let cache: Cache<u64, String> =
            Cache::builder(Config::default()).codec(Json).tier(disk.clone()).build().unwrap();
        for key in 0..50_u64 {
            let loads = Arc::clone(&loads);
            let load = |key: u64| async move {
                loads.fetch_add(1, Ordering::Relaxed);
                Ok::<_, std::io::Error>(format!("value {key}"))
            };
            assert_eq!(cache.get_or_load(&key, load).await.unwrap(), format!("value {key}"));
        }
        cache.remove(&7).await;
        let stats = cache.stats();
        assert_eq!((stats.tiers[0].name, stats.tiers[0].entries), ("disk", 49), "{stats:?}");
        disk.close(60 * SECOND).await.unwrap();
    }
    assert_eq!(loads.load(Ordering::Relaxed), 51, "once each, and once more what was removed");
}

#[tokio::test]
async fn a_damaged_value_takes_the_older_ones_of_its_key_with_it() {
    let (dir, wall) = (tempfile::tempdir().unwrap(), Wall::new());
    let disk = wall.open(&config(dir.path()));
    for (key, value) in [("k", &b"the old value"[..]), ("l", b"another"), ("k", b"the new value")] {
        put(&disk, key, value).await;
    }
    disk.close(60 * SECOND).await.unwrap();
    drop(disk);
    let path = dir.path().join("0000000001.tmseg");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(7).position(|here| here == b"the new").unwrap();
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    let disk = wall.open(&config(dir.path()));
    assert_eq!((disk.stats().recovered.damaged, disk.stats().entries), (1, 1));
    assert!(get(&disk, "k").await.is_none() && get(&disk, "l").await.is_some());
}

/// A directory of the first format opens in every later release.
#[tokio::test]
async fn the_golden_directory_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/disk-v1");
    if std::env::var_os("TIDEMILL_GOLDEN").is_some_and(|write| write == "write") {
        let disk = Wall::new().open(&config(&golden));
        put(&disk, "plain", b"small").await;
        assert!(disk.write(b"packed", record(&[b'a'; 500], 0, &[7], 0), None).await.unwrap());
        put(&disk, "removed", b"1").await;
        disk.remove(b"removed").await.unwrap();
        disk.invalidate_tag(8).await.unwrap();
        disk.close(60 * SECOND).await.unwrap();
    }
    for file in ["0000000001.tmseg", "STATE"] {
        fs::copy(golden.join(file), dir.path().join(file)).unwrap();
    }
    let disk = Wall::new().open(&config(dir.path()));
    assert_eq!((disk.stats().entries, disk.stats().recovered.cold), (2, false));
    assert_eq!(get(&disk, "plain").await.as_deref(), Some(&b"small"[..]));
    assert_eq!(get(&disk, "packed").await, Some(vec![b'a'; 500]));
    assert_eq!(disk.generation(), 1);
}

/// Bytes that do not compress.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u8, u16),
    Fill(u8, u16),
    Remove(u8),
    Tag(u32),
    Sweep,
    All,
    Wait(u8),
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let len = prop_oneof![4 => 0..200_u16, 1 => 200..15_000_u16];
    prop_oneof![
        8 => (0..24_u8, len.clone()).prop_map(|(key, len)| Op::Insert(key, len)),
        8 => (0..24_u8, len).prop_map(|(key, len)| Op::Fill(key, len)),
        3 => (0..24_u8).prop_map(Op::Remove),
        1 => (0..4_u32).prop_map(Op::Tag),
        1 => Just(Op::Sweep),
        1 => Just(Op::All),
        1 => (0..40_u8).prop_map(Op::Wait),
        1 => Just(Op::Reopen),
    ]
}

/// What each key's value must be, if any: the number that was written last, its tag and its end.
type Model = HashMap<u8, (u64, u32, u64)>;

struct World {
    dir: tempfile::TempDir,
    wall: Wall,
    disk: Option<Disk>,
    model: Model,
    number: u64,
}

impl World {
    fn new() -> Self {
        let (dir, wall) = (tempfile::tempdir().unwrap(), Wall::new());
        let disk = Some(wall.open(&config(dir.path())));
        Self { dir, wall, disk, model: Model::new(), number: 0 }
    }

    fn disk(&self) -> &Disk {
        self.disk.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        self.disk = None;
        self.disk = Some(self.wall.open(&config(self.dir.path())));
    }

    async fn apply(&mut self, op: Op) {
        let now = self.wall.0.load(Ordering::Relaxed);
        match op {
            Op::Insert(key, len) | Op::Fill(key, len) => {
                self.number += 1;
                let mut value = self.number.to_le_bytes().to_vec();
                value.extend(noise(len.into(), self.number));
                let tag = u32::from(key) % 4;
                let kept = if matches!(op, Op::Insert(..)) {
                    let record = record(&value, 60, &[tag], self.disk().generation());
                    self.disk().write(&[b'k', key], record, None).await.unwrap()
                } else {
                    let name = String::from_utf8(vec![b'k', key]).unwrap();
                    fill(self.disk(), &name, &value, &[tag]).await
                };
                if kept {
                    self.model.insert(key, (self.number, tag, now + 60));
                }
            }
            Op::Remove(key) => {
                self.disk().remove(&[b'k', key]).await.unwrap();
                self.model.remove(&key);
            }
            Op::Tag(tag) => {
                self.disk().invalidate_tag(tag).await.unwrap();
                self.model.retain(|_, (_, its, _)| *its != tag);
            }
            Op::Sweep => {
                self.disk().remove_matching(b"k\x07").await.unwrap();
                self.model.remove(&7);
            }
            Op::All => {
                self.disk().invalidate_all().await.unwrap();
                self.model.clear();
            }
            Op::Wait(seconds) => {
                self.wall.advance(seconds.into());
                self.model.retain(|_, (_, _, end)| *end > now + u64::from(seconds));
            }
            Op::Reopen => self.reopen(),
        }
    }

    /// Every value that is given is the one written last; returns how many there are.
    async fn check(&self) -> usize {
        let mut found = 0;
        for key in 0..24 {
            if let Read::Found(record) = self.disk().read(&[b'k', key], false).await.unwrap() {
                let number = u64::from_le_bytes(record.bytes[..8].try_into().unwrap());
                assert_eq!(self.model.get(&key).map(|there| there.0), Some(number), "key {key}");
                assert_eq!(record.bytes[8..], noise(record.bytes.len() - 8, number), "key {key}");
                found += 1;
            }
        }
        found
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Never an old value, and none is lost while there is room and fills are not cut off by a restart.
    #[test]
    fn it_is_a_map_that_forgets_nothing_it_has_room_for(ops in prop::collection::vec(op(), 1..80)) {
        run(async {
            let mut world = World::new();
            let mut restarted = false;
            for op in ops {
                restarted |= matches!(op, Op::Reopen);
                world.apply(op).await;
                let found = world.check().await;
                if !restarted && world.disk().stats().evicted == 0 {
                    assert_eq!(found, world.model.len());
                }
            }
        });
    }

    /// Whatever happens to the bytes on the disk, no value is given but the one written last.
    #[test]
    fn damage_costs_values_and_never_brings_an_old_one_back(
        ops in prop::collection::vec(op(), 1..60),
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        run(async {
            let mut world = World::new();
            for op in ops {
                world.apply(op).await;
            }
            // A close, for the end of a file that was being written proves nothing.
            world.disk().close(60 * SECOND).await.unwrap();
            world.disk = None;
            let mut files: Vec<_> = fs::read_dir(world.dir.path()).unwrap()
                .map(|file| file.unwrap().path())
                .filter(|path| path.extension().is_some())
                .collect();
            files.sort();
            for (file, at, byte) in hits {
                let path = &files[file.index(files.len())];
                let mut bytes = fs::read(path).unwrap();
                if bytes.is_empty() {
                    continue;
                }
                let at = at.index(bytes.len());
                bytes[at] ^= byte;
                fs::write(path, bytes).unwrap();
            }
            if let Some(cut) = cut {
                // Any but the last, whose length only a machine that went down looks at.
                if let Some(path) = files.iter().rev().skip(1).nth(cut.index(files.len())) {
                    fs::write(path, &fs::read(path).unwrap()[..20]).unwrap();
                }
            }
            world.disk = Some(world.wall.open(&config(world.dir.path())));
            world.check().await;
        });
    }
}

#[test]
fn settings_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let small = DiskConfig { capacity: 1000, ..config(dir.path()) };
    assert_eq!(Disk::open(&small).unwrap_err().kind(), ErrorKind::Config);
    let none = DiskConfig { max_entries: 0, ..config(dir.path()) };
    assert!(Disk::open(&none).unwrap_err().to_string().contains("max_entries"));
    let written: DiskConfig = serde_json::from_str(r#"{"dir": "d", "capacity": "2GiB"}"#).unwrap();
    assert_eq!(written.capacity, 2 << 30);
    assert!(serde_json::from_str::<DiskConfig>(r#"{"capacity": "2 giga"}"#).is_err());
}
