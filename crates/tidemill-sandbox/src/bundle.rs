//! The real bars that come with the crate, unpacked from `data/bars.bin`.
//!
//! The file is a zlib stream (`examples/pack.rs` writes it, `data/PROVENANCE.md` says from what). Inside, all numbers are
//! LEB128 varints, signed ones zigzag-coded first:
//!
//! ```text
//! "TMBARS" 0x01                                     magic and version
//! count of series, then for each:
//!   length and bytes of the symbol
//!   decimals of its prices                          prices are whole ticks of 10^-decimals
//!   unit of its volumes                             volumes are whole units
//!   count of rows, then five columns, each whole:
//!     days since 1970-01-01, less the row before
//!     closes, less the row before (signed)
//!     opens, less the close before (signed)
//!     highs, above the higher of open and close
//!     lows, below the lower of open and close
//!     volumes in units
//! ```

use std::io::Read;

use flate2::read::ZlibDecoder;

use crate::error::Cause;
use crate::series::Row;

static PACKED: &[u8] = include_bytes!("../data/bars.bin");

/// The symbols of the real series that are listed, in listing order.
pub(crate) const LISTED: [&str; 5] = ["AAPL", "FB", "GOOG", "IBM", "MSFT"];

/// A real series, oldest row first.
#[derive(Clone, Debug)]
pub(crate) struct RealSeries {
    pub(crate) symbol: String,
    pub(crate) decimals: u8,
    pub(crate) rows: Vec<Row>,
}

/// Unpacks the bundled series; about 0.6 MB in memory.
pub(crate) fn unpack() -> Result<Vec<RealSeries>, Cause> {
    let mut plain = Vec::new();
    // The stream is ours, yet a bound costs nothing.
    let mut stream = ZlibDecoder::new(PACKED).take(4 << 20);
    stream.read_to_end(&mut plain).map_err(|_| Cause::Data("the stream is damaged"))?;
    parse(&plain).ok_or(Cause::Data("the columns do not add up"))
}

fn parse(plain: &[u8]) -> Option<Vec<RealSeries>> {
    let mut reader = Reader(plain.strip_prefix(b"TMBARS\x01")?);
    let count = reader.varint()?;
    let series = (0..count).map(|_| reader.series()).collect::<Option<Vec<_>>>()?;
    reader.0.is_empty().then_some(series)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn series(&mut self) -> Option<RealSeries> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (symbol, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        let symbol = String::from_utf8(symbol.to_vec()).ok()?;
        let decimals = u8::try_from(self.varint()?).ok().filter(|decimals| *decimals <= 9)?;
        let unit = self.varint()?;
        let count = usize::try_from(self.varint()?).ok().filter(|count| *count <= self.0.len())?;
        let blank = Row { day: 0, open: 0, high: 0, low: 0, close: 0, volume: 0 };
        let mut rows = vec![blank; count];
        let mut day = 0i64;
        for row in &mut rows {
            day += i64::try_from(self.varint()?).ok()?;
            row.day = i32::try_from(day).ok()?;
        }
        let mut close = 0i64;
        for row in &mut rows {
            close += self.signed()?;
            row.close = u32::try_from(close).ok()?;
        }
        let mut before = 0;
        for row in &mut rows {
            row.open = u32::try_from(i64::from(before) + self.signed()?).ok()?;
            before = row.close;
        }
        for row in &mut rows {
            row.high = row.open.max(row.close).checked_add(u32::try_from(self.varint()?).ok()?)?;
        }
        for row in &mut rows {
            row.low = row.open.min(row.close).checked_sub(u32::try_from(self.varint()?).ok()?)?;
        }
        for row in &mut rows {
            row.volume = self.varint()?.checked_mul(unit)?;
        }
        Some(RealSeries { symbol, decimals, rows })
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_holds_what_its_provenance_says() {
        let series = unpack().unwrap();
        let counts: Vec<_> =
            series.iter().map(|series| (series.symbol.as_str(), series.rows.len())).collect();
        let expected =
            [("AAPL", 3270), ("FB", 196), ("GOOG", 2148), ("IBM", 3270), ("MSFT", 3270), ("GSPC", 5031)];
        assert_eq!(counts, expected);
        for row in series.iter().flat_map(|series| &series.rows) {
            assert!(0 < row.low && row.low <= row.open.min(row.close) && row.open.max(row.close) <= row.high);
        }
        for series in &series {
            assert!(series.rows.is_sorted_by(|a, b| a.day < b.day), "{}", series.symbol);
        }
    }

    #[test]
    fn damaged_columns_are_refused_not_guessed() {
        let mut plain = Vec::new();
        ZlibDecoder::new(PACKED).read_to_end(&mut plain).unwrap();
        assert!(parse(&plain).is_some());
        for cut in [0, 6, 7, 20, 5000, plain.len() - 1] {
            assert!(parse(&plain[..cut]).is_none(), "cut at {cut}");
        }
        plain.push(0);
        assert!(parse(&plain).is_none(), "a byte too many");
    }
}
