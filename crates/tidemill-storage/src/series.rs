//! Where the rows of one series stand in memory: runs of row numbers, in order of their place.

use std::{
    collections::BTreeMap,
    ops::{Bound, Range},
};

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

    /// The row at `place`, and the end of the run it stands in: rows behind it, up to there, have the next places.
    pub(crate) fn find(&self, place: u64, place_of: &dyn Fn(u32) -> u64) -> Option<Range<u32>> {
        let run = match self {
            Self::One(run) => *run,
            Self::Many(runs) => *runs.range(..=place).next_back()?.1,
        };
        let at = behind(run, place, place_of);
        (at < run.len && place_of(run.start + at) == place).then(|| run.start + at..run.start + run.len)
    }

    /// The last row at `place` or before it.
    pub(crate) fn floor(&self, place: u64, place_of: &dyn Fn(u32) -> u64) -> Option<u32> {
        let run = match self {
            Self::One(run) => *run,
            Self::Many(runs) => *runs.range(..=place).next_back()?.1,
        };
        let at = match place.checked_add(1) {
            Some(next) => behind(run, next, place_of),
            None => run.len,
        };
        (at > 0).then(|| run.start + at - 1)
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

    /// Adds rows anywhere. Returns how many they replace, and a bound on the runs this made.
    pub(crate) fn insert(&mut self, new: Run, place_of: &dyn Fn(u32) -> u64) -> (u32, usize) {
        if let Self::One(old) = self
            && old.len == new.len
            && (0..new.len).all(|at| place_of(old.start + at) == place_of(new.start + at))
        {
            // The same places again, as a row that is a series of its own, or an answer that came again with corrections.
            *old = new;
            return (new.len, 0);
        }
        let runs = self.many(place_of);
        let (mut new, mut replaced, mut made) = (new, 0, 0);
        while new.len > 0 {
            let place = place_of(new.start);
            let next = runs.range((Bound::Excluded(place), Bound::Unbounded)).next().map(|(place, _)| *place);
            let below = |bound: Option<u64>| bound.map_or(new.len, |bound| behind(new, bound, place_of));
            let taken = match runs.range_mut(..=place).next_back() {
                None => {
                    let taken = below(next);
                    runs.insert(place, Run { start: new.start, len: taken });
                    taken
                }
                Some((_, run)) => {
                    let old = *run;
                    let at = behind(old, place, place_of);
                    let same = (at..old.len)
                        .zip(0..new.len)
                        .take_while(|(old_at, at)| place_of(old.start + old_at) == place_of(new.start + at))
                        .count() as u32;
                    let inside = (at < old.len).then(|| place_of(old.start + at));
                    let taken = if same > 0 { same } else { below(inside.or(next)) };
                    replaced += same;
                    if at == old.len && old.start + old.len == new.start {
                        run.len += taken;
                    } else {
                        if at > 0 {
                            run.len = at;
                        }
                        // With `at` of zero the run begins at this very place, and is replaced under the same number.
                        runs.insert(place, Run { start: new.start, len: taken });
                        let rest = at + same;
                        if rest < old.len {
                            let tail = Run { start: old.start + rest, len: old.len - rest };
                            runs.insert(place_of(tail.start), tail);
                        }
                    }
                    taken
                }
            };
            // The run that was begun, and what it cut off.
            made += 2;
            new = Run { start: new.start + taken, len: new.len - taken };
        }
        (replaced, made)
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
        /// Runs come in any order, within, over and behind others; the last row of a place is the one that is found.
        #[test]
        fn a_series_is_a_map_from_places_to_rows(
            answers in prop::collection::vec(prop::collection::btree_set(0u64..40, 1..12), 1..24),
        ) {
            let places: Vec<u64> = answers.iter().flatten().copied().collect();
            let place_of = |row: u32| places[row as usize];
            let mut model: BTreeMap<u64, u32> = BTreeMap::new();
            let mut series: Option<Series> = None;
            let mut start = 0;
            for answer in &answers {
                let new = Run { start, len: answer.len() as u32 };
                start += new.len;
                let expected = new.rows().filter(|row| model.insert(place_of(*row), *row).is_some()).count() as u32;
                match &mut series {
                    None => series = Some(Series::One(new)),
                    Some(series) if place_of(new.start) > place_of(series.last()) => series.push(new, &place_of),
                    Some(series) => prop_assert_eq!(series.insert(new, &place_of).0, expected),
                }
                let series = series.as_ref().unwrap();
                for place in 0..40 {
                    let found = series.find(place, &place_of);
                    prop_assert_eq!(found.clone().map(|found| found.start), model.get(&place).copied());
                    // What is said to follow does follow.
                    let follow: Vec<u32> = model.range(place..).map(|(_, row)| *row).collect();
                    let found: Vec<u32> = found.into_iter().flatten().collect();
                    prop_assert!(follow.starts_with(&found));
                }
            }
            let rows: Vec<u32> = series.iter().flat_map(Series::runs).flat_map(Run::rows).collect();
            prop_assert_eq!(rows, model.values().copied().collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_answer_that_comes_again_with_corrections_makes_one_run_of_it() {
        let places = [1, 2, 3, 4, 5, 6, 2, 3, 4];
        let place_of = |row: u32| places[row as usize];
        let mut series = Series::One(Run { start: 0, len: 6 });
        assert_eq!(series.insert(Run { start: 6, len: 3 }, &place_of).0, 3);
        let runs: Vec<Run> = series.runs().collect();
        assert_eq!(runs, [Run { start: 0, len: 1 }, Run { start: 6, len: 3 }, Run { start: 4, len: 2 }]);
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
