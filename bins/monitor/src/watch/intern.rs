//! Series by what they read like, so that a round that says the same again allocates nothing and hashes nothing: what
//! follows a line is first looked for where it followed it the last time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::series::{Kind, Series};

/// The series of one target. Bounded: what is beyond is refused, what leaves the target leaves here.
#[derive(Debug)]
pub(super) struct Interner {
    target: Arc<str>,
    wanted: Wanted,
    all: Vec<Known>,
    places: HashMap<Arc<[u8]>, usize>,
    /// Place of the one that was named last.
    last: Option<usize>,
    /// Place of what stood first.
    first: usize,
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
    /// Place of the line that declared its kind, while that is known.
    pub(super) declared: Option<usize>,
    text: Arc<[u8]>,
    /// Place of what followed it.
    next: usize,
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
    /// It is no value, but declares the kind of those that follow.
    Declaration,
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

impl Known {
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}

impl Interner {
    pub(super) fn new(target: &Arc<str>, wanted: Wanted, bound: usize) -> Self {
        Self {
            target: Arc::clone(target),
            wanted,
            all: Vec::new(),
            places: HashMap::new(),
            last: None,
            first: 0,
            strings: HashSet::new(),
            round: 0,
            bound,
        }
    }

    /// A new round: what is not seen in it is forgotten at its end.
    pub(super) fn begin(&mut self) {
        self.round += 1;
        self.last = None;
    }

    /// Forgets what this round did not name.
    pub(super) fn end(&mut self) {
        let (before, round) = (self.all.len(), self.round);
        if self.all.iter().all(|known| known.seen == round) {
            return;
        }
        self.all.retain(|known| known.seen == round);
        // Places have changed: what stands where, what follows what and what declared what is learnt anew.
        self.places = self.all.iter().enumerate().map(|(at, known)| (Arc::clone(&known.text), at)).collect();
        for (at, known) in self.all.iter_mut().enumerate() {
            (known.next, known.declared) = (at + 1, None);
        }
        (self.first, self.last) = (0, None);
        if self.all.len() < before {
            self.strings.retain(|text| Arc::strong_count(text) > 1);
        }
    }

    pub(super) fn wants(&self, name: &str) -> bool {
        self.wanted.wants(name)
    }

    /// How many bytes of `line` are the text of a series that is expected there and known.
    pub(super) fn expects(&self, line: &[u8]) -> Option<usize> {
        let text = &*self.all.get(self.expected())?.text;
        let behind = line.strip_prefix(text)?;
        matches!(behind.first(), Some(b' ' | b'\t')).then_some(text.len())
    }

    /// Where `text` stands, and whether it was named in this round already.
    pub(super) fn look(&mut self, text: &[u8]) -> Option<(usize, bool)> {
        let expected = self.expected();
        let place = match self.all.get(expected) {
            Some(known) if *known.text == *text => expected,
            _ => *self.places.get(text)?,
        };
        let twice = self.all[place].seen == self.round;
        self.name(place);
        Some((place, twice))
    }

    /// What stands at a place.
    pub(super) fn at(&mut self, place: usize) -> &mut Known {
        &mut self.all[place]
    }

    /// Remembers what `text` stands for; its place, unless there is no room.
    pub(super) fn put(&mut self, text: &[u8], kind: Kind, role: Role) -> Option<usize> {
        let place = match self.places.get(text) {
            Some(place) => *place,
            None if self.all.len() >= self.bound => return None,
            None => {
                let (text, place) = (Arc::<[u8]>::from(text), self.all.len());
                self.places.insert(Arc::clone(&text), place);
                let (role, next) = (Role::None, place + 1);
                self.all.push(Known { kind, role, declared: None, text, next, seen: 0 });
                place
            }
        };
        let known = &mut self.all[place];
        (known.kind, known.role, known.declared) = (kind, role, None);
        self.name(place);
        Some(place)
    }

    fn expected(&self) -> usize {
        self.last.map_or(self.first, |last| self.all[last].next)
    }

    fn name(&mut self, place: usize) {
        self.all[place].seen = self.round;
        match self.last.replace(place) {
            Some(last) if last == place => {}
            Some(last) => self.all[last].next = place,
            None => self.first = place,
        }
    }

    /// A series with shared texts; labels are put in order.
    pub(super) fn series(&mut self, name: &str, labels: &[(&str, &str)], kind: Kind) -> Arc<Series> {
        let name = self.string(name);
        let mut labels: Vec<_> =
            labels.iter().map(|(name, value)| (self.string(name), self.string(value))).collect();
        labels.sort();
        Arc::new(Series::of(Arc::clone(&self.target), name, labels, kind))
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
        if let Some((place, twice)) = self.look(&text) {
            return match &self.all[place].role {
                Role::Reading(series) if !twice => Some(Arc::clone(series)),
                _ => None,
            };
        }
        if !self.wants(name) {
            self.put(&text, kind, Role::None);
            return None;
        }
        let series = self.series(name, labels, kind);
        self.put(&text, kind, Role::Reading(Arc::clone(&series))).map(|_| series)
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
