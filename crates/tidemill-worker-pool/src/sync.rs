//! Atomics, cells and a lock: the standard ones, or loom's when it tries every interleaving.

#[cfg(loom)]
pub(crate) use loom::{cell::UnsafeCell, sync::atomic::AtomicU32};

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::AtomicU32;

/// A lock under which no code of a user runs, so that it cannot be poisoned.
#[cfg(not(loom))]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

#[cfg(loom)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        #[cfg(not(loom))]
        return Self(std::sync::Mutex::new(value));
        #[cfg(loom)]
        return Self(loom::sync::Mutex::new(value));
    }

    #[inline]
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// The standard cell with loom's way of asking.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Hands out a pointer to read from.
    #[inline]
    pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    /// Hands out a pointer to write to.
    #[inline]
    pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}

/// Tries every interleaving of `threads`, and says how many there were.
#[cfg(all(test, loom))]
pub(crate) fn every_interleaving(threads: impl Fn() + Sync + Send + 'static) {
    interleavings(None, threads);
}

/// As [`every_interleaving`], of those with at most so many preemptions.
#[cfg(all(test, loom))]
pub(crate) fn interleavings(preemptions: Option<usize>, threads: impl Fn() + Sync + Send + 'static) {
    use std::sync::atomic::{AtomicU64, Ordering};
    let tried = std::sync::Arc::new(AtomicU64::new(0));
    let count = std::sync::Arc::clone(&tried);
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        threads();
    });
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    eprintln!("{test}: {} interleavings", tried.load(Ordering::Relaxed));
}
