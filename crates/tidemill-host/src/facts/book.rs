//! Facts by what they are called, so that a call that tells the same again allocates nothing: what is told is first
//! looked for where it followed the one before it the last time.

use std::collections::HashSet;
use std::sync::Arc;

use super::about::{About, Fact, FactKind, Family};
use crate::stats::FactsStats;

/// Labels of a fact, in the order of their names.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

/// What is told now, beside what was told before.
#[derive(Debug)]
pub(super) struct Book {
    before: Vec<Fact>,
    /// Of each of those, whether it was told again.
    again: Vec<bool>,
    /// Where the next is expected among those.
    next: usize,
    now: Vec<Fact>,
    /// All of `before`, and what is new: looked into only when something is not where it is expected.
    known: HashSet<Arc<About>>,
    /// What is new in this call.
    added: usize,
    name: String,
    bound: usize,
    stats: FactsStats,
}

impl Book {
    pub(super) fn new(bound: usize) -> Self {
        Self {
            before: Vec::new(),
            again: Vec::new(),
            next: 0,
            now: Vec::new(),
            known: HashSet::new(),
            added: 0,
            name: String::new(),
            bound,
            stats: FactsStats::default(),
        }
    }

    pub(super) fn begin(&mut self) {
        std::mem::swap(&mut self.before, &mut self.now);
        self.now.clear();
        self.again.clear();
        self.again.resize(self.before.len(), false);
        (self.next, self.added) = (0, 0);
        self.stats.reads += 1;
    }

    pub(super) fn end(&mut self) -> &[Fact] {
        if self.added > 0 || self.now.len() != self.before.len() {
            self.known = self.now.iter().map(|fact| Arc::clone(&fact.about)).collect();
        }
        self.stats.facts = self.now.len() as u64;
        &self.now
    }

    pub(super) fn tell(&mut self, family: &Family, labels: Labels<'_>, value: f64) {
        self.put(family.name, family.kind, family.help, labels, value);
    }

    /// Tells one whose name the kernel makes, in parts.
    pub(super) fn tell_of(
        &mut self,
        name: &[&str],
        kind: FactKind,
        help: &'static str,
        labels: Labels<'_>,
        value: f64,
    ) {
        let mut whole = std::mem::take(&mut self.name);
        whole.clear();
        whole.extend(name.iter().copied());
        if whole.len() <= 256 && whole.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            self.put(&whole, kind, help, labels, value);
        } else {
            self.odd();
        }
        self.name = whole;
    }

    fn put(&mut self, name: &str, kind: FactKind, help: &'static str, labels: Labels<'_>, value: f64) {
        debug_assert!(labels.is_sorted_by(|a, b| a.0 < b.0), "{name}: {labels:?}");
        if !value.is_finite() {
            return self.odd();
        }
        let expected = self.before.get(self.next).filter(|fact| fact.about.is(name, labels));
        let place = match expected {
            Some(_) => Some(self.next),
            None => {
                let near = self.before.iter().skip(self.next).take(64);
                near.zip(self.next..).find(|(fact, _)| fact.about.is(name, labels)).map(|(_, place)| place)
            }
        };
        let about = match place {
            Some(place) => Arc::clone(&self.before[place].about),
            None => {
                let labels = labels.iter().map(|(name, value)| (*name, Box::from(*value))).collect();
                let fresh = Arc::new(About { name: name.into(), labels, kind, help });
                match self.known.get(&fresh) {
                    Some(known) => Arc::clone(known),
                    None if self.now.len() >= self.bound => {
                        self.stats.beyond += 1;
                        return;
                    }
                    None => {
                        self.known.insert(Arc::clone(&fresh));
                        self.added += 1;
                        self.now.push(Fact { about: fresh, value });
                        return;
                    }
                }
            }
        };
        let place = place.or_else(|| self.before.iter().position(|fact| Arc::ptr_eq(&fact.about, &about)));
        match place {
            Some(place) if !self.again[place] => {
                self.again[place] = true;
                self.next = place + 1;
                self.now.push(Fact { about, value });
            }
            // Told already: each is told once.
            _ => self.odd(),
        }
    }

    /// Text that is not as it should be.
    pub(super) fn odd(&mut self) {
        self.stats.odd += 1;
    }

    /// A file that is there and cannot be read.
    pub(super) fn unreadable(&mut self) {
        self.stats.unreadable += 1;
    }

    /// Files, processors, devices or facts beyond a bound.
    pub(super) fn beyond(&mut self) {
        self.stats.beyond += 1;
    }

    pub(super) fn stats(&self) -> FactsStats {
        self.stats
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const A: Family = Family::gauge("a", "One.");

    fn told(book: &mut Book, names: &[u8]) -> Vec<(Arc<About>, f64)> {
        book.begin();
        for (at, name) in names.iter().enumerate() {
            book.tell(&A, &[("of", &name.to_string())], at as f64);
        }
        book.end().iter().map(|fact| (Arc::clone(&fact.about), fact.value)).collect()
    }

    proptest! {
        /// Against what is obvious: a set of names, and the same allocation as long as it is told.
        #[test]
        fn each_is_told_once_and_known_again(rounds in prop::collection::vec(prop::collection::vec(0_u8..90, 0..100), 1..8)) {
            let mut book = Book::new(1000);
            let mut before: Vec<(Arc<About>, f64)> = Vec::new();
            for names in rounds {
                let now = told(&mut book, &names);
                let wanted: BTreeSet<String> = names.iter().map(u8::to_string).collect();
                let found: Vec<String> = now.iter().map(|(about, _)| about.labels().next().unwrap().1.to_owned()).collect();
                prop_assert_eq!(&found.iter().cloned().collect::<BTreeSet<_>>(), &wanted);
                prop_assert_eq!(found.len(), wanted.len());
                for (about, value) in &now {
                    let of = about.labels().next().unwrap().1;
                    let first = names.iter().position(|name| name.to_string() == of).unwrap();
                    prop_assert_eq!(*value, first as f64, "the first of several counts");
                    if let Some((known, _)) = before.iter().find(|(known, _)| known == about) {
                        prop_assert!(Arc::ptr_eq(known, about));
                    }
                }
                before = now;
            }
        }
    }

    #[test]
    fn what_is_beyond_the_bound_is_counted() {
        let mut book = Book::new(3);
        assert_eq!(told(&mut book, &[1, 2, 3, 4, 5]).len(), 3);
        assert_eq!(book.stats().beyond, 2);
        assert_eq!(told(&mut book, &[4, 1]).len(), 2, "there is room again");
        book.begin();
        book.tell(&A, &[], f64::NAN);
        book.tell_of(&["a", "-", "b"], FactKind::Gauge, "", &[], 1.0);
        assert!(book.end().is_empty() && book.stats().odd == 2);
    }
}
