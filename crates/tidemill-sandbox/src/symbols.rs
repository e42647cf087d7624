//! Which symbols there are, and the series of each.

use crate::bundle::{LISTED, RealSeries, unpack};
use crate::error::Error;
use crate::resample::{Base, Resampled};
use crate::series::Series;

/// Real symbols from which no other is made: an index, and a listing too short.
const NO_BASE: [&str; 2] = ["GSPC", "FB"];
/// The symbol whose sessions the resampled ones have.
const CALENDAR: &str = "AAPL";

/// The symbols of one sandbox. About 1.1 MB whatever their number: resampled series are made when asked for.
#[derive(Debug)]
pub(crate) struct Symbols {
    real: Vec<RealSeries>,
    bases: Vec<Base>,
    /// Sessions of resampled series, oldest first.
    days: Vec<i32>,
    count: usize,
    seed: u64,
}

impl Symbols {
    pub(crate) fn new(count: usize, seed: u64) -> Result<Self, Error> {
        let real = unpack()?;
        let bases = real.iter().filter(|series| !NO_BASE.contains(&series.symbol.as_str()));
        let bases = bases.filter_map(Base::new).collect();
        let calendar = real.iter().filter(|series| series.symbol == CALENDAR);
        let days = calendar.flat_map(|series| &series.rows).map(|row| row.day).collect();
        Ok(Self { real, bases, days, count, seed })
    }

    /// The listed symbols in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> + use<> {
        (0..self.count).map(name)
    }

    /// How many places [`position`](Self::position) may name.
    pub(crate) fn places(&self) -> usize {
        self.count + 1
    }

    /// Where a symbol stands in the listing; the index, which is answered but not listed, stands behind.
    pub(crate) fn position(&self, symbol: &str) -> Option<usize> {
        if symbol == "GSPC" {
            return Some(self.count);
        }
        let listed = LISTED.iter().position(|real| *real == symbol);
        let numbered = || symbol.strip_prefix("SYM")?.parse().ok().filter(|index| LISTED.len() <= *index);
        // Only the spelling that is listed: not SYM00005, not SYM+5.
        listed.or_else(numbered).filter(|index| *index < self.count && name(*index) == symbol)
    }

    /// The symbol at a position.
    pub(crate) fn name(&self, position: usize) -> String {
        if position == self.count { "GSPC".to_owned() } else { name(position) }
    }

    /// The series of the symbol at a position.
    pub(crate) fn series(&self, position: usize) -> Option<Series<'_>> {
        if position != self.count && position >= LISTED.len() {
            let series = Resampled::new(&self.bases, &self.days, self.seed, position as u64)?;
            return Some(Series::Resampled(series));
        }
        let name = self.name(position);
        self.real.iter().find(|series| series.symbol == name).map(Series::Real)
    }
}

fn name(index: usize) -> String {
    LISTED.get(index).map_or_else(|| format!("SYM{index:04}"), |real| (*real).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Row;

    fn rows(symbols: &Symbols, symbol: &str) -> Vec<Row> {
        symbols.series(symbols.position(symbol).unwrap()).unwrap().newest_first().collect()
    }

    #[test]
    fn every_listed_symbol_is_found_and_nothing_else() {
        let symbols = Symbols::new(20_000, 1).unwrap();
        let names: Vec<_> = symbols.names().collect();
        assert_eq!(names.len(), 20_000);
        assert_eq!(names[..6], ["AAPL", "FB", "GOOG", "IBM", "MSFT", "SYM0005"]);
        assert_eq!(names[19_999], "SYM19999");
        for (position, name) in names.iter().enumerate() {
            assert_eq!(symbols.position(name), Some(position));
        }
        for wrong in [
            "",
            "SYM",
            "SYM0004",
            "SYM5",
            "SYM00005",
            "SYM+005",
            "SYM20000",
            "aapl",
            "SYM99999999999999999999",
        ] {
            assert_eq!(symbols.position(wrong), None, "{wrong}");
        }
        assert_eq!(Symbols::new(3, 1).unwrap().position("IBM"), None, "only as many as configured");
    }

    #[test]
    fn resampled_bars_keep_every_rule_of_a_bar() {
        let symbols = Symbols::new(20_000, 7).unwrap();
        let sessions: Vec<_> = rows(&symbols, "AAPL").iter().map(|row| row.day).collect();
        for position in (5..20_000).step_by(97) {
            let series = symbols.series(position).unwrap();
            let length = series.len();
            let rows: Vec<_> = series.newest_first().collect();
            assert_eq!(rows.len(), length);
            assert!((504..=3270).contains(&length));
            assert!(
                rows.iter().map(|row| row.day).eq(sessions[..length].iter().copied()),
                "sessions are real"
            );
            for row in &rows {
                let (bottom, top) = (row.open.min(row.close), row.open.max(row.close));
                assert!(row.low <= bottom && top <= row.high, "{position}: {row:?}");
                assert!((10_000..40_000_000).contains(&row.low), "{position}: price ran away, {row:?}");
                assert!(row.low.is_multiple_of(100) && row.volume.is_multiple_of(100) && row.volume > 0);
            }
            for pair in rows.windows(2) {
                let ratio = f64::from(pair[0].close) / f64::from(pair[1].close);
                assert!((0.6..1.7).contains(&ratio), "{position}: no split was drawn, {pair:?}");
            }
        }
    }

    #[test]
    fn seeds_and_symbols_tell_series_apart_and_repeat_them() {
        let (one, again, two) =
            (Symbols::new(100, 1).unwrap(), Symbols::new(100, 1).unwrap(), Symbols::new(100, 2).unwrap());
        let mut distinct = std::collections::HashSet::new();
        for name in one.names().skip(5) {
            let series = rows(&one, &name);
            assert_eq!(series, rows(&again, &name));
            assert_ne!(series, rows(&two, &name));
            assert!(distinct.insert(series.iter().take(100).map(|row| row.close).collect::<Vec<_>>()));
        }
        // The real ones do not depend on a seed.
        assert_eq!(rows(&one, "MSFT"), rows(&two, "MSFT"));
    }

    #[test]
    fn blocks_are_real_days_scaled() {
        let symbols = Symbols::new(100, 1).unwrap();
        let series = rows(&symbols, "SYM0042");
        let shape = |row: &Row| (f64::from(row.high) / f64::from(row.low)).ln();
        let real: Vec<_> =
            ["AAPL", "GOOG", "IBM", "MSFT"].iter().flat_map(|name| rows(&symbols, name)).collect();
        let near = |row: &Row| real.iter().any(|real| (shape(real) - shape(row)).abs() < 2e-3);
        assert!(series[..100].iter().all(near));
    }
}
