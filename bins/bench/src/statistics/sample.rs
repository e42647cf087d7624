//! What is said of a handful of numbers: mean, deviation, quantiles.

use serde::{Deserialize, Serialize};

/// The mean; 0 of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// The standard deviation of a sample (n − 1); 0 of fewer than two.
#[must_use]
pub fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let centre = mean(values);
    (values.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt()
}

/// The value at `q` in 0..=1, linear between neighbours; 0 of nothing.
#[must_use]
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    of_sorted(&sorted, q)
}

/// [`quantile`] of values that are sorted already.
#[must_use]
pub fn of_sorted(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = q.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

/// The middle value; 0 of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The five figures of SPEC L3.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Five {
    /// The mean.
    pub mean: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
    /// The middle.
    pub median: f64,
    /// The standard deviation of the sample.
    pub deviation: f64,
}

impl Five {
    /// Of these values; all 0 of nothing.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        Self {
            mean: mean(values),
            min: quantile(values, 0.0),
            max: quantile(values, 1.0),
            median: median(values),
            deviation: deviation(values),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_figures_of_four_values() {
        let five = Five::of(&[4.0, 1.0, 3.0, 2.0]);
        assert_eq!((five.mean, five.min, five.max, five.median), (2.5, 1.0, 4.0, 2.5));
        assert!((five.deviation - 1.290_994).abs() < 1e-6);
    }

    #[test]
    fn nothing_is_said_of_nothing() {
        assert_eq!(Five::of(&[]), Five::default());
        assert_eq!(deviation(&[7.0]), 0.0);
    }
}
