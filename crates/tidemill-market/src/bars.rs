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

impl Bars {
    pub(crate) fn reverse(&mut self) {
        self.ts_ns.reverse();
        for column in [&mut self.open, &mut self.high, &mut self.low, &mut self.close] {
            column.reverse();
        }
        match &mut self.volume {
            Volume::Whole(v) => v.reverse(),
            Volume::Fractional(v) => v.reverse(),
        }
    }

    /// True if two bars are equal in every field but their time.
    pub(crate) fn same(&self, a: usize, b: usize) -> bool {
        let columns = [&self.open, &self.high, &self.low, &self.close];
        columns.iter().all(|c| c[a] == c[b]) && self.volume.get(a) == self.volume.get(b)
    }

    pub(crate) fn push_from(&mut self, other: &Bars, index: usize) {
        self.ts_ns.push(other.ts_ns[index]);
        self.open.push(other.open[index]);
        self.high.push(other.high[index]);
        self.low.push(other.low[index]);
        self.close.push(other.close[index]);
        match (&mut self.volume, &other.volume) {
            (Volume::Whole(to), Volume::Whole(from)) => to.push(from[index]),
            (Volume::Fractional(to), from) => to.push(from.get(index).unwrap_or(0.0)),
            (Volume::Whole(to), Volume::Fractional(from)) => to.push(from[index] as i64),
        }
    }
}

impl Volume {
    /// An empty column of the same kind.
    pub(crate) fn none_of_kind(&self) -> Self {
        match self {
            Volume::Whole(_) => Volume::Whole(Vec::new()),
            Volume::Fractional(_) => Volume::Fractional(Vec::new()),
        }
    }
}
