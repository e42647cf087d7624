//! The last values of a series: a ring that grows in small steps up to its bound and then overwrites the oldest.

/// At most `bound` items, oldest first. Its memory never exceeds the bound by more than a step of 64.
#[derive(Clone, Debug)]
pub struct Ring<T> {
    items: Vec<T>,
    /// Where the oldest stands, once it is full.
    head: usize,
    bound: usize,
}

impl<T: Copy> Ring<T> {
    /// Empty, of a bound of at least one.
    #[must_use]
    pub fn new(bound: usize) -> Self {
        Self { items: Vec::new(), head: 0, bound: bound.max(1) }
    }

    /// Adds the newest.
    pub fn push(&mut self, item: T) {
        if self.items.len() < self.bound {
            if self.items.len() == self.items.capacity() {
                self.items.reserve_exact((self.bound - self.items.len()).min(64));
            }
            self.items.push(item);
        } else {
            self.items[self.head] = item;
            self.head = (self.head + 1) % self.bound;
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether the next one overwrites the oldest.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.items.len() == self.bound
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The `at`th, oldest first.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<T> {
        (at < self.items.len()).then(|| self.items[(self.head + at) % self.items.len()])
    }

    /// The newest.
    #[must_use]
    pub fn last(&self) -> Option<T> {
        self.get(self.len().checked_sub(1)?)
    }

    /// All from the first that is not `before`, oldest first; `before` holds for a first part and for none behind it.
    pub fn from(&self, before: impl Fn(&T) -> bool) -> impl Iterator<Item = T> + '_ {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle) {
                Some(item) if before(&item) => low = middle + 1,
                _ => high = middle,
            }
        }
        (low..self.len()).filter_map(|at| self.get(at))
    }

    /// Oldest first.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.from(|_| false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// It is the tail of everything that was pushed.
        #[test]
        fn it_is_the_tail(bound in 1usize..200, count in 0usize..600, from in 0usize..600) {
            let mut ring = Ring::new(bound);
            (0..count).for_each(|n| ring.push(n));
            let tail: Vec<usize> = (count.saturating_sub(bound)..count).collect();
            prop_assert_eq!(ring.iter().collect::<Vec<_>>(), tail.clone());
            let later: Vec<usize> = tail.into_iter().filter(|n| *n >= from).collect();
            prop_assert_eq!(ring.from(|n| *n < from).collect::<Vec<_>>(), later);
            prop_assert_eq!(ring.last(), count.checked_sub(1));
            prop_assert!(ring.items.capacity() <= bound);
        }
    }
}
