//! The slots of one window: taken at the send, free again one span after the response.

/// Most entries a log keeps; a larger window is kept in grains, each rounded up to its end.
const ENTRIES: u64 = 4096;

/// When something may go ahead: 0 at once, `u64::MAX` not before a request in flight is answered, else at that time
/// if nothing is taken in between. The later of two is then the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct When(pub(crate) u64);

impl When {
    pub(crate) const NOW: Self = Self(0);
    pub(crate) const ON_RESPONSE: Self = Self(u64::MAX);

    /// At this time.
    #[inline]
    pub(crate) fn at(time: u64) -> Self {
        Self(time.min(u64::MAX - 1))
    }
}

/// Units that cool down and become free together, in 12 bytes.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, packed(4))]
struct Cooling {
    free_at: u64,
    units: u32,
}

/// How many units of a window are out, and when the answered ones come back.
///
/// A unit that is held (a permit not sent, a request in flight) has no time of return; an answered one is free at the
/// time given to [`release`](Self::release). The capacity is an argument, because it may be learned anew. It never
/// allocates after its making: where more entries are needed than there is room for, the soonest two become one that
/// is free at the later time.
#[derive(Debug)]
pub(crate) struct Window {
    used: u64,
    /// When the first entry is free; `u64::MAX` without one.
    next: u64,
    /// When the last entry is free; 0 without one.
    last: u64,
    /// A ring, soonest first.
    ring: Box<[Cooling]>,
    /// The units of the first entry, so that a key with one request out is freed without a look at its ring.
    next_units: u32,
    /// Where the first entry lies, and where the next one will.
    head: u16,
    tail: u16,
    len: u16,
    /// Times are rounded up to multiples of two to the power of this.
    grain_bits: u8,
}

impl Window {
    /// A window of at most `capacity` units that usually cool for `span` ns.
    pub(crate) fn new(capacity: u32, span: u64) -> Self {
        let exact = u64::from(capacity) <= ENTRIES;
        // The power of two above, so that a span has at most as many grains as there are entries, and at least half.
        let grain = if exact { 1 } else { (span / ENTRIES).max(1).next_power_of_two() };
        let grain_bits = grain.trailing_zeros() as u8;
        // In grains, one more at each end of the span.
        let entries = if exact { u64::from(capacity).max(2) } else { ENTRIES + 2 };
        let ring = vec![Cooling::default(); entries as usize].into_boxed_slice();
        Self { used: 0, next: u64::MAX, last: 0, ring, next_units: 0, head: 0, tail: 0, len: 0, grain_bits }
    }

    /// The same units with room for another capacity.
    pub(crate) fn resized(&self, capacity: u32, span: u64) -> Self {
        let mut window = Self::new(capacity, span);
        window.used = self.used;
        for (free_at, units) in self.returns() {
            window.release(free_at, units);
        }
        window
    }

    /// When `units` more may be taken.
    #[inline]
    pub(crate) fn poll(&mut self, now: u64, units: u32, capacity: u32) -> When {
        let room = room(units, capacity);
        if self.used(now) <= room { When::NOW } else { self.free_for(room) }
    }

    fn free_for(&self, room: u64) -> When {
        let mut left = self.used;
        for (free_at, units) in self.returns() {
            left -= u64::from(units);
            if left <= room {
                return When::at(free_at);
            }
        }
        When::ON_RESPONSE
    }

    /// Holds `units` until they are released or given back.
    #[inline]
    pub(crate) fn take(&mut self, units: u32) {
        self.used += u64::from(units);
    }

    /// Gives held units back at once: nothing was sent.
    pub(crate) fn refund(&mut self, units: u32) {
        self.used = self.used.saturating_sub(u64::from(units));
    }

    /// Lets held units cool until `free_at`.
    #[inline]
    pub(crate) fn release(&mut self, free_at: u64, units: u32) {
        let grain_mask = (1u64 << self.grain_bits) - 1;
        let free_at = free_at.saturating_add(grain_mask) & !grain_mask;
        if free_at <= self.last || self.len as usize == self.ring.len() {
            return self.merge(free_at, units);
        }
        self.ring[self.tail as usize] = Cooling { free_at, units };
        self.tail = self.after(self.tail);
        self.last = free_at;
        if self.len == 0 {
            (self.next, self.next_units) = (free_at, units);
        }
        self.len += 1;
    }

    /// In the same grain as the latest of all, as nearly always in a large window; or one of the rarer cases.
    #[inline]
    fn merge(&mut self, free_at: u64, units: u32) {
        if free_at == self.last && self.len > 0 {
            let end = if self.tail == 0 { self.ring.len() } else { self.tail as usize } - 1;
            if let Some(sum) = self.ring[end].units.checked_add(units) {
                self.ring[end].units = sum;
                if self.len == 1 {
                    self.next_units = sum;
                }
                return;
            }
        }
        self.insert(free_at, units);
    }

    /// Not the latest of all, or no room.
    #[cold]
    fn insert(&mut self, free_at: u64, units: u32) {
        // Nearly always close to the end: only a request that was never answered cools for longer than a later one.
        let mut at = self.len as usize;
        while at > 0 && self.get(at - 1).free_at > free_at {
            at -= 1;
        }
        if let Some(before) = at.checked_sub(1) {
            let entry = self.get(before);
            if entry.free_at == free_at
                && let Some(units) = entry.units.checked_add(units)
            {
                self.set(before, Cooling { free_at, units });
                return self.look_at_ends();
            }
        }
        if self.len as usize == self.ring.len() {
            let (first, second) = (self.get(0), self.get(1));
            self.set(1, Cooling { units: first.units.saturating_add(second.units), ..second });
            self.set(0, Cooling::default());
            self.drop_first();
            at = at.saturating_sub(1);
        }
        for i in (at..self.len as usize).rev() {
            self.set(i + 1, self.get(i));
        }
        self.set(at, Cooling { free_at, units });
        self.len += 1;
        self.tail = self.after(self.tail);
        self.look_at_ends();
    }

    fn look_at_ends(&mut self) {
        let first = self.get(0);
        (self.next, self.next_units) = (first.free_at, first.units);
        self.last = self.get(self.len as usize - 1).free_at;
    }

    /// Units out at `now`.
    #[inline]
    pub(crate) fn used(&mut self, now: u64) -> u64 {
        if self.next <= now {
            self.expire(now);
        }
        self.used
    }

    /// Units that are held, so without a time of return.
    pub(crate) fn held(&self) -> u64 {
        self.used - self.returns().map(|(_, units)| u64::from(units)).sum::<u64>()
    }

    /// Units that came free after `since`, as far as their places in the ring were not needed again. Where they were, more
    /// is out than is missed here.
    pub(crate) fn freed_since(&self, since: u64) -> u64 {
        let places = self.ring.len();
        let freed =
            (1..=places - self.len as usize).map(|back| (self.head as usize + places - back) % places);
        let freed = freed.map(|place| self.ring[place]).take_while(|entry| entry.free_at > since);
        freed.map(|entry| u64::from(entry.units)).sum()
    }

    /// Times and units of the answered, soonest first.
    pub(crate) fn returns(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        (0..self.len as usize).map(|i| self.get(i)).map(|entry| (entry.free_at, entry.units))
    }

    /// Frees what has cooled; there is something.
    #[inline]
    fn expire(&mut self, now: u64) {
        while self.next <= now && self.len > 0 {
            self.used -= u64::from(self.next_units);
            self.drop_first();
        }
    }

    #[inline]
    fn drop_first(&mut self) {
        self.head = self.after(self.head);
        self.len -= 1;
        if self.len == 0 {
            (self.next, self.last) = (u64::MAX, 0);
        } else {
            let first = self.ring[self.head as usize];
            (self.next, self.next_units) = (first.free_at, first.units);
        }
    }

    #[inline]
    fn after(&self, place: u16) -> u16 {
        if usize::from(place) + 1 == self.ring.len() { 0 } else { place + 1 }
    }

    /// Where entry `i` lies; `i` is at most the length of the ring.
    fn place(&self, i: usize) -> usize {
        let place = self.head as usize + i;
        if place >= self.ring.len() { place - self.ring.len() } else { place }
    }

    fn get(&self, i: usize) -> Cooling {
        self.ring[self.place(i)]
    }

    fn set(&mut self, i: usize, entry: Cooling) {
        let place = self.place(i);
        self.ring[place] = entry;
    }
}

/// How much may be out already where `units` more are wanted. A capacity that was learned to be smaller than one cost
/// needs the whole window.
#[inline]
pub(crate) fn room(units: u32, capacity: u32) -> u64 {
    u64::from(capacity.saturating_sub(units))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slot_is_free_one_span_after_its_response() {
        let mut window = Window::new(2, 100);
        assert_eq!(window.poll(0, 1, 2), When::NOW);
        window.take(1);
        window.take(1);
        assert_eq!(window.poll(5, 1, 2), When::ON_RESPONSE);
        window.release(110, 1);
        assert_eq!(window.poll(10, 1, 2), When::at(110));
        assert_eq!(window.poll(109, 1, 2), When::at(110));
        assert_eq!(window.poll(110, 1, 2), When::NOW);
        assert_eq!(window.poll(110, 2, 2), When::ON_RESPONSE);
        window.refund(1);
        assert_eq!(window.poll(110, 2, 2), When::NOW);
    }

    #[test]
    fn an_unanswered_request_does_not_hold_up_later_ones() {
        let mut window = Window::new(3, 100);
        window.take(3);
        window.release(900, 1);
        window.release(200, 1);
        window.release(300, 1);
        assert_eq!(window.poll(0, 1, 3), When::at(200));
        assert_eq!(window.poll(0, 3, 3), When::at(900));
        assert_eq!(window.used(250), 2);
    }

    #[test]
    fn a_large_window_is_kept_in_grains_that_err_to_the_safe_side() {
        let day = 86_400_000_000_000;
        let mut window = Window::new(1_000_000, day);
        for i in 0..1_000_000u64 {
            window.take(1);
            window.release(day + i * (day / 1_000_000), 1);
        }
        assert!(u64::from(window.len) <= ENTRIES + 2, "{}", window.len);
        assert_eq!(window.used(day - 1), 1_000_000);
        let (first, _) = window.returns().next().unwrap();
        assert!(first >= day && first <= day + 2 * day / ENTRIES, "a grain is 42 s at most");
    }

    #[test]
    fn a_slot_takes_twelve_bytes_and_a_million_a_day_no_more_than_4098_of_them() {
        assert_eq!(size_of::<Cooling>(), 12);
        for (capacity, entries) in [(75, 75), (4096, 4096), (4097, 4098), (1_000_000, 4098)] {
            assert_eq!(Window::new(capacity, 1 << 46).ring.len(), entries);
        }
    }

    proptest! {
        /// Against a list of units: never more free than truly are, and exactly as many while there is room.
        #[test]
        fn it_is_a_list_of_units(
            capacity in 1u32..12, steps in prop::collection::vec((0u8..3, 1u32..3, 0u64..60, 0u64..40), 1..200),
        ) {
            let mut window = Window::new(capacity, 100);
            let (mut held, mut cooling) = (0u64, Vec::<(u64, u32)>::new());
            let (mut now, mut crowded) = (0, false);
            for (step, units, wait, cool) in steps {
                now += wait / 10;
                cooling.retain(|(at, _)| *at > now);
                window.used(now);
                match step {
                    0 | 1 if held + cooling.iter().map(|c| u64::from(c.1)).sum::<u64>() < 40 => {
                        window.take(units);
                        held += u64::from(units);
                    }
                    _ if held >= u64::from(units) => {
                        window.release(now + cool, units);
                        held -= u64::from(units);
                        cooling.push((now + cool, units));
                    }
                    _ => {}
                }
                crowded |= cooling.len() > window.ring.len();
                cooling.retain(|(at, _)| *at > now);
                let truth = held + cooling.iter().map(|c| u64::from(c.1)).sum::<u64>();
                let seen = window.used(now);
                prop_assert!(seen >= truth);
                prop_assert!(crowded || seen == truth, "{} of {}", seen, truth);
                prop_assert_eq!(window.held(), held);
                let times: Vec<_> = window.returns().map(|(at, _)| at).collect();
                prop_assert!(times.is_sorted());
                crowded &= !cooling.is_empty();
            }
        }
    }
}
