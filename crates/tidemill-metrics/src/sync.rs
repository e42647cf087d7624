//! The atomics everything counts with: the standard ones, or those of the model checker.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Tries every interleaving of `threads`, and says how many there were.
#[cfg(all(test, loom))]
pub(crate) fn every_interleaving(threads: impl Fn() + Sync + Send + 'static) {
    use std::sync::atomic::{AtomicU64, Ordering};
    let tried = std::sync::Arc::new(AtomicU64::new(0));
    let count = std::sync::Arc::clone(&tried);
    loom::model(move || {
        count.fetch_add(1, Ordering::Relaxed);
        threads();
    });
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    eprintln!("{test}: {} interleavings", tried.load(Ordering::Relaxed));
}
