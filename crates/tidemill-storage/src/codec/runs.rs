//! Rows as runs: which of them are still in question, which are taken already.

use std::ops::Range;

use arrow_buffer::BooleanBuffer;

/// Rows in ascending runs that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Runs(Vec<Range<usize>>);

impl Runs {
    /// Adds rows behind those that are there.
    pub(super) fn push(&mut self, rows: Range<usize>) {
        match self.0.last_mut() {
            _ if rows.is_empty() => {}
            Some(last) if last.end == rows.start => last.end = rows.end,
            _ => self.0.push(rows),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.0.iter().cloned()
    }

    pub(super) fn count(&self) -> usize {
        self.0.iter().map(ExactSizeIterator::len).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Rows of both.
    pub(super) fn and(&self, other: &Self) -> Self {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut out = Self::default();
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            out.push(a.start.max(b.start)..a.end.min(b.end));
            if a.end <= b.end {
                left.next()
            } else {
                right.next()
            };
        }
        out
    }

    /// Its rows but those of the other.
    pub(super) fn without(&self, other: &Self) -> Self {
        let mut others = other.0.iter().peekable();
        let (mut out, mut cut) = (Self::default(), 0);
        for rows in &self.0 {
            let mut start = rows.start.max(cut);
            while let Some(other) = others.next_if(|other| other.start < rows.end) {
                out.push(start..other.start.max(start));
                (start, cut) = (start.max(other.end), other.end);
            }
            out.push(start..rows.end);
        }
        out
    }

    /// Rows of either, of two that have none in common.
    pub(super) fn or(self, other: Self) -> Self {
        if self.is_empty() || other.is_empty() {
            return if self.is_empty() { other } else { self };
        }
        let mut all = [self.0, other.0].concat();
        all.sort_unstable_by_key(|rows| rows.start);
        let mut out = Self::default();
        all.into_iter().for_each(|rows| out.push(rows));
        out
    }
}

/// Goes through rows batch by batch, and takes those that pass.
pub(super) struct Sifted<'a> {
    rows: &'a Runs,
    /// The run that is next, and how many rows stand before it.
    at: usize,
    before: usize,
    seen: usize,
    taken: Runs,
}

impl<'a> Sifted<'a> {
    pub(super) fn new(rows: &'a Runs) -> Self {
        Self { rows, at: 0, before: 0, seen: 0, taken: Runs::default() }
    }

    /// The next rows, as many as the mask is long: those are taken that it says.
    pub(super) fn push(&mut self, mask: &BooleanBuffer) {
        for (start, end) in mask.set_slices() {
            let (mut start, end) = (self.seen + start, self.seen + end);
            while start < end
                && let Some(run) = self.rows.0.get(self.at)
            {
                let last = self.before + run.len();
                if start < last {
                    let to = end.min(last);
                    self.taken.push(run.start + start - self.before..run.start + to - self.before);
                    start = to;
                }
                if start >= last {
                    (self.at, self.before) = (self.at + 1, last);
                }
            }
        }
        self.seen += mask.len();
    }

    /// Those taken; none when another number of rows went by.
    pub(super) fn end(self) -> Option<Runs> {
        (self.seen == self.rows.count()).then_some(self.taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn runs(rows: &[bool]) -> Runs {
        let mut out = Runs::default();
        rows.iter().enumerate().filter(|(_, taken)| **taken).for_each(|(row, _)| out.push(row..row + 1));
        out
    }

    proptest! {
        /// Beside a flag for each row.
        #[test]
        fn runs_are_sets_of_rows(a in proptest::collection::vec(any::<bool>(), 100), b in proptest::collection::vec(any::<bool>(), 100), cut in 1..40usize) {
            let (left, right) = (runs(&a), runs(&b));
            let both: Vec<bool> = a.iter().zip(&b).map(|(a, b)| *a && *b).collect();
            let only: Vec<bool> = a.iter().zip(&b).map(|(a, b)| *b && !*a).collect();
            let either: Vec<bool> = a.iter().zip(&b).map(|(a, b)| *a || *b).collect();
            prop_assert_eq!(left.and(&right), runs(&both));
            prop_assert_eq!(left.clone().or(runs(&only)), runs(&either));
            let first: Vec<bool> = a.iter().zip(&b).map(|(a, b)| *a && !*b).collect();
            prop_assert_eq!(left.without(&right), runs(&first));
            prop_assert_eq!(left.count(), a.iter().filter(|taken| **taken).count());

            // Of the rows of the first, those that the second has too.
            let mask: Vec<bool> = a.iter().zip(&b).filter(|(a, _)| **a).map(|(_, b)| *b).collect();
            let mut sifted = Sifted::new(&left);
            mask.chunks(cut).for_each(|mask| sifted.push(&BooleanBuffer::from(mask)));
            prop_assert_eq!(sifted.end(), Some(runs(&both)));
            if !mask.is_empty() {
                let mut short = Sifted::new(&left);
                short.push(&BooleanBuffer::from(&mask[1..]));
                prop_assert_eq!(short.end(), None);
            }
        }
    }
}
