//! The way of a miss: who leads it, through which tiers, and what is published where.

use std::sync::Arc;
use std::time::Duration;

use crate::birth::Birth;
use crate::cache::{Inner, Landed};
use crate::entry::Found;
use crate::error::Error;
use crate::flight::{Arrival, Lead, Seat};
use crate::layer::Layer;
use crate::lifetime::millis;
use crate::store::{Key, Store, Value};
use crate::sync::{Ordering, lock};
use crate::tier::{Claim, Read, Record};

/// A claim that was given on the way down, for who fills the tier on the way up.
pub(crate) struct Below<'a> {
    layer: &'a Layer,
    claim: Option<Claim>,
    generation: u64,
}

/// The first wait for somebody else's load, and the longest between two looks.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_millis(50);

impl<K: Key, V: Value, S: Store<K, V>> Inner<K, V, S> {
    /// Leads the key's flight or waits for it.
    pub(crate) async fn fly<F, R, E>(&self, key: &K, load: F) -> Result<V, Error>
    where
        F: FnOnce(K) -> R + Send,
        R: Future<Output = Result<V, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let asked = self.memory.birth().generation;
        let mut seat = self.board.join(key);
        loop {
            seat = match seat {
                Seat::Lead(lead) => return self.lead(lead, load).await,
                Seat::Wait(wait) => match wait.await {
                    Arrival::Lead(lead) => {
                        self.counts.taken_over.fetch_add(1, Ordering::Relaxed);
                        Seat::Lead(lead)
                    }
                    Arrival::Landed(landed) => {
                        self.counts.joined.fetch_add(1, Ordering::Relaxed);
                        match landed.result {
                            // Something was invalidated between its beginning and our asking.
                            Ok(value) if !self.memory.survives(key, &value, landed.generation, asked) => {
                                self.board.join(key)
                            }
                            Ok(value) => return Ok(value),
                            Err(error) => return self.instead(key, error),
                        }
                    }
                },
            }
        }
    }

    async fn lead<F, R, E>(&self, lead: Lead<K, Landed<V>>, load: F) -> Result<V, Error>
    where
        F: FnOnce(K) -> R + Send,
        R: Future<Output = Result<V, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let key = lead.key().clone();
        let (result, birth) = match self.memory.peek(&key) {
            // Somebody landed between our look and our lead.
            Found::Fresh(value) => {
                let generation = self.memory.birth().generation;
                lead.land(Landed { result: Ok(value.clone()), generation }, || {});
                return Ok(value);
            }
            _ => self.bring(&key, load).await,
        };
        let landed = Landed { result: result.clone(), generation: birth.generation };
        let published = match &result {
            Ok(value) => lead.land(landed, || self.memory.put(key.clone(), value.clone(), birth.ttl, birth)),
            Err(_) => lead.land(landed, || {}),
        };
        if !published {
            self.counts.unpublished.fetch_add(1, Ordering::Relaxed);
        }
        result.or_else(|error| self.instead(&key, error))
    }

    /// The stale value that may stand in for an error.
    fn instead(&self, key: &K, error: Error) -> Result<V, Error> {
        match self.memory.peek(key) {
            Found::Fresh(value) => Ok(value),
            Found::Stale { value, for_ms } if for_ms < self.stale_if_error_ms => {
                self.counts.stale_on_error.fetch_add(1, Ordering::Relaxed);
                Ok(value)
            }
            _ => Err(error),
        }
    }

    /// Loads beside, unless somebody does or too many do.
    pub(crate) fn refresh<F, R, E>(self: &Arc<Self>, key: &K, load: F)
    where
        F: FnOnce(K) -> R + Send + 'static,
        R: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut refreshes = lock(&self.refreshes);
        while refreshes.try_join_next().is_some() {}
        if refreshes.len() >= self.max_refreshes {
            return;
        }
        let Some(lead) = self.board.try_lead(key) else { return };
        self.counts.refreshed.fetch_add(1, Ordering::Relaxed);
        let inner = Arc::clone(self);
        refreshes.spawn_on(
            async move {
                // Whoever asks while it fails is told by its own load.
                _ = inner.lead(lead, load).await;
            },
            &runtime,
        );
    }

    /// Through the tiers below, then by the loader; fills on the way up what was asked on the way down.
    async fn bring<F, R, E>(&self, key: &K, load: F) -> (Result<V, Error>, Birth)
    where
        F: FnOnce(K) -> R + Send,
        R: Future<Output = Result<V, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if self.layers.is_empty() {
            let birth = self.memory.birth();
            return (self.load(key, load).await, birth);
        }
        let (found, below) = self.read(key, true).await;
        if let Some((value, birth)) = found {
            return (Ok(value), birth);
        }
        let birth = self.memory.birth();
        let began = tokio::time::Instant::now();
        let result = self.load(key, load).await;
        let Some(bytes) = self.key_bytes(key) else { return (result, birth) };
        for below in below.iter().rev() {
            let kept = result.as_ref().ok().filter(|value| self.memory.life_of(key, value).is_some());
            let record = kept.and_then(|value| self.record(key, value, began.elapsed(), below.generation));
            match (record, below.claim) {
                (Some(record), Some(claim)) => below.layer.write(&bytes, record, Some(claim)).await,
                (None, Some(claim)) => below.layer.release(&bytes, claim).await,
                (_, None) => {}
            }
        }
        (result, birth)
    }

    async fn load<F, R, E>(&self, key: &K, load: F) -> Result<V, Error>
    where
        F: FnOnce(K) -> R + Send,
        R: Future<Output = Result<V, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let began = tokio::time::Instant::now();
        let result = if self.load_timeout.is_zero() {
            load(key.clone()).await.map_err(Error::load)
        } else {
            match tokio::time::timeout(self.load_timeout, load(key.clone())).await {
                Ok(result) => result.map_err(Error::load),
                Err(_) => Err(Error::timed_out(self.load_timeout)),
            }
        };
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.counts.micros.fetch_add(micros, Ordering::Relaxed);
        let counter = if result.is_ok() { &self.counts.succeeded } else { &self.counts.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// Asks the tiers from the top; a find is written into those above it. Otherwise says whom to fill.
    pub(crate) async fn read(&self, key: &K, claim: bool) -> (Option<(V, Birth)>, Vec<Below<'_>>) {
        let mut above: Vec<Below<'_>> = Vec::new();
        let (Some(codec), Some(bytes)) = (&self.codec, self.key_bytes(key)) else { return (None, above) };
        for layer in &self.layers {
            let generation = layer.generation();
            let begun = self.memory.birth();
            let mut claimed = None;
            match self.read_one(layer, &bytes, claim).await {
                Some(Read::Found(record)) => {
                    if let Some(value) = codec.decode(&record.bytes) {
                        let birth = Birth {
                            at_ms: begun.at_ms.saturating_sub(millis(record.age)),
                            ttl: record.own.then_some(record.life.unwrap_or(Duration::ZERO)),
                            ..begun
                        };
                        if !self.memory.is_fresh(key, &value, birth) {
                            // Lives have become shorter since it was written.
                            layer.remove(&bytes).await;
                            above.push(Below { layer, claim: None, generation });
                            continue;
                        }
                        for upper in above.iter().rev() {
                            if let Some(claim) = upper.claim {
                                let record = Record { generation: upper.generation, ..record.clone() };
                                upper.layer.write(&bytes, record, Some(claim)).await;
                            }
                        }
                        return (Some((value, birth)), Vec::new());
                    }
                    // Bytes of another release: what is loaded replaces them.
                    layer.remove(&bytes).await;
                }
                Some(Read::Absent(claim)) => claimed = claim,
                Some(Read::Claimed) | None => {}
            }
            above.push(Below { layer, claim: claimed, generation });
        }
        (None, above)
    }

    /// Waits while another process loads, up to `load_timeout`.
    async fn read_one(&self, layer: &Layer, key: &[u8], claim: bool) -> Option<Read> {
        let patience = if self.load_timeout.is_zero() { Duration::MAX } else { self.load_timeout };
        let began = tokio::time::Instant::now();
        let mut pause = FIRST_LOOK;
        loop {
            match layer.read(key, claim).await {
                Some(Read::Claimed) if claim && began.elapsed() < patience => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LAST_LOOK);
                }
                read => return read,
            }
        }
    }

    pub(crate) fn key_bytes(&self, key: &K) -> Option<Vec<u8>> {
        let codec = self.codec.as_ref().filter(|_| !self.layers.is_empty())?;
        Some(codec.key(key))
    }

    /// `None`: it cannot be kept below.
    pub(crate) fn record(&self, key: &K, value: &V, age: Duration, generation: u64) -> Option<Record> {
        let bytes = self.codec.as_ref()?.encode(value)?;
        let (life, own) = self.memory.life_of(key, value)?;
        let tags = self.memory.tags_of(key, value);
        Some(Record { bytes, age, life, own, tags, generation })
    }
}
