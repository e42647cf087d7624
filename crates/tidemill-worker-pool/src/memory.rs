//! What a function or a task does to the heap: bytes before, at the peak, and after, counted by the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde::Serialize;

/// Counts what passes through another allocator. An executable that wants to know its memory installs it; without it
/// nothing is counted, and nothing costs.
///
/// It costs one look at a thread's own variables an allocation. Threads add up every 64 KiB, so that the total is
/// right up to 64 KiB for each thread that lives or has lived.
///
/// ```
/// use tidemill_worker_pool::{CountingAllocator, MemoryMonitor};
///
/// #[global_allocator]
/// static HEAP: CountingAllocator = CountingAllocator::system();
///
/// let (sum, used) = MemoryMonitor::new(1 << 20).run(|| vec![1_u8; 2 << 20].iter().map(|n| u64::from(*n)).sum::<u64>());
/// assert_eq!(sum, 2 << 20);
/// assert!(used.is_past && used.peak - used.before >= 2 << 20 && used.after < used.peak);
/// ```
#[derive(Debug)]
pub struct CountingAllocator<A = System>(A);

/// Watches functions and tasks against a threshold.
#[derive(Clone)]
pub struct MemoryMonitor {
    threshold: u64,
    warn: Option<Warn>,
}

type Warn = Arc<dyn Fn(&MemoryUse) + Send + Sync>;

/// What one function or task did to the heap, in bytes. Only what it allocates and frees on the threads that poll it
/// counts as its own, not what it hands to other threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemoryUse {
    /// In use by the whole process when it began.
    pub before: u64,
    /// `before`, and the most that it held on top.
    pub peak: u64,
    /// `before`, and what it left behind: its result, caches, leaks.
    pub after: u64,
    /// Whether `peak - before` was past the threshold.
    pub is_past: bool,
    /// Whether a [`CountingAllocator`] is installed; all else is 0 when not.
    pub is_counted: bool,
}

/// Bytes of the whole process, less what threads have not added yet.
static TOTAL: AtomicI64 = AtomicI64::new(0);

/// What a thread keeps to itself before it adds to the total.
const STEP: i64 = 64 << 10;

thread_local! {
    static LOCAL: Local = const { Local { pending: Cell::new(0), scope: Cell::new(ptr::null()), counts: Cell::new(false) } };
}

struct Local {
    pending: Cell<i64>,
    scope: Cell<*const Scope>,
    counts: Cell<bool>,
}

/// The account of one function or task; only one thread at a time is inside.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    net: AtomicI64,
    peak: AtomicI64,
}

/// Inside a scope until dropped.
struct Inside<'a> {
    scope: &'a Scope,
    outer: *const Scope,
    net: i64,
    peak: i64,
}

impl CountingAllocator {
    /// Over the system's allocator.
    #[must_use]
    pub const fn system() -> Self {
        Self(System)
    }
}

impl<A> CountingAllocator<A> {
    /// Over another allocator.
    pub const fn new(inner: A) -> Self {
        Self(inner)
    }
}

// SAFETY: every call goes to the inner allocator unchanged; counting allocates nothing.
unsafe impl<A: GlobalAlloc> GlobalAlloc for CountingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        let at = unsafe { self.0.alloc(layout) };
        if !at.is_null() {
            count(layout.size() as i64);
        }
        at
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        let at = unsafe { self.0.alloc_zeroed(layout) };
        if !at.is_null() {
            count(layout.size() as i64);
        }
        at
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller's promises are passed on.
        unsafe { self.0.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        let new = unsafe { self.0.realloc(at, layout, size) };
        if !new.is_null() {
            count(size as i64 - layout.size() as i64);
        }
        new
    }
}

impl MemoryMonitor {
    /// The threshold that suits most: 200 MB.
    pub const THRESHOLD: u64 = 200_000_000;

    /// Warns past so many bytes.
    #[must_use]
    pub fn new(threshold: u64) -> Self {
        Self { threshold, warn: None }
    }

    /// Whom to tell when something went past the threshold.
    #[must_use]
    pub fn on_warning(mut self, warn: impl Fn(&MemoryUse) + Send + Sync + 'static) -> Self {
        self.warn = Some(Arc::new(warn));
        self
    }

    /// Runs a function and says what it used. When it panics, nothing is said.
    pub fn run<R>(&self, function: impl FnOnce() -> R) -> (R, MemoryUse) {
        let (scope, before) = (Scope::default(), in_use());
        let result = scope.within(function);
        (result, self.judge(before, &scope))
    }

    /// Runs a task and says what it used, over all its polls.
    pub async fn watch<F: Future>(&self, task: F) -> (F::Output, MemoryUse) {
        let (scope, before) = (Scope::default(), in_use());
        let mut task = pin!(task);
        let result = poll_fn(|cx| scope.within(|| task.as_mut().poll(cx))).await;
        (result, self.judge(before, &scope))
    }

    fn judge(&self, before: Option<u64>, scope: &Scope) -> MemoryUse {
        let Some(before) = before else { return MemoryUse::default() };
        let peak = scope.peak();
        let used = MemoryUse {
            before,
            peak: before + peak,
            after: before.saturating_add_signed(scope.net.load(Ordering::Relaxed)),
            is_past: peak > self.threshold,
            is_counted: true,
        };
        if let (true, Some(warn)) = (used.is_past, &self.warn) {
            warn(&used);
        }
        used
    }
}

impl Default for MemoryMonitor {
    fn default() -> Self {
        Self::new(Self::THRESHOLD)
    }
}

impl std::fmt::Debug for MemoryMonitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryMonitor").field("threshold", &self.threshold).finish_non_exhaustive()
    }
}

impl Scope {
    /// Counts what `function` does on this thread.
    pub(crate) fn within<R>(&self, function: impl FnOnce() -> R) -> R {
        let outer = LOCAL.with(|local| local.scope.replace(self));
        let (net, peak) = (self.net.load(Ordering::Relaxed), self.peak.load(Ordering::Relaxed));
        self.peak.store(net, Ordering::Relaxed);
        let _inside = Inside { scope: self, outer, net, peak };
        function()
    }

    /// The most bytes that it held at once.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed).max(0).unsigned_abs()
    }

    /// For the next job.
    pub(crate) fn reset(&self) {
        self.net.store(0, Ordering::Relaxed);
        self.peak.store(0, Ordering::Relaxed);
    }

    /// No instruction is locked: only the thread inside writes.
    fn add(&self, bytes: i64) {
        let net = self.net.load(Ordering::Relaxed) + bytes;
        self.net.store(net, Ordering::Relaxed);
        self.reach(net);
    }

    fn reach(&self, net: i64) {
        if net > self.peak.load(Ordering::Relaxed) {
            self.peak.store(net, Ordering::Relaxed);
        }
    }
}

impl Drop for Inside<'_> {
    /// What happened inside happened to the scope around it as well.
    fn drop(&mut self) {
        LOCAL.with(|local| local.scope.set(self.outer));
        let (net, peak) = (self.scope.net.load(Ordering::Relaxed), self.scope.peak.load(Ordering::Relaxed));
        self.scope.reach(self.peak);
        // SAFETY: the scope around us is on the stack of a caller, which waits for us.
        if let Some(outer) = unsafe { self.outer.as_ref() } {
            outer.reach(outer.net.load(Ordering::Relaxed) + peak - self.net);
            outer.add(net - self.net);
        }
    }
}

/// Bytes in use by the process; `None` when nobody counts.
pub(crate) fn in_use() -> Option<u64> {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(1)));
    LOCAL.with(|local| {
        let bytes = TOTAL.load(Ordering::Relaxed) + local.pending.get();
        local.counts.get().then_some(bytes.max(0).unsigned_abs())
    })
}

fn count(bytes: i64) {
    // A thread that ends frees things after its variables are gone: those few are not counted.
    let _ = LOCAL.try_with(|local| {
        local.counts.set(true);
        let pending = local.pending.get() + bytes;
        if pending.abs() < STEP {
            local.pending.set(pending);
        } else {
            local.pending.set(0);
            TOTAL.fetch_add(pending, Ordering::Relaxed);
        }
        // SAFETY: a scope is on the stack of a caller as long as its address stands here.
        if let Some(scope) = unsafe { local.scope.get().as_ref() } {
            scope.add(bytes);
        }
    });
}
