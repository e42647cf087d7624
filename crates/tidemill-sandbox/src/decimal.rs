//! Writing fixed-point prices and whole numbers as text, without a float and without an allocation.

/// Appends `ticks` of `10^-decimals`, with zeros behind up to `least` decimals.
pub(crate) fn price(out: &mut Vec<u8>, ticks: u32, decimals: u8, least: u8) {
    let scale = 10u32.pow(u32::from(decimals));
    whole(out, u64::from(ticks / scale));
    out.push(b'.');
    let mut rest = ticks % scale;
    let from = out.len();
    out.resize(from + usize::from(decimals.max(least)), b'0');
    for digit in out[from..from + usize::from(decimals)].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// Appends a whole number.
pub(crate) fn whole(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
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
        let mut out = Vec::new();
        for value in [0, 9, 10, u64::MAX] {
            whole(&mut out, value);
            out.push(b' ');
        }
        assert_eq!(out, b"0 9 10 18446744073709551615 ");
    }
}
