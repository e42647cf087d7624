//! Numbers as the kernel writes them.

/// A number; one that is not finite is none.
pub(super) fn number(word: &str) -> Option<f64> {
    match word.parse::<u64>() {
        Ok(whole) => Some(whole as f64),
        Err(_) => word.parse::<f64>().ok().filter(|number| number.is_finite()),
    }
}

/// A whole number, in base 16 when it begins with `0x`.
pub(super) fn whole(word: &str) -> Option<f64> {
    match word.strip_prefix("0x") {
        Some(digits) => hex(digits),
        None => word.parse::<i64>().ok().map(|whole| whole as f64),
    }
}

pub(super) fn hex(digits: &str) -> Option<f64> {
    u64::from_str_radix(digits, 16).ok().map(|whole| whole as f64)
}

/// A line that is `name: values` or `name values`, as its name and its numbers' words.
pub(super) fn named(line: &str) -> Option<(&str, std::str::SplitAsciiWhitespace<'_>)> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next()?;
    Some((name.strip_suffix(':').unwrap_or(name), words))
}
