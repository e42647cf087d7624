//! A judge for stores: what each must do, ours and yours.
//!
//! ```
//! use tidemill_cache::{Quick, conformance};
//!
//! let passed = conformance::run::<Quick<u64, String>>();
//! assert_eq!(passed.unwrap(), conformance::CASES);
//! ```

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::entry::{Cause, Listener, Mark, Timed};
use crate::lifetime::Stamp;
use crate::store::{EvictionSink, Store};
use crate::sync::{AtomicU64, Ordering};

/// What is judged, in order.
pub const CASES: &[&str] = &[
    "what goes in comes out",
    "a removal is decided on the entry",
    "the weight stays within the capacity",
    "who leaves is counted and told once",
    "a scan sees everybody once",
    "a shrink keeps to the new capacity",
    "many threads leave the sums right",
];

/// Why a store did not pass.
#[derive(Debug)]
pub struct Failure {
    /// The case, one of [`CASES`].
    pub case: &'static str,
    /// What was expected and what came.
    pub says: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store does not pass `{}`: {}", self.case, self.says)
    }
}

impl std::error::Error for Failure {}

/// Tries every case on stores of their own.
///
/// # Errors
/// The first case that failed, and how.
pub fn run<S: Store<u64, String>>() -> Result<&'static [&'static str], Failure> {
    let cases: [fn() -> Result<(), String>; 7] =
        [round_trip::<S>, removal::<S>, bound::<S>, told::<S>, scan::<S>, shrink::<S>, threads::<S>];
    for (name, case) in CASES.iter().zip(cases) {
        case().map_err(|says| Failure { case: name, says })?;
    }
    Ok(CASES)
}

fn entry(key: u64, weight: u64) -> Timed<String> {
    let stamp = Stamp::new(Duration::from_millis(key), Some(Duration::from_secs(1)), false);
    Timed { value: key.to_string(), stamp, mark: Mark::new(key, weight), tags: None }
}

type Told = Arc<Mutex<Vec<u64>>>;

fn watched<S: Store<u64, String>>(capacity: u64) -> (S, Arc<AtomicU64>, Told) {
    let (count, told) = (Arc::new(AtomicU64::new(0)), Told::default());
    let write = Arc::clone(&told);
    let listener: Arc<Listener<u64, String>> = Arc::new(move |key, _, cause| {
        if cause == Cause::Capacity {
            write.lock().unwrap_or_else(PoisonError::into_inner).push(key);
        }
    });
    let evictions = EvictionSink { count: Arc::clone(&count), listener: Some(listener) };
    let entries = usize::try_from(capacity).unwrap_or(usize::MAX);
    (S::with_capacity(capacity, entries, evictions), count, told)
}

fn store<S: Store<u64, String>>(capacity: u64) -> S {
    watched(capacity).0
}

fn same<T: PartialEq + fmt::Debug>(what: &str, is: T, wanted: T) -> Result<(), String> {
    if is == wanted { Ok(()) } else { Err(format!("{what} is {is:?} and not {wanted:?}")) }
}

fn round_trip<S: Store<u64, String>>() -> Result<(), String> {
    let store: S = store(100);
    same("an absent key", store.get(&1).is_some(), false)?;
    store.insert(1, entry(7, 3));
    let got = store.get(&1).ok_or("an entry is not found")?;
    same("the value", got.value, "7".to_owned())?;
    same("its stamp", got.stamp, entry(7, 3).stamp)?;
    same("its generation and weight", (got.mark.generation(), got.mark.weight()), (7, 3))?;
    store.insert(1, entry(8, 5));
    store.settle();
    same("the value that replaced it", store.get(&1).map(|got| got.value), Some("8".to_owned()))?;
    same("entries and weight", (store.entries(), store.weight()), (1, 5))
}

fn removal<S: Store<u64, String>>() -> Result<(), String> {
    let (store, count, told) = watched::<S>(100);
    store.insert(1, entry(1, 1));
    same("a removal that fails its test", store.remove_if(&1, |_| false).is_some(), false)?;
    same("the entry after it", store.get(&1).is_some(), true)?;
    let removed = store.remove_if(&1, |entry| entry.value == "1");
    same("the removed", removed.map(|(key, entry)| (key, entry.value)), Some((1, "1".to_owned())))?;
    same("the entry", store.get(&1).is_some(), false)?;
    same("an absent key's removal", store.remove_if(&1, |_| true).is_some(), false)?;
    store.settle();
    let told = told.lock().unwrap_or_else(PoisonError::into_inner).len();
    same("evictions counted and told", (count.load(Ordering::Relaxed), told), (0, 0))
}

fn bound<S: Store<u64, String>>() -> Result<(), String> {
    let store: S = store(1000);
    for key in 0..5000 {
        store.insert(key, entry(key, key % 7 + 1));
        store.settle();
        if store.weight() > store.capacity() {
            return Err(format!("{} of weight in a capacity of {}", store.weight(), store.capacity()));
        }
    }
    same("a capacity of 1000", store.capacity().abs_diff(1000) <= 64, true)?;
    if store.weight() < 700 {
        return Err(format!("only {} of 1000 used", store.weight()));
    }
    store.insert(9999, entry(9999, 2000));
    store.settle();
    same("an entry heavier than everything", store.get(&9999).is_some(), false)?;
    store.insert(4999, entry(4999, 2000));
    store.settle();
    same("what it was to replace", store.get(&4999).is_some(), false)
}

fn told<S: Store<u64, String>>() -> Result<(), String> {
    let (store, count, told) = watched::<S>(100);
    for key in 0..1000 {
        store.insert(key, entry(key, 1));
    }
    store.insert(999, entry(999, 1));
    store.settle();
    let mut gone = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
    same("evictions counted", count.load(Ordering::Relaxed), gone.len() as u64)?;
    let mut there = Vec::new();
    store.scan(|key, _| there.push(key));
    gone.extend(there);
    gone.sort_unstable();
    same("who left and who is there", gone, (0..1000).collect::<Vec<u64>>())
}

fn scan<S: Store<u64, String>>() -> Result<(), String> {
    let store: S = store(10_000);
    (0..1000).for_each(|key| store.insert(key, entry(key, 1)));
    store.settle();
    let mut seen = Vec::new();
    // Writing while it is scanned must not block it.
    store.scan(|key, _| {
        store.insert(key, entry(key, 1));
        seen.push(key);
    });
    seen.sort_unstable();
    seen.dedup();
    same("the keys seen", seen, (0..1000).collect::<Vec<u64>>())
}

fn shrink<S: Store<u64, String>>() -> Result<(), String> {
    let (store, count, _) = watched::<S>(1000);
    (0..1000).for_each(|key| store.insert(key, entry(key, 1)));
    store.settle();
    let before = (store.entries(), count.load(Ordering::Relaxed));
    if !store.set_capacity(500) {
        return same("the capacity of a store that cannot resize", store.capacity(), 1000);
    }
    if store.weight() > store.capacity() || store.capacity().abs_diff(500) > 64 {
        return Err(format!("{} of weight in a capacity of {}", store.weight(), store.capacity()));
    }
    same("entries and those who left", store.entries() + count.load(Ordering::Relaxed), before.0 + before.1)?;
    same("growing again", store.set_capacity(1000), true)?;
    same("its capacity", store.capacity().abs_diff(1000) <= 64, true)
}

fn threads<S: Store<u64, String>>() -> Result<(), String> {
    let store: S = store(500);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..2000 {
                    let key = (n * 7 + thread * 13) % 1000;
                    match n % 5 {
                        0 => drop(store.remove_if(&key, |_| true)),
                        1 | 2 => drop(store.get(&key)),
                        _ => store.insert(key, entry(key, key % 5 + 1)),
                    }
                }
            });
        }
    });
    store.settle();
    let (mut sum, mut entries) = (0, 0);
    store.scan(|_, entry| {
        sum += entry.mark.weight();
        entries += 1;
    });
    same("the number of all entries", entries, store.entries())?;
    // moka's sum drifts upwards under removals from several threads; a store that said too little would break its bound.
    same("a sum of weights that covers the entries", store.weight() >= sum, true)
}
