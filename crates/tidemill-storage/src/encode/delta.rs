//! DELTA_BINARY_PACKED: the differences of neighbours, in as few bits as a stretch of 32 needs.

use super::bits::{pack, varint, width};

const BLOCK: usize = 128;
const MINI: usize = 32;

/// Writes integers of 4 or 8 bytes, given as their bits.
pub(crate) fn delta(values: impl ExactSizeIterator<Item = u64>, bytes: usize, out: &mut Vec<u8>) {
    varint(BLOCK as u64, out);
    varint((BLOCK / MINI) as u64, out);
    varint(values.len() as u64, out);
    let mut values = values.map(|value| widened(value, bytes));
    let mut last = values.next().unwrap_or(0);
    zigzag(last, out);
    let mut block = [0i64; BLOCK];
    loop {
        let mut len = 0;
        for value in values.by_ref().take(BLOCK) {
            block[len] = difference(value, last, bytes);
            last = value;
            len += 1;
        }
        if len == 0 {
            return;
        }
        write(&block[..len], bytes, out);
    }
}

fn write(block: &[i64], bytes: usize, out: &mut Vec<u8>) {
    let least = block.iter().copied().min().unwrap_or(0);
    zigzag(least, out);
    let widths = out.len();
    out.extend_from_slice(&[0; BLOCK / MINI]);
    for (at, mini) in block.chunks(MINI).enumerate() {
        let width = mini_width(mini, least, bytes);
        out[widths + at] = width as u8;
        let fill = std::iter::repeat_n(0, MINI - mini.len());
        let mask = mask(bytes);
        pack(mini.iter().map(|value| value.wrapping_sub(least) as u64 & mask).chain(fill), width, out);
    }
}

fn mini_width(mini: &[i64], least: i64, bytes: usize) -> u32 {
    let mask = mask(bytes);
    width(mini.iter().fold(0, |all, value| all | (value.wrapping_sub(least) as u64 & mask)))
}

fn mask(bytes: usize) -> u64 {
    u64::MAX >> (64 - 8 * bytes)
}

fn widened(value: u64, bytes: usize) -> i64 {
    if bytes == 4 { i64::from(value as u32 as i32) } else { value as i64 }
}

/// Wraps around within the integer's width, as readers do.
fn difference(value: i64, last: i64, bytes: usize) -> i64 {
    let difference = value.wrapping_sub(last);
    if bytes == 4 { i64::from(difference as i32) } else { difference }
}

fn zigzag(value: i64, out: &mut Vec<u8>) {
    varint((value << 1 ^ value >> 63) as u64, out);
}
