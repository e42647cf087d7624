//! Writing fixed-point prices and whole numbers as text, without a float and without an allocation.

/// Appends `ticks` of `10^-decimals`, with zeros behind up to `least` decimals; at most 9 of either.
pub(crate) fn price(out: &mut Vec<u8>, ticks: u32, decimals: u8, least: u8) {
    // Filled from the back: ten digits of a whole part at most, a point, nine decimals at most.
    let mut text = [b'0'; 20];
    let mut at = text.len() - usize::from(least.saturating_sub(decimals).min(9));
    let mut rest = ticks;
    for _ in 0..decimals.min(9) {
        at -= 1;
        text[at] = digit(rest % 10);
        rest /= 10;
    }
    at -= 1;
    text[at] = b'.';
    loop {
        at -= 1;
        text[at] = digit(rest % 10);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}

/// Appends a whole number.
pub(crate) fn whole(out: &mut Vec<u8>, mut value: u64) {
    let mut text = [0; 20];
    let mut at = text.len();
    // A narrow division costs a third of a wide one, and few numbers need the wide one.
    while let wide @ 0x1_0000_0000.. = value {
        at -= 1;
        text[at] = digit((wide % 10) as u32);
        value = wide / 10;
    }
    let mut value = value as u32;
    loop {
        at -= 1;
        text[at] = digit(value % 10);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}

fn digit(value: u32) -> u8 {
    b'0' + value as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_and_counts_read_as_they_should() {
        let text = |ticks, decimals, least| {
            let mut out = Vec::new();
            price(&mut out, ticks, decimals, least);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(1_185_600, 4, 4), "118.5600");
        assert_eq!(text(100, 4, 5), "0.01000");
        assert_eq!(text(1_229_229_980, 6, 4), "1229.229980");
        assert_eq!(text(7, 0, 2), "7.00");
        assert_eq!(text(u32::MAX, 9, 0), "4.294967295");
        assert_eq!(text(u32::MAX, 0, 9), "4294967295.000000000");
        let mut out = Vec::new();
        for value in [0, 9, 10, u64::from(u32::MAX), 1 << 32, u64::MAX] {
            whole(&mut out, value);
            out.push(b' ');
        }
        assert_eq!(out, b"0 9 10 4294967295 4294967296 18446744073709551615 ");
    }
}
