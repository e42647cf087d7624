//! The bars that passed, as plain columns.

/// Bars of one symbol in columns of equal length, by ascending and unique time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bars {
    /// The symbol that was asked for.
    pub symbol: String,
    /// Start of the bar, UTC nanoseconds since 1970-01-01; a daily bar stands at 00:00 UTC of its session date.
    pub ts_ns: Vec<i64>,
    /// First price.
    pub open: Vec<f64>,
    /// Highest price.
    pub high: Vec<f64>,
    /// Lowest price.
    pub low: Vec<f64>,
    /// Last price.
    pub close: Vec<f64>,
    /// Traded quantity.
    pub volume: Volume,
}

/// Traded quantities: whole shares, or fractions where the provider or the caller declares them.
#[derive(Debug, Clone, PartialEq)]
pub enum Volume {
    /// Whole units.
    Whole(Vec<i64>),
    /// Fractions, as crypto exchanges report.
    Fractional(Vec<f64>),
}

impl Bars {
    /// Number of bars.
    pub fn len(&self) -> usize {
        self.ts_ns.len()
    }

    /// True without a bar.
    pub fn is_empty(&self) -> bool {
        self.ts_ns.is_empty()
    }
}

impl Default for Volume {
    fn default() -> Self {
        Volume::Whole(Vec::new())
    }
}

impl Volume {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Volume::Whole(v) => v.len(),
            Volume::Fractional(v) => v.len(),
        }
    }

    /// True without a value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at `index` as a float, or `None` beyond the end.
    pub fn get(&self, index: usize) -> Option<f64> {
        match self {
            Volume::Whole(v) => v.get(index).map(|n| *n as f64),
            Volume::Fractional(v) => v.get(index).copied(),
        }
    }
}
