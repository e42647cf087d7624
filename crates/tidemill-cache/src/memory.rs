//! The first tier: values in this process's memory, with a lifetime, a weight and a count of what happened.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

use crate::birth::{Birth, PAST_MS};
use crate::builder::{Builder, Rules};
use crate::clock::Clock;
use crate::config::Config;
use crate::entry::{Cause, Found, Mark, Timed};
use crate::error::Error;
use crate::generation::{self, Generations, Tags};
use crate::lifetime::{Freshness, Scale, SharedScale, Stamp, millis};
use crate::namespace::Namespace;
use crate::quick::Quick;
use crate::stats::{self, Stats};
use crate::store::{EvictionSink, Key, Store, Value};
use crate::stripes::Stripes;
use crate::sync::{AtomicU64, Mutex, Ordering, lock};

/// A bounded map whose entries end: TTL, weight, statistics, an eviction listener, and a size and a TTL that change live.
///
/// ```
/// use std::time::Duration;
/// use tidemill_cache::{Capacity, Config, Memory};
///
/// let config = Config { capacity: Capacity::Entries(2000), ttl: Duration::from_secs(60), ..Config::default() };
/// let prices: Memory<String, f64> = Memory::builder(config).build()?;
/// prices.insert("AAPL".to_owned(), 189.5);
/// assert_eq!(prices.get("AAPL"), Some(189.5));
///
/// prices.scale_ttl(1.5); // every entry, also those inside: one store
/// prices.resize(0.7)?;   // to 1400 entries, evicted in small steps
/// assert_eq!(prices.stats().hit_rate(), 1.0);
/// # Ok::<(), tidemill_cache::Error>(())
/// ```
///
/// A clone of the value is handed out. To share it, put it into an [`Arc`].
pub struct Memory<K: Key, V: Value, S: Store<K, V> = Quick<K, V>> {
    store: S,
    clock: Clock,
    life: Option<Duration>,
    negative_life: Duration,
    keep_ms: u64,
    jitter: f64,
    seed: u64,
    scale: SharedScale,
    generations: Generations,
    rules: Rules<K, V>,
    counts: Stripes,
    evicted: Arc<AtomicU64>,
    resizing: Mutex<()>,
}

// Counters of the stripes.
const HITS: usize = 0;
const SAVED: usize = 1;
const MISSES: usize = 2;
const STALE: usize = 3;
const INSERTS: usize = 4;
const EXPIRED: usize = 5;
const REMOVED: usize = 6;
const INVALIDATED: usize = 7;

impl<K: Key, V: Value> Memory<K, V> {
    /// With the default store; [`Builder::store`] takes another.
    #[must_use]
    pub fn builder(config: Config) -> Builder<K, V> {
        Builder::new(config)
    }
}

impl<K: Key, V: Value, S: Store<K, V>> Memory<K, V, S> {
    /// `config` has been checked.
    pub(crate) fn new(config: &Config, rules: Rules<K, V>, clock: Clock) -> Self {
        let evicted = Arc::new(AtomicU64::new(0));
        let evictions = EvictionSink { count: Arc::clone(&evicted), listener: rules.listener.clone() };
        let slots = if rules.has_tags() { config.tag_slots } else { 0 };
        Self {
            store: S::with_capacity(config.capacity.limit(), config.estimated_entries(), evictions),
            clock,
            life: config.life(),
            negative_life: config.negative_ttl,
            keep_ms: millis(config.stale_cap()),
            jitter: config.ttl_jitter,
            seed: config.seed,
            scale: SharedScale::one(),
            generations: Generations::new(slots),
            rules,
            counts: Stripes::new(),
            evicted,
            resizing: Mutex::new(()),
        }
    }

    /// The value, when it is within its life.
    #[inline]
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        match self.look(key, 0) {
            Found::Fresh(value) => Some(value),
            _ => None,
        }
    }

    /// The value and what its age means, when it is less than `stale` past its life and within
    /// [`Config::stale_cap`].
    pub fn get_stale<Q: Hash + Eq + ?Sized>(&self, key: &Q, stale: Duration) -> Found<V>
    where
        K: Borrow<Q>,
    {
        self.look(key, millis(stale))
    }

    #[inline]
    pub(crate) fn look<Q: Hash + Eq + ?Sized>(&self, key: &Q, stale_ms: u64) -> Found<V>
    where
        K: Borrow<Q>,
    {
        let Some(entry) = self.store.get(key) else {
            self.counts.add(MISSES, 1);
            return Found::Missing;
        };
        match self.judge(&entry) {
            Ok(Freshness::Fresh) => {
                self.counts.add2((HITS, 1), (SAVED, entry.mark.weight()));
                Found::Fresh(entry.value)
            }
            Ok(Freshness::Stale { for_ms }) if for_ms < stale_ms => {
                self.counts.add2((STALE, 1), (SAVED, entry.mark.weight()));
                Found::Stale { value: entry.value, for_ms }
            }
            Ok(_) => {
                self.counts.add(MISSES, 1);
                Found::Missing
            }
            Err(cause) => {
                self.counts.add(MISSES, 1);
                self.remove_as(key, cause, |there| self.judge(there) == Err(cause));
                Found::Missing
            }
        }
    }

    /// As a read, without counting it or removing anything.
    pub(crate) fn peek<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Found<V>
    where
        K: Borrow<Q>,
    {
        let Some(entry) = self.store.get(key) else { return Found::Missing };
        match self.judge(&entry) {
            Ok(Freshness::Fresh) => Found::Fresh(entry.value),
            Ok(Freshness::Stale { for_ms }) => Found::Stale { value: entry.value, for_ms },
            Ok(Freshness::Dead) | Err(_) => Found::Missing,
        }
    }

    /// What an entry is worth now, or why it has to go.
    #[inline]
    fn judge(&self, entry: &Timed<V>) -> Result<Freshness, Cause> {
        if !self.generations.is_valid(entry.mark.generation(), entry.tags.as_deref()) {
            return Err(Cause::Invalidated);
        }
        if !entry.stamp.ages() {
            return Ok(Freshness::Fresh);
        }
        match entry.stamp.freshness(self.now_ms(), self.scale.get(), self.keep_ms) {
            Freshness::Dead => Err(Cause::Expired),
            other => Ok(other),
        }
    }

    /// Puts a value in, to live for the [`ttl`](Config::ttl) or what the builder's `ttl_of` says.
    pub fn insert(&self, key: K, value: V) {
        self.put(key, value, None, self.birth());
    }

    /// Puts a value in, to live for `ttl`; zero is for ever. [`scale_ttl`](Self::scale_ttl) leaves it alone.
    pub fn insert_with_ttl(&self, key: K, value: V, ttl: Duration) {
        self.put(key, value, Some(ttl), self.birth());
    }

    pub(crate) fn put(&self, key: K, value: V, ttl: Option<Duration>, born: Birth) {
        let tags = self.rules.tags(&key, &value);
        let Some((life, own)) = self.life(&key, &value, ttl).filter(|_| !overflows(tags.as_ref())) else {
            // What is not kept does not leave an older value standing either.
            self.remove(&key);
            return;
        };
        let life = life.map(|life| self.jittered(&key, born.at_ms, life));
        let stamp = Stamp::from_ms(born.at_ms, life, own);
        let mark = Mark::new(born.generation, self.rules.weigh(&key, &value));
        self.counts.add(INSERTS, 1);
        self.store.insert(key, Timed { value, stamp, mark, tags: tags.map(Arc::new) });
    }

    /// Its life (`None` is for ever), and whether it is its own; `None` when it is not to be kept at all.
    fn life(&self, key: &K, value: &V, ttl: Option<Duration>) -> Option<(Option<Duration>, bool)> {
        let own = ttl.or_else(|| self.rules.ttl(key, value));
        if let Some(own) = own {
            return Some((Some(own).filter(|own| !own.is_zero()), true));
        }
        if self.rules.is_negative(value) {
            return (!self.negative_life.is_zero()).then_some((Some(self.negative_life), true));
        }
        Some((self.life, false))
    }

    /// Whether a value of this birth would be fresh.
    pub(crate) fn is_fresh(&self, key: &K, value: &V, born: Birth) -> bool {
        let Some((life, own)) = self.life(key, value, born.ttl) else { return false };
        let stamp = Stamp::from_ms(born.at_ms, life, own);
        stamp.freshness(self.now_ms(), self.scale.get(), 0) == Freshness::Fresh
    }

    /// The life that the tiers below are told, as it is now.
    pub(crate) fn life_of(&self, key: &K, value: &V) -> Option<(Option<Duration>, bool)> {
        let (life, own) =
            self.life(key, value, None).filter(|_| !overflows(self.rules.tags(key, value).as_ref()))?;
        let scale = if own { 1.0 } else { self.scale.get().factor() };
        Some((life.map(|life| life.mul_f64(scale)), own))
    }

    pub(crate) fn tags_of(&self, key: &K, value: &V) -> Vec<u32> {
        self.rules.tags(key, value).map_or_else(Vec::new, |tags| tags.hashes().to_vec())
    }

    /// Whether what was born in `generation` may be given to who asked in `asked`.
    pub(crate) fn survives(&self, key: &K, value: &V, generation: u64, asked: u64) -> bool {
        generation >= asked || self.generations.is_valid(generation, self.rules.tags(key, value).as_ref())
    }

    /// Shortened by up to the config's share, so that what was written together does not end together.
    fn jittered(&self, key: &K, at_ms: u64, life: Duration) -> Duration {
        if self.jitter == 0.0 {
            return life;
        }
        let hash = foldhash::fast::FixedState::with_seed(self.seed ^ at_ms).hash_one(key);
        #[expect(clippy::cast_precision_loss, reason = "53 of 64 bits are random enough")]
        let share = hash as f64 / u64::MAX as f64;
        life.mul_f64(1.0 - self.jitter * share)
    }

    /// Takes a value out, fresh or stale; one that is dead counts as absent.
    pub fn remove<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let entry = self.remove_as(key, Cause::Removed, |_| true)?;
        self.judge(&entry).is_ok().then_some(entry.value)
    }

    fn remove_as<Q: Hash + Eq + ?Sized>(
        &self,
        key: &Q,
        cause: Cause,
        test: impl Fn(&Timed<V>) -> bool,
    ) -> Option<Timed<V>>
    where
        K: Borrow<Q>,
    {
        let (key, entry) = self.store.remove_if(key, test)?;
        let counter = match cause {
            Cause::Expired => EXPIRED,
            Cause::Invalidated => INVALIDATED,
            Cause::Removed | Cause::Capacity => REMOVED,
        };
        self.counts.add(counter, 1);
        if let Some(listener) = &self.rules.listener {
            listener(key, entry.value.clone(), cause);
        }
        Some(entry)
    }

    /// Makes every entry with this tag absent, at once, whatever their number. The builder's `tags` says which an entry has.
    /// Their room is given back when somebody meets them, or by [`purge`](Self::purge).
    pub fn invalidate_tag(&self, tag: &(impl Hash + ?Sized)) {
        self.generations.strike(generation::hash(tag));
    }

    /// Makes every entry of this namespace absent, at once, whatever their number.
    ///
    /// # Errors
    /// `Config`: the builder was not told of it.
    pub fn invalidate_namespace(&self, namespace: Namespace) -> Result<(), Error> {
        self.generations.strike(self.rules.struck_by(namespace)?);
        Ok(())
    }

    pub(crate) fn struck_by(&self, namespace: Namespace) -> Result<u32, Error> {
        self.rules.struck_by(namespace)
    }

    pub(crate) fn invalidate_tag_hash(&self, hash: u32) {
        self.generations.strike(hash);
    }

    /// Makes every entry absent, at once.
    pub fn invalidate_all(&self) {
        self.generations.strike_everything();
    }

    /// Removes what is dead; returns how many entries. Walks the whole cache without holding a lock for long.
    pub fn purge(&self) -> u64 {
        let mut dead = Vec::new();
        let mut gone = 0;
        // In groups, so that a cache of dead entries does not stand in memory twice.
        let mut clear = |dead: &mut Vec<(K, Cause)>| {
            for (key, cause) in dead.drain(..) {
                gone +=
                    u64::from(self.remove_as(&key, cause, |there| self.judge(there) == Err(cause)).is_some());
            }
        };
        self.store.scan(|key, entry| {
            if let Err(cause) = self.judge(&entry) {
                dead.push((key, cause));
            }
            if dead.len() >= 256 {
                clear(&mut dead);
            }
        });
        clear(&mut dead);
        self.store.settle();
        gone
    }

    /// Changes the capacity by a factor: `0.7` gives 30 % back. Evicts in steps, so that nobody waits for long; this
    /// call returns when it is done.
    ///
    /// # Errors
    /// `Config` when the factor makes no capacity, `Unsupported` when the store cannot resize.
    pub fn resize(&self, factor: f64) -> Result<(), Error> {
        if !(factor > 0.0 && factor <= 1e6) {
            return Err(Error::config("resize", format!("{factor} is not above 0 and up to a million")));
        }
        #[expect(clippy::cast_precision_loss, reason = "a capacity is below 2^48")]
        let capacity = self.capacity() as f64 * factor;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, and is clamped below"
        )]
        self.set_capacity((capacity.round() as u64).max(1))
    }

    /// Changes the capacity to so many entries or bytes, whichever the config counts.
    ///
    /// # Errors
    /// As [`resize`](Self::resize).
    pub fn set_capacity(&self, capacity: u64) -> Result<(), Error> {
        if capacity == 0 || capacity > 1 << 48 {
            return Err(Error::config("capacity", format!("{capacity} is not within 1 to 2^48")));
        }
        let _one_at_a_time = lock(&self.resizing);
        if self.store.set_capacity(capacity) {
            return Ok(());
        }
        Err(Error::unsupported(S::NAME, "change its capacity while it runs"))
    }

    /// The capacity now.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.store.capacity()
    }

    /// Multiplies the life of every entry, those inside included, except lives of their own
    /// ([`insert_with_ttl`](Self::insert_with_ttl), `ttl_of`, negative values). One store, whatever the number of entries.
    pub fn scale_ttl(&self, factor: f64) {
        self.scale.multiply(factor);
    }

    /// Sets the life of every entry that has none of its own, those inside included. Without effect when the config's
    /// `ttl` is 0, for then nothing ends.
    pub fn set_ttl(&self, ttl: Duration) {
        if let Some(life) = self.life {
            self.scale.set(Scale::new(ttl.as_secs_f64() / life.as_secs_f64()));
        }
    }

    /// The life of a new entry now; `None` is for ever.
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        self.life.map(|life| life.mul_f64(self.scale.get().factor()))
    }

    /// What was counted, and how full it is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let sum = |counter| self.counts.sum(counter);
        Stats {
            hits: sum(HITS),
            stale_hits: sum(STALE),
            misses: sum(MISSES),
            saved: sum(SAVED),
            inserts: sum(INSERTS),
            evictions: stats::Evictions {
                capacity: self.evicted.load(Ordering::Relaxed),
                expired: sum(EXPIRED),
                removed: sum(REMOVED),
                invalidated: sum(INVALIDATED),
            },
            entries: self.store.entries(),
            weight: self.store.weight(),
            capacity: self.store.capacity(),
        }
    }

    pub(crate) fn keys_that(&self, test: impl Fn(&K) -> bool) -> Vec<K> {
        let mut keys = Vec::new();
        self.store.scan(|key, _| {
            if test(&key) {
                keys.push(key);
            }
        });
        keys
    }

    /// Each key and value that is within its life, in no order; holds no lock for long.
    pub fn for_each(&self, mut visit: impl FnMut(&K, &V)) {
        self.store.scan(|key, entry| {
            if self.judge(&entry) == Ok(Freshness::Fresh) {
                visit(&key, &entry.value);
            }
        });
    }

    /// That of a value whose load begins now.
    pub(crate) fn birth(&self) -> Birth {
        Birth { at_ms: self.now_ms(), generation: self.generations.current(), ttl: None }
    }

    #[inline]
    fn now_ms(&self) -> u64 {
        PAST_MS + self.clock.now_ms()
    }
}

fn overflows(tags: Option<&Tags>) -> bool {
    tags.is_some_and(Tags::overflowed)
}
