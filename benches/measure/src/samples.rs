//! One number per round, and what is reported of them: the median and the spread.

/// Costs per operation, one per round, in the unit of the measurement (nanoseconds from [`crate::Rounds`]).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    values: Vec<f64>,
}

impl Samples {
    /// No sample yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a round's value; a value that is not finite is dropped.
    pub fn push(&mut self, value: f64) {
        if value.is_finite() {
            self.values.push(value);
        }
    }

    /// How many rounds were counted.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether no round was counted.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The same samples in another unit.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        self.map(|value| value * factor)
    }

    /// The same samples, each changed.
    #[must_use]
    pub fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        Self { values: self.values.iter().copied().map(change).collect() }
    }

    /// The value at `q` in 0..=1, linear between neighbours; `None` without samples.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let position = q.clamp(0.0, 1.0) * last as f64;
        let (low, high) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
        Some(low + (high - low) * position.fract())
    }

    /// The middle value: one slow round does not move it.
    pub fn median(&self) -> Option<f64> {
        self.quantile(0.5)
    }

    /// The distance of the quartiles over the median: 0.05 means the middle half lies within 5 %.
    pub fn spread(&self) -> Option<f64> {
        let median = self.median()?;
        let width = self.quantile(0.75)? - self.quantile(0.25)?;
        (median != 0.0).then(|| width / median.abs())
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut samples = Self::new();
        values.into_iter().for_each(|value| samples.push(value));
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_spread_ignore_one_slow_round() {
        let samples: Samples = [10.0, 11.0, 9.0, 10.0, 5000.0].into_iter().collect();
        assert_eq!(samples.median(), Some(10.0));
        assert_eq!(samples.spread(), Some(0.1));
    }

    #[test]
    fn even_counts_take_the_middle_of_two() {
        let samples: Samples = [1.0, 4.0, 2.0, 3.0].into_iter().collect();
        assert_eq!(samples.median(), Some(2.5));
    }

    #[test]
    fn nothing_measured_is_nothing_reported() {
        let samples: Samples = [f64::NAN, f64::INFINITY].into_iter().collect();
        assert!(samples.is_empty());
        assert_eq!(samples.median(), None);
        assert_eq!(samples.spread(), None);
    }
}
