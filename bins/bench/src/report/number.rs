//! Numbers as people read them.

/// Four significant digits, without an exponent.
#[must_use]
pub fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { "-".to_owned() };
    }
    let digits = (3 - value.abs().log10().floor() as i32).clamp(0, 6);
    let text = format!("{value:.*}", usize::try_from(digits).unwrap_or(0));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A time of so many milliseconds, in the unit that reads best.
#[must_use]
pub fn milliseconds(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else if value.abs() < 1.0 {
        format!("{} us", number(value * 1e3))
    } else if value.abs() < 1e4 {
        format!("{} ms", number(value))
    } else {
        format!("{} s", number(value / 1e3))
    }
}

/// A share: 0.051 is `+5.1 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    let digits = if value.abs() < 9.95 { 1 } else { 0 };
    format!("{value:+.digits$} %")
}

/// A size in bytes.
#[must_use]
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut scaled = value as f64;
    let mut unit = 0;
    while scaled >= 1000.0 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    format!("{} {}", number(scaled), UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        let read = [0.0, 0.000_123_4, 1.0, 12.345_6, 1234.56, 98_765.4, f64::NAN].map(number);
        assert_eq!(read, ["0", "0.000123", "1", "12.35", "1235", "98765", "-"]);
        assert_eq!([0.0, 0.25, 12.5, 90_000.0].map(milliseconds), ["0", "250 us", "12.5 ms", "90 s"]);
        assert_eq!([0.051, -0.2, 0.0].map(percent), ["+5.1 %", "-20 %", "+0.0 %"]);
        assert_eq!([0, 999, 12_345, 7_000_000_000].map(bytes), ["0 B", "999 B", "12.35 kB", "7 GB"]);
    }
}
