//! Who waits, and who is next: FIFO within a priority, aging between them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::core::{Cost, Priority};
use crate::sync::Notify;

/// The place of a waiter: its priority, its rank (smaller is sooner), and the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    rank: u64,
    arrival: u64,
    lane: usize,
}

/// One who waits.
#[derive(Debug, Clone)]
pub(crate) struct Waiter {
    pub(crate) cost: Cost,
    pub(crate) priority: Priority,
    pub(crate) wake: Arc<Notify>,
}

/// Waiters ordered by `arrival + priority x aging`: an older waiter of a lower priority is overtaken only by those
/// who come within `aging` of it, so none starves.
#[derive(Debug)]
pub(crate) struct Queue {
    lanes: [BTreeMap<(u64, u64), Waiter>; 3],
    arrivals: u64,
    aging: u64,
}

impl Queue {
    pub(crate) fn new(aging: u64) -> Self {
        Self { lanes: Default::default(), arrivals: 0, aging }
    }

    pub(crate) fn len(&self) -> usize {
        self.lanes.iter().map(BTreeMap::len).sum()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.iter().all(BTreeMap::is_empty)
    }

    /// The place that a waiter of `priority` would get now.
    pub(crate) fn place(&self, now: u64, priority: Priority) -> Place {
        let lane = priority as usize;
        Place {
            rank: now.saturating_add(self.aging.saturating_mul(lane as u64)),
            arrival: self.arrivals,
            lane,
        }
    }

    pub(crate) fn push(&mut self, now: u64, waiter: Waiter) -> Place {
        let place = self.place(now, waiter.priority);
        self.arrivals += 1;
        self.lanes[place.lane].insert((place.rank, place.arrival), waiter);
        place
    }

    pub(crate) fn remove(&mut self, place: Place) {
        self.lanes[place.lane].remove(&(place.rank, place.arrival));
    }

    /// The first of all.
    pub(crate) fn first(&self) -> Option<(Place, &Waiter)> {
        let heads = self.lanes.iter().enumerate().filter_map(|(lane, waiters)| {
            let (&(rank, arrival), waiter) = waiters.first_key_value()?;
            Some((Place { rank, arrival, lane }, waiter))
        });
        heads.min_by_key(|(place, _)| *place)
    }

    /// Whether nobody stands before `place`.
    pub(crate) fn leads(&self, place: Place) -> bool {
        self.first().is_none_or(|(first, _)| place <= first)
    }

    /// Whether `place` is that of the most urgent lane and first in it: such a one may use what is reserved.
    pub(crate) fn leads_urgent(&self, place: Place) -> bool {
        let head = self.lanes[0].first_key_value();
        place.lane == 0
            && head.is_none_or(|(&(rank, arrival), _)| (place.rank, place.arrival) <= (rank, arrival))
    }

    /// Wakes those who may be able to go: the first of all and the first of the urgent.
    #[inline]
    pub(crate) fn wake_leaders(&self) {
        if !self.is_empty() {
            self.wake_first();
        }
    }

    fn wake_first(&self) {
        if let Some((place, first)) = self.first() {
            first.wake.notify_one();
            if place.lane != 0
                && let Some((_, urgent)) = self.lanes[0].first_key_value()
            {
                urgent.wake.notify_one();
            }
        }
    }

    pub(crate) fn wake_all(&self) {
        for waiter in self.lanes.iter().flat_map(BTreeMap::values) {
            waiter.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(priority: Priority) -> Waiter {
        Waiter { cost: Cost::ONE, priority, wake: Arc::new(Notify::new()) }
    }

    fn drain(queue: &mut Queue) -> Vec<Priority> {
        let mut order = Vec::new();
        while let Some((place, waiter)) = queue.first() {
            order.push(waiter.priority);
            queue.remove(place);
        }
        order
    }

    #[test]
    fn priority_goes_first_and_age_overtakes_it() {
        use Priority::{High, Low, Normal};
        let mut queue = Queue::new(100);
        let low = queue.push(0, waiter(Low));
        queue.push(10, waiter(Normal));
        queue.push(20, waiter(High));
        assert!(!queue.leads(low));
        assert_eq!(drain(&mut queue), [High, Normal, Low]);

        queue.push(0, waiter(Low));
        queue.push(90, waiter(Normal));
        queue.push(150, waiter(Normal));
        queue.push(250, waiter(High));
        assert_eq!(drain(&mut queue), [Normal, Low, Normal, High], "low waits for two agings at most");
    }

    #[test]
    fn equals_go_in_the_order_of_arrival() {
        let mut queue = Queue::new(100);
        let first = queue.push(5, waiter(Priority::Normal));
        let second = queue.push(5, waiter(Priority::Normal));
        assert!(queue.leads(first) && !queue.leads(second));
        queue.remove(first);
        assert!(queue.leads(second));
        assert_eq!(queue.len(), 1);
    }
}
