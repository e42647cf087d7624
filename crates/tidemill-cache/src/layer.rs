//! A tier as the cache uses it: bounded in time, spared when it fails, counted, and never trusted with a key that could
//! not be removed.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::breaker::Breaker;
use crate::clock::Clock;
use crate::stats::TierStats;
use crate::sync::{AtomicU64, Mutex, Ordering, lock};
use crate::tier::{Answer, Claim, Peers, Read, Record, Tier};

/// Keys whose removal is owed; beyond, everything is.
const MAX_OWED: usize = 4096;
/// Failures in a row that open the breaker.
const FAILURES: u32 = 5;

pub(crate) struct Layer {
    tier: Arc<dyn Tier>,
    clock: Clock,
    timeout: Duration,
    breaker: Mutex<Breaker>,
    owed: Mutex<Owed>,
    counts: Counts,
}

/// What the tier must be told before it is believed again.
#[derive(Default)]
struct Owed {
    keys: HashSet<Vec<u8>>,
    tags: HashSet<u32>,
    everything: bool,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    writes: AtomicU64,
    lost: AtomicU64,
    failures: AtomicU64,
    skipped: AtomicU64,
}

impl Layer {
    pub(crate) fn new(tier: Arc<dyn Tier>, clock: Clock, timeout: Duration, rest: Duration) -> Self {
        let (breaker, owed) = (Mutex::new(Breaker::new(FAILURES, rest)), Mutex::new(Owed::default()));
        Self { tier, clock, timeout, breaker, owed, counts: Counts::default() }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.tier.generation()
    }

    pub(crate) fn listen(&self, peers: Weak<dyn Peers>) {
        self.tier.listen(peers);
    }

    /// `None`: it failed, or nobody asked it.
    pub(crate) async fn read(&self, key: &[u8], claim: bool) -> Option<Read> {
        if !self.settle(key).await {
            self.counts.skipped.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let read = self.ask(self.tier.read(key, claim)).await?;
        let counter = match read {
            Read::Found(_) => &self.counts.hits,
            Read::Absent(_) | Read::Claimed => &self.counts.misses,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        Some(read)
    }

    /// A write that fails may have happened: without a claim to end it, the key is removed before it is read again.
    pub(crate) async fn write(&self, key: &[u8], record: Record, claim: Option<Claim>) {
        match self.ask(self.tier.write(key, record, claim)).await {
            Some(true) => _ = self.counts.writes.fetch_add(1, Ordering::Relaxed),
            Some(false) => _ = self.counts.lost.fetch_add(1, Ordering::Relaxed),
            None if claim.is_none() => self.owe_key(key),
            None => {}
        }
    }

    pub(crate) async fn release(&self, key: &[u8], claim: Claim) {
        self.ask(self.tier.release(key, claim)).await;
    }

    pub(crate) async fn remove(&self, key: &[u8]) {
        if self.ask(self.tier.remove(key)).await.is_none() {
            self.owe_key(key);
        }
    }

    /// A sweep takes its time, so only its steps are bounded, by the tier. One that failed is owed as everything.
    pub(crate) async fn remove_matching(&self, pattern: &[u8]) {
        let admitted = lock(&self.breaker).admit(self.clock.now());
        if admitted && self.tier.remove_matching(pattern).await.is_ok() {
            lock(&self.breaker).succeeded();
            return;
        }
        if admitted {
            self.counts.failures.fetch_add(1, Ordering::Relaxed);
            lock(&self.breaker).failed(self.clock.now());
        }
        lock(&self.owed).everything = true;
    }

    pub(crate) async fn invalidate_tag(&self, tag: u32) {
        if self.ask(self.tier.invalidate_tag(tag)).await.is_none() {
            let mut owed = lock(&self.owed);
            owed.tags.insert(tag);
            owed.bound();
        }
    }

    pub(crate) async fn invalidate_all(&self) {
        if self.ask(self.tier.invalidate_all()).await.is_none() {
            lock(&self.owed).everything = true;
        }
    }

    fn owe_key(&self, key: &[u8]) {
        let mut owed = lock(&self.owed);
        owed.keys.insert(key.to_vec());
        owed.bound();
    }

    /// Tells the tier what it was not there to hear; `false`: it still is not, and must not be asked about this key.
    async fn settle(&self, key: &[u8]) -> bool {
        let (everything, tags, owes_key) = {
            let owed = lock(&self.owed);
            (owed.everything, owed.tags.iter().copied().collect::<Vec<u32>>(), owed.keys.contains(key))
        };
        if everything {
            if self.ask(self.tier.invalidate_all()).await.is_none() {
                return false;
            }
            *lock(&self.owed) = Owed::default();
            return true;
        }
        for tag in tags {
            if self.ask(self.tier.invalidate_tag(tag)).await.is_none() {
                return false;
            }
            lock(&self.owed).tags.remove(&tag);
        }
        if owes_key {
            if self.ask(self.tier.remove(key)).await.is_none() {
                return false;
            }
            lock(&self.owed).keys.remove(key);
        }
        true
    }

    async fn ask<T>(&self, answer: Answer<'_, T>) -> Option<T> {
        if !lock(&self.breaker).admit(self.clock.now()) {
            self.counts.skipped.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        if let Ok(Ok(value)) = tokio::time::timeout(self.timeout, answer).await {
            lock(&self.breaker).succeeded();
            return Some(value);
        }
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        lock(&self.breaker).failed(self.clock.now());
        None
    }

    pub(crate) fn stats(&self) -> TierStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (entries, bytes) = self.tier.size();
        TierStats {
            name: self.tier.name(),
            hits: count(&self.counts.hits),
            misses: count(&self.counts.misses),
            writes: count(&self.counts.writes),
            writes_refused: count(&self.counts.lost),
            failures: count(&self.counts.failures),
            skipped: count(&self.counts.skipped),
            open: lock(&self.breaker).is_open(),
            entries,
            bytes,
        }
    }
}

impl Owed {
    fn bound(&mut self) {
        if self.keys.len() + self.tags.len() > MAX_OWED {
            *self = Self { everything: true, ..Self::default() };
        }
    }
}
