//! What was asked for, how often, at which hour and what came next; and what that says of the next. Without clock or I/O.

use std::collections::{HashMap, VecDeque};

use crate::store::Key;

/// Successors that a key remembers.
const NEXT: usize = 2;
/// Observations of a successor before it is believed.
const SURE: u16 = 3;
/// Predictions that were judged lately; then older ones count half.
const WINDOW: u32 = 256;
/// Judgements before anything is concluded.
const ENOUGH: u32 = 32;
/// While prefetching does not pay, one of so many predictions is followed, to see whether it does again.
const PROBE: u64 = 32;

/// One key's history.
struct Seen<K> {
    count: u32,
    hours: [u16; 24],
    followed: u16,
    next: [Option<(K, u16)>; NEXT],
}

/// A bounded history of keys, and the account of what was brought because of it.
pub(super) struct Predictor<K> {
    keys: HashMap<K, Seen<K>, foldhash::fast::RandomState>,
    max_keys: usize,
    /// Keys brought and not yet asked for, with the observation until which that is not in vain.
    brought: VecDeque<(K, u64)>,
    waiting: HashMap<K, u64, foldhash::fast::RandomState>,
    horizon: u64,
    observed: u64,
    aged: u64,
    min_used: f64,
    lately: (u32, u32),
    predictions: u64,
    pub(super) used: u64,
    pub(super) wasted: u64,
}

impl<K: Key> Predictor<K> {
    pub(super) fn new(max_keys: usize, horizon: u64, min_used: f64) -> Self {
        Self {
            keys: HashMap::default(),
            max_keys,
            brought: VecDeque::new(),
            waiting: HashMap::default(),
            horizon,
            observed: 0,
            aged: 0,
            min_used,
            lately: (0, 0),
            predictions: 0,
            used: 0,
            wasted: 0,
        }
    }

    /// The key was asked for in this hour (0-23), after `last` in its stream. Returns what is worth bringing now.
    pub(super) fn observe(&mut self, key: &K, last: Option<&K>, hour: usize) -> Option<K> {
        self.observed += 1;
        self.judge(key);
        if let Some(seen) = last.filter(|last| *last != key).and_then(|last| self.keys.get_mut(last)) {
            seen.follow(key);
        }
        if self.keys.len() >= self.max_keys && !self.keys.contains_key(key) {
            self.age();
        }
        if self.keys.len() < self.max_keys || self.keys.contains_key(key) {
            let seen = self.keys.entry(key.clone()).or_insert_with(Seen::new);
            seen.count = seen.count.saturating_add(1);
            seen.hours[hour % 24] = seen.hours[hour % 24].saturating_add(1);
        }
        let next = self.keys.get(key)?.prediction()?.clone();
        self.predictions += 1;
        let follow = self.pays() || self.predictions.is_multiple_of(PROBE);
        (follow && !self.waiting.contains_key(&next)).then_some(next)
    }

    /// It is being brought, because of a prediction.
    pub(super) fn bring(&mut self, key: K) {
        let until = self.observed + self.horizon;
        self.waiting.insert(key.clone(), until);
        self.brought.push_back((key, until));
    }

    /// It could not be brought: neither used nor wasted.
    pub(super) fn give_up(&mut self, key: &K) {
        self.waiting.remove(key);
    }

    fn judge(&mut self, key: &K) {
        if self.waiting.remove(key).is_some() {
            self.used += 1;
            self.count(true);
        }
        while self.brought.front().is_some_and(|(_, until)| *until < self.observed) {
            let Some((key, until)) = self.brought.pop_front() else { return };
            if self.waiting.get(&key) == Some(&until) {
                self.waiting.remove(&key);
                self.wasted += 1;
                self.count(false);
            }
        }
    }

    fn count(&mut self, used: bool) {
        self.lately.0 += u32::from(used);
        self.lately.1 += 1;
        if self.lately.1 >= WINDOW {
            self.lately = (self.lately.0 / 2, self.lately.1 / 2);
        }
    }

    /// Whether enough of what was brought lately was asked for.
    pub(super) fn pays(&self) -> bool {
        let (used, judged) = self.lately;
        judged < ENOUGH || f64::from(used) >= self.min_used * f64::from(judged)
    }

    /// Everything counts half, and what counts nothing is forgotten; not more often than it can have filled up again.
    fn age(&mut self) {
        if self.observed - self.aged < self.max_keys as u64 {
            return;
        }
        self.aged = self.observed;
        self.keys.retain(|_, seen| {
            seen.count /= 2;
            seen.hours.iter_mut().for_each(|hour| *hour /= 2);
            seen.count > 0
        });
    }

    /// The keys asked for most, in `hour` alone where one is given; the most popular first.
    pub(super) fn popular(&self, most: usize, hour: Option<usize>) -> Vec<K> {
        let weight = |seen: &Seen<K>| hour.map_or(seen.count, |hour| u32::from(seen.hours[hour % 24]));
        let mut keys: Vec<(u32, &K)> = self
            .keys
            .iter()
            .map(|(key, seen)| (weight(seen), key))
            .filter(|(weight, _)| *weight > 0)
            .collect();
        keys.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        keys.into_iter().take(most).map(|(_, key)| key.clone()).collect()
    }
}

impl<K: Key> Seen<K> {
    fn new() -> Self {
        Self { count: 0, hours: [0; 24], followed: 0, next: [const { None }; NEXT] }
    }

    fn follow(&mut self, key: &K) {
        self.followed = self.followed.saturating_add(1);
        if self.followed == u16::MAX {
            self.followed /= 2;
            self.next.iter_mut().flatten().for_each(|(_, count)| *count /= 2);
        }
        if let Some((_, count)) = self.next.iter_mut().flatten().find(|(next, _)| next == key) {
            *count += 1;
            return;
        }
        // A new one takes the place of the weakest, which loses its strength first: so none stays for ever.
        let weakest = self.next.iter_mut().min_by_key(|next| next.as_ref().map_or(0, |(_, count)| *count));
        match weakest {
            Some(Some((_, count))) if *count > 1 => *count -= 1,
            Some(place) => *place = Some((key.clone(), 1)),
            None => {}
        }
    }

    /// The successor that came at least every other time.
    fn prediction(&self) -> Option<&K> {
        let (key, count) = self.next.iter().flatten().max_by_key(|(_, count)| *count)?;
        (*count >= SURE && u32::from(*count) * 2 >= u32::from(self.followed)).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(predictor: &mut Predictor<u64>, keys: impl IntoIterator<Item = u64>) -> u64 {
        let (mut last, mut brought) = (None, 0);
        for key in keys {
            if let Some(next) = predictor.observe(&key, last.as_ref(), 9) {
                predictor.bring(next);
                brought += 1;
            }
            last = Some(key);
        }
        brought
    }

    #[test]
    fn what_always_follows_is_brought_and_used() {
        let mut predictor = Predictor::new(100, 50, 0.3);
        let brought = walk(&mut predictor, (0..1000).map(|at| at % 10));
        assert!(brought > 900 && predictor.pays(), "{brought}");
        assert!(predictor.used > 900 && predictor.wasted == 0, "{} {}", predictor.used, predictor.wasted);
    }

    #[test]
    fn what_does_not_pay_is_left_and_tried_now_and_then() {
        let mut predictor = Predictor::new(10_000, 20, 0.3);
        // Each pair is seen three times and then never in that order again.
        let lies = (0..3000_u64).flat_map(|pair| {
            let (a, b) = (pair * 2, pair * 2 + 1);
            [a, b, a, b, a, b, a, (1 << 40) + pair]
                .into_iter()
                .chain((0..30).map(move |far| (1 << 50) + pair * 30 + far))
        });
        let brought = walk(&mut predictor, lies);
        assert!(
            !predictor.pays() && predictor.wasted > predictor.used,
            "{} {}",
            predictor.wasted,
            predictor.used
        );
        assert!(brought < 600, "{brought} of 3000");
    }

    #[test]
    fn memory_is_bounded_and_the_popular_stay() {
        let mut predictor = Predictor::new(100, 50, 0.3);
        walk(&mut predictor, (0..20_000_u64).map(|at| if at % 2 == 0 { at % 10 } else { 1000 + at }));
        assert!(predictor.keys.len() <= 100);
        let mut popular = predictor.popular(5, None);
        popular.sort_unstable();
        assert_eq!(popular, [0, 2, 4, 6, 8]);
        assert_eq!((predictor.popular(5, Some(9)).len(), predictor.popular(5, Some(10)).len()), (5, 0));
    }

    #[test]
    fn chance_is_not_predicted() {
        let mut predictor = Predictor::new(1000, 50, 0.3);
        let mut state = 7_u64;
        let drawn = (0..20_000).map(move |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % 100
        });
        let brought = walk(&mut predictor, drawn);
        assert!(brought < 1000, "{brought} of 20000");
    }
}
