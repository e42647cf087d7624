//! From the two CSV files to the columns of `data/bars.bin`, before compression.

use std::error::Error;

/// The columns of the five stocks and the index.
pub(crate) fn pack(stocks: &str, index: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut plain = b"TMBARS\x01".to_vec();
    varint(&mut plain, 6);
    for symbol in ["AAPL", "FB", "GOOG", "IBM", "MSFT"] {
        let lines = stocks.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let rows =
            lines.filter(|fields| fields[0] == symbol).map(|fields| Row::parse(4, &fields[1..6], fields[6]));
        series(&mut plain, symbol, 4, &rows.collect::<Result<Vec<_>, _>>()?)?;
    }
    let lines = index.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let rows = lines.map(|fields| Row::parse(6, &fields[..5], fields[6])).collect::<Result<Vec<_>, _>>()?;
    series(&mut plain, "GSPC", 6, &rows)?;
    Ok(plain)
}

struct Row {
    day: i64,
    open: i64,
    high: i64,
    low: i64,
    close: i64,
    volume: u64,
}

impl Row {
    /// From date, open, high, low and close, and the volume.
    fn parse(decimals: usize, fields: &[&str], volume: &str) -> Result<Self, Box<dyn Error>> {
        let price = |field: usize| ticks(fields[field], decimals);
        let [open, high, low, close] = [price(1)?, price(2)?, price(3)?, price(4)?];
        Ok(Self { day: day(fields[0])?, open, high, low, close, volume: volume.parse()? })
    }
}

fn series(plain: &mut Vec<u8>, symbol: &str, decimals: u64, rows: &[Row]) -> Result<(), Box<dyn Error>> {
    let unit = rows.iter().fold(0, |unit, row| greatest_common_divisor(unit, row.volume)).max(1);
    varint(plain, symbol.len() as u64);
    plain.extend(symbol.as_bytes());
    varint(plain, decimals);
    varint(plain, unit);
    varint(plain, rows.len() as u64);
    let before = |row: usize| row.checked_sub(1).map(|row| &rows[row]);
    for (at, row) in rows.iter().enumerate() {
        varint(plain, u64::try_from(row.day - before(at).map_or(0, |row| row.day))?);
    }
    for (at, row) in rows.iter().enumerate() {
        signed(plain, row.close - before(at).map_or(0, |row| row.close));
    }
    for (at, row) in rows.iter().enumerate() {
        signed(plain, row.open - before(at).map_or(0, |row| row.close));
    }
    for row in rows {
        varint(plain, u64::try_from(row.high - row.open.max(row.close))?);
    }
    for row in rows {
        varint(plain, u64::try_from(row.open.min(row.close) - row.low)?);
    }
    for row in rows {
        varint(plain, row.volume / unit);
    }
    Ok(())
}

/// A decimal as whole ticks, without going through a float.
fn ticks(text: &str, decimals: usize) -> Result<i64, Box<dyn Error>> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > decimals {
        return Err(format!("`{text}` has more than {decimals} decimals").into());
    }
    Ok(format!("{whole}{fraction:0<decimals$}").parse()?)
}

/// `2000-03-01` or `3/1/2000` as days since 1970-01-01.
fn day(text: &str) -> Result<i64, Box<dyn Error>> {
    let numbers = text.split(['-', '/']).map(str::parse).collect::<Result<Vec<i64>, _>>()?;
    let (year, month, day) = match numbers[..] {
        [month, day, year] if text.contains('/') => (year, month, day),
        [year, month, day] => (year, month, day),
        _ => return Err(format!("`{text}` is no date").into()),
    };
    // Days before a year that begins in March, by Howard Hinnant's `days_from_civil`.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Ok(year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468)
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

fn signed(plain: &mut Vec<u8>, value: i64) {
    varint(plain, ((value << 1) ^ (value >> 63)) as u64);
}

fn varint(plain: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        plain.push(value as u8 | 0x80);
        value >>= 7;
    }
    plain.push(value as u8);
}
