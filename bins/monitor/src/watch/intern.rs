//! Series by what they read like, so that a round that says the same again allocates nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::series::{Kind, Series};

/// The series of one target. Bounded: what is beyond is refused, what leaves the target leaves here.
#[derive(Debug)]
pub(super) struct Interner {
    target: Arc<str>,
    wanted: Wanted,
    known: HashMap<Box<[u8]>, Known>,
    strings: HashSet<Arc<str>>,
    round: u64,
    bound: usize,
}

/// What a text at the start of a line stands for.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// As it was declared when it was read.
    pub(super) kind: Kind,
    /// What is done with its value.
    pub(super) role: Role,
    seen: u64,
}

/// What is done with a value.
#[derive(Clone, Debug)]
pub(super) enum Role {
    /// It is a reading.
    Reading(Arc<Series>),
    /// It is a reading, and the sum or count of a histogram.
    Part(Arc<Series>, usize, Part),
    /// It is a bucket of a histogram.
    Bucket(usize, f64),
    /// It is not wanted.
    None,
}

/// What a histogram consists of beside its buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Sum,
    Count,
}

/// Which names are kept: `*` stands for anything.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// None means all.
    pub(super) keep: Vec<String>,
    /// Of those, not these.
    pub(super) drop: Vec<String>,
}

impl Interner {
    pub(super) fn new(target: &Arc<str>, wanted: Wanted, bound: usize) -> Self {
        Self {
            target: Arc::clone(target),
            wanted,
            known: HashMap::new(),
            strings: HashSet::new(),
            round: 0,
            bound,
        }
    }

    /// A new round: what is not seen in it is forgotten at its end.
    pub(super) fn begin(&mut self) {
        self.round += 1;
    }

    /// Forgets what this round did not name.
    pub(super) fn end(&mut self) {
        let (before, round) = (self.known.len(), self.round);
        self.known.retain(|_, known| known.seen == round);
        if self.known.len() < before {
            self.strings.retain(|text| Arc::strong_count(text) > 1);
        }
    }

    pub(super) fn wants(&self, name: &str) -> bool {
        self.wanted.wants(name)
    }

    /// What `text` stands for, and whether it was named in this round already.
    pub(super) fn look(&mut self, text: &[u8]) -> Option<(&Known, bool)> {
        let round = self.round;
        let known = self.known.get_mut(text)?;
        let twice = known.seen == round;
        known.seen = round;
        Some((known, twice))
    }

    /// Remembers what `text` stands for; false when there is no room.
    pub(super) fn put(&mut self, text: &[u8], kind: Kind, role: Role) -> bool {
        if self.known.len() >= self.bound {
            return false;
        }
        self.known.insert(text.into(), Known { kind, role, seen: self.round });
        true
    }

    /// A series with shared texts; labels are put in order.
    pub(super) fn series(&mut self, name: &str, labels: &[(&str, &str)], kind: Kind) -> Arc<Series> {
        let name = self.string(name);
        let mut labels: Vec<_> =
            labels.iter().map(|(name, value)| (self.string(name), self.string(value))).collect();
        labels.sort();
        Arc::new(Series { target: Arc::clone(&self.target), name, labels, kind })
    }

    /// The series of a name and labels that we make ourselves; `None` when it is not wanted, there is no room, or it was
    /// told in this round.
    pub(super) fn labelled(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        kind: Kind,
    ) -> Option<Arc<Series>> {
        let mut text = Vec::with_capacity(name.len() + 32 * labels.len());
        text.extend_from_slice(name.as_bytes());
        for (label, value) in labels {
            for part in [label, value] {
                text.push(0xff);
                text.extend_from_slice(part.as_bytes());
            }
        }
        if let Some((known, twice)) = self.look(&text) {
            return match &known.role {
                Role::Reading(series) if !twice => Some(Arc::clone(series)),
                _ => None,
            };
        }
        if !self.wants(name) {
            self.put(&text, kind, Role::None);
            return None;
        }
        let series = self.series(name, labels, kind);
        self.put(&text, kind, Role::Reading(Arc::clone(&series))).then_some(series)
    }

    fn string(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.strings.get(text) {
            return Arc::clone(known);
        }
        let fresh: Arc<str> = Arc::from(text);
        self.strings.insert(Arc::clone(&fresh));
        fresh
    }
}

impl Wanted {
    fn wants(&self, name: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, name));
        (self.keep.is_empty() || any(&self.keep)) && !any(&self.drop)
    }
}

/// Whether `name` is of the pattern, in which `*` stands for any text.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut last = None;
    for piece in pieces {
        if let Some(between) = last.replace(piece) {
            match rest.find(between) {
                Some(at) => rest = &rest[at + between.len()..],
                None => return false,
            }
        }
    }
    match last {
        Some(end) => rest.ends_with(end),
        None => rest.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, wanted) in [
            ("up", "up", true),
            ("up", "ups", false),
            ("node_*", "node_load1", true),
            ("*_total", "requests_total", true),
            ("*_total", "requests_totals", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("*", "", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn what_leaves_the_target_leaves_here_and_there_is_a_bound() {
        let mut interner = Interner::new(&Arc::from("t"), Wanted::default(), 2);
        interner.begin();
        let first = interner.labelled("a", &[("l", "1")], Kind::Gauge).unwrap();
        assert!(interner.labelled("a", &[("l", "1")], Kind::Gauge).is_none(), "once in a round");
        assert!(interner.labelled("b", &[], Kind::Gauge).is_some());
        assert!(interner.labelled("c", &[], Kind::Gauge).is_none(), "no room");
        interner.end();
        interner.begin();
        let again = interner.labelled("a", &[("l", "1")], Kind::Gauge).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        interner.end();
        interner.begin();
        assert!(interner.labelled("c", &[], Kind::Gauge).is_some(), "b left");
    }
}
