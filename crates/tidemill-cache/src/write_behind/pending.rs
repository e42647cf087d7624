//! What is acknowledged and not yet written to the backend: the last change of each key, oldest keys first. Without I/O.

use std::collections::{BTreeMap, HashMap};

use crate::store::Key;

/// One key's last change.
struct Held<V> {
    /// `None`: it was removed.
    value: Option<V>,
    /// Its place in the queue, that of its oldest change which is not written.
    place: u64,
    /// The number of the change itself.
    number: u64,
    /// The journal's frame that has it.
    frame: u64,
    cost: u32,
}

pub(super) struct Pending<K, V> {
    keys: HashMap<K, Held<V>, foldhash::fast::RandomState>,
    queue: BTreeMap<u64, K>,
    /// How many changes a frame still has.
    frames: BTreeMap<u64, u32>,
    next: u64,
    last_frame: u64,
}

/// A change on its way to the backend.
pub(super) struct Sent<K> {
    pub(super) key: K,
    number: u64,
}

impl<K: Key, V: Clone> Pending<K, V> {
    pub(super) fn new() -> Self {
        Self {
            keys: HashMap::default(),
            queue: BTreeMap::new(),
            frames: BTreeMap::new(),
            next: 0,
            last_frame: 0,
        }
    }

    /// A change that the journal has. Returns the cost of the one it replaces.
    pub(super) fn add(&mut self, key: K, value: Option<V>, frame: u64, cost: u32) -> u32 {
        self.next += 1;
        let number = self.next;
        self.last_frame = self.last_frame.max(frame);
        *self.frames.entry(frame).or_default() += 1;
        if let Some(held) = self.keys.get_mut(&key) {
            let (replaced, old_frame) = (held.cost, held.frame);
            *held = Held { value, place: held.place, number, frame, cost };
            self.leave(old_frame);
            return replaced;
        }
        self.queue.insert(number, key.clone());
        self.keys.insert(key, Held { value, place: number, number, frame, cost });
        0
    }

    fn leave(&mut self, frame: u64) {
        if let Some(count) = self.frames.get_mut(&frame) {
            *count -= 1;
            if *count == 0 {
                self.frames.remove(&frame);
            }
        }
    }

    /// What the key will be in the backend; `None`: as it is there.
    pub(super) fn get(&self, key: &K) -> Option<Option<&V>> {
        self.keys.get(key).map(|held| held.value.as_ref())
    }

    /// The oldest changes; they stay until they are [`written`](Self::written).
    pub(super) fn batch(&self, limit: usize) -> Vec<(Sent<K>, Option<V>)> {
        let next = self.queue.values().take(limit);
        next.filter_map(|key| {
            let held = self.keys.get(key)?;
            Some((Sent { key: key.clone(), number: held.number }, held.value.clone()))
        })
        .collect()
    }

    /// The backend has it, or will never. Returns what it cost, unless the key was changed again meanwhile.
    pub(super) fn written(&mut self, sent: &Sent<K>) -> u32 {
        let Some(held) = self.keys.get_mut(&sent.key) else { return 0 };
        if held.number != sent.number {
            // The newer change takes a place of its own, behind those who waited.
            self.queue.remove(&held.place);
            held.place = held.number;
            self.queue.insert(held.place, sent.key.clone());
            return 0;
        }
        let (place, frame, cost) = (held.place, held.frame, held.cost);
        self.queue.remove(&place);
        self.keys.remove(&sent.key);
        self.leave(frame);
        cost
    }

    /// Every frame up to this one is written.
    pub(super) fn watermark(&self) -> u64 {
        self.frames.keys().next().map_or(self.last_frame, |first| first - 1)
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_change_counts_and_its_frame_is_kept() {
        let mut pending = Pending::new();
        pending.add("a", Some(1), 1, 10);
        pending.add("b", Some(2), 1, 10);
        assert_eq!(pending.add("a", Some(3), 2, 7), 10);
        assert_eq!((pending.len(), pending.watermark(), pending.get(&"a")), (2, 0, Some(Some(&3))));
        let batch = pending.batch(1);
        assert_eq!((batch[0].0.key, batch[0].1), ("a", Some(3)), "in the order of the first change");
        pending.add("a", None, 3, 1);
        assert_eq!(pending.written(&batch[0].0), 0, "it was changed while it was written");
        assert_eq!(pending.get(&"a"), Some(None));
        assert_eq!(pending.batch(2)[0].0.key, "b", "now it is behind");
        let batch = pending.batch(2);
        assert_eq!(batch.iter().map(|(sent, _)| pending.written(sent)).sum::<u32>(), 11);
        assert_eq!((pending.len(), pending.watermark()), (0, 3));
    }

    proptest! {
        /// Written in batches of any size, a backend ends with the last change of each key, and no frame is let go before.
        #[test]
        fn a_backend_ends_with_the_last_changes(
            steps in prop::collection::vec(prop_oneof![
                3 => (0..6_u8, prop::option::of(any::<u16>())).prop_map(|change| (Some(change), 0)),
                1 => (1..5_usize).prop_map(|limit| (None, limit)),
            ], 1..60),
        ) {
            let (mut pending, mut frame) = (Pending::new(), 0);
            let (mut last, mut backend) = (BTreeMap::new(), BTreeMap::new());
            let mut frames: Vec<(u64, u8, Option<u16>)> = Vec::new();
            for (change, limit) in steps {
                if let Some((key, value)) = change {
                    frame += 1;
                    pending.add(key, value, frame, 1);
                    last.insert(key, value);
                    frames.push((frame, key, value));
                }
                for (sent, value) in pending.batch(limit) {
                    backend.insert(sent.key, value);
                    pending.written(&sent);
                }
                // What a crash would leave: the backend, and the frames above the watermark.
                let mut after = backend.clone();
                let kept = frames.iter().filter(|(frame, ..)| *frame > pending.watermark());
                after.extend(kept.map(|(_, key, value)| (*key, *value)));
                prop_assert_eq!(&after, &last);
            }
        }
    }
}
