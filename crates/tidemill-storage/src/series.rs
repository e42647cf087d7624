//! Where the rows of one series stand in memory: runs of row numbers, in order of their place.

use std::{collections::BTreeMap, ops::Range};

/// Rows `start..start + len` of a memtable, whose places ascend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Run {
    pub(crate) fn rows(self) -> Range<u32> {
        self.start..self.start + self.len
    }

    fn last(self) -> u32 {
        self.start + self.len - 1
    }
}

/// Runs that do not overlap. A series that came in one answer, as most do, has one.
#[derive(Debug)]
pub(crate) enum Series {
    One(Run),
    /// By the place of each run's first row.
    Many(BTreeMap<u64, Run>),
}

impl Series {
    /// A row of the series.
    pub(crate) fn any(&self) -> u32 {
        match self {
            Self::One(run) => run.start,
            Self::Many(runs) => runs.first_key_value().map_or(0, |(_, run)| run.start),
        }
    }

    /// Its last row, by place.
    pub(crate) fn last(&self) -> u32 {
        match self {
            Self::One(run) => run.last(),
            Self::Many(runs) => runs.last_key_value().map_or(0, |(_, run)| run.last()),
        }
    }

    pub(crate) fn runs(&self) -> impl Iterator<Item = Run> {
        let (one, many) = match self {
            Self::One(run) => (Some(*run), None),
            Self::Many(runs) => (None, Some(runs)),
        };
        one.into_iter().chain(many.into_iter().flat_map(|runs| runs.values().copied()))
    }

    /// The row at `place`.
    pub(crate) fn find(&self, place: u64, place_of: &dyn Fn(u32) -> u64) -> Option<u32> {
        let run = match self {
            Self::One(run) => *run,
            Self::Many(runs) => *runs.range(..=place).next_back()?.1,
        };
        let at = behind(run, place, place_of);
        (at < run.len && place_of(run.start + at) == place).then_some(run.start + at)
    }

    /// Adds rows whose places lie behind every other of the series.
    pub(crate) fn push(&mut self, new: Run, place_of: &dyn Fn(u32) -> u64) {
        let last = match self {
            Self::One(run) => run,
            Self::Many(runs) => match runs.last_entry() {
                Some(last) => last.into_mut(),
                None => return,
            },
        };
        if last.start + last.len == new.start {
            last.len += new.len;
        } else {
            self.many(place_of).insert(place_of(new.start), new);
        }
    }

    /// Adds one row anywhere; true when it replaced the one at its place.
    pub(crate) fn insert(&mut self, row: u32, place_of: &dyn Fn(u32) -> u64) -> bool {
        let place = place_of(row);
        let runs = self.many(place_of);
        let new = Run { start: row, len: 1 };
        let Some(run) = runs.range_mut(..=place).next_back().map(|(_, run)| run) else {
            runs.insert(place, new);
            return false;
        };
        let old = *run;
        let at = behind(old, place, place_of);
        let replaces = at < old.len && place_of(old.start + at) == place;
        if at == old.len && old.start + old.len == row {
            run.len += 1;
            return false;
        }
        let rest = at + u32::from(replaces);
        if at > 0 {
            run.len = at;
        }
        // With `at` of zero the run begins at this very place, and is replaced under the same number.
        runs.insert(place, new);
        if rest < old.len {
            let tail = Run { start: old.start + rest, len: old.len - rest };
            runs.insert(place_of(tail.start), tail);
        }
        replaces
    }

    fn many(&mut self, place_of: &dyn Fn(u32) -> u64) -> &mut BTreeMap<u64, Run> {
        if let Self::One(run) = self {
            *self = Self::Many(BTreeMap::from([(place_of(run.start), *run)]));
        }
        match self {
            Self::Many(runs) => runs,
            Self::One(_) => unreachable!("it was made many above"),
        }
    }
}

/// How many rows of the run lie before `place`.
fn behind(run: Run, place: u64, place_of: &dyn Fn(u32) -> u64) -> u32 {
    let (mut low, mut high) = (0, run.len);
    while low < high {
        let middle = low + (high - low) / 2;
        if place_of(run.start + middle) < place {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Rows come in any order, single or behind all others; the last of a place is the one that is found.
        #[test]
        fn a_series_is_a_map_from_places_to_rows(places in prop::collection::vec(0u64..40, 1..120)) {
            let place_of = |row: u32| places[row as usize];
            let mut model: BTreeMap<u64, u32> = BTreeMap::from([(places[0], 0)]);
            let mut series = Series::One(Run { start: 0, len: 1 });
            for row in 1..places.len() as u32 {
                let place = place_of(row);
                if place > place_of(series.last()) {
                    series.push(Run { start: row, len: 1 }, &place_of);
                    model.insert(place, row);
                } else {
                    prop_assert_eq!(series.insert(row, &place_of), model.insert(place, row).is_some());
                }
                for place in 0..40 {
                    prop_assert_eq!(series.find(place, &place_of), model.get(&place).copied());
                }
            }
            let rows: Vec<u32> = series.runs().flat_map(Run::rows).collect();
            prop_assert_eq!(rows, model.values().copied().collect::<Vec<_>>());
            prop_assert_eq!(series.last(), *model.last_key_value().unwrap().1);
        }
    }

    #[test]
    fn an_answer_that_follows_the_one_before_makes_no_second_run() {
        let place_of = |row: u32| u64::from(row) * 2;
        let mut series = Series::One(Run { start: 0, len: 10 });
        series.push(Run { start: 10, len: 5 }, &place_of);
        assert!(matches!(series, Series::One(Run { start: 0, len: 15 })));
        series.push(Run { start: 20, len: 5 }, &place_of);
        assert_eq!(series.runs().count(), 2);
    }
}
