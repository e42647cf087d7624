//! Bits in a row: packed numbers and the run-length hybrid that Parquet writes levels and dictionary indexes in.

/// Bits that the number takes.
pub(crate) fn width(value: u64) -> u32 {
    u64::BITS - value.leading_zeros()
}

/// A number in groups of seven bits, the low ones first.
pub(crate) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Packs numbers of at most `width` bits each, the low bits first, up to the next whole byte.
pub(crate) fn pack(values: impl IntoIterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    if width > 32 {
        return pack_wide(values, width, out);
    }
    let (mut bits, mut held) = (0u64, 0u32);
    for value in values {
        bits |= value << held;
        held += width;
        if held >= 32 {
            out.extend_from_slice(&(bits as u32).to_le_bytes());
            bits >>= 32;
            held -= 32;
        }
    }
    out.extend_from_slice(&bits.to_le_bytes()[..held.div_ceil(8) as usize]);
}

fn pack_wide(values: impl IntoIterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let (mut bits, mut held) = (0u128, 0u32);
    for value in values {
        bits |= u128::from(value) << held;
        held += width;
        if held >= 64 {
            out.extend_from_slice(&(bits as u64).to_le_bytes());
            bits >>= 64;
            held -= 64;
        }
    }
    out.extend_from_slice(&bits.to_le_bytes()[..held.div_ceil(8) as usize]);
}

/// Shorter repetitions are cheaper packed with their neighbours.
const RUN: usize = 16;

/// Writes numbers of at most `width` bits: long repetitions as runs, the rest packed in groups of eight.
pub(crate) fn hybrid(values: &[u32], width: u32, out: &mut Vec<u8>) {
    let (mut packed, mut at) = (0, 0);
    while at < values.len() {
        let rest = &values[at..];
        let first = rest[0];
        // Mostly the next number differs already.
        let same =
            if rest.get(1) == Some(&first) { rest.iter().take_while(|v| **v == first).count() } else { 1 };
        if same >= RUN || same == rest.len() && same >= 8 {
            group(&values[packed..at], width, out);
            varint((same as u64) << 1, out);
            out.extend_from_slice(&first.to_le_bytes()[..width.div_ceil(8) as usize]);
            at += same;
            packed = at;
        } else {
            at = (at + 8).min(values.len());
        }
    }
    group(&values[packed..], width, out);
}

fn group(values: &[u32], width: u32, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    let groups = values.len().div_ceil(8);
    varint((groups as u64) << 1 | 1, out);
    let end = out.len() + groups * width as usize;
    pack(values.iter().map(|value| u64::from(*value)), width, out);
    out.resize(end, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpack(bytes: &[u8], width: u32, count: usize) -> Vec<u64> {
        let bit = |at: usize| u64::from(bytes[at / 8] >> (at % 8) & 1);
        let value = |n: usize| (0..width as usize).map(|b| bit(n * width as usize + b) << b).sum();
        (0..count).map(value).collect()
    }

    #[test]
    fn what_is_packed_is_unpacked_bit_by_bit() {
        for width in 1..=64 {
            let mask = u64::MAX >> (64 - width);
            let values: Vec<u64> = (0..37u64)
                .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(n as u32) & mask)
                .collect();
            let mut out = Vec::new();
            pack(values.iter().copied(), width, &mut out);
            assert_eq!(out.len(), (37 * width as usize).div_ceil(8));
            assert_eq!(unpack(&out, width, 37), values, "{width} bits");
        }
    }

    #[test]
    fn runs_and_packed_groups_lead_back() {
        let mut state = 7u64;
        for round in 0..200 {
            let mut values = Vec::new();
            while values.len() < 300 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let (value, times) = ((state >> 40) as u32 % 8, (state >> 50) as usize % 40);
                values.extend(std::iter::repeat_n(value, if round % 2 == 0 { times } else { 1 }));
            }
            let mut out = Vec::new();
            hybrid(&values, 3, &mut out);
            assert_eq!(read(&out, 3, values.len()), values);
        }
    }

    fn read(mut bytes: &[u8], width: u32, count: usize) -> Vec<u32> {
        let mut values = Vec::new();
        while !bytes.is_empty() {
            let (mut header, mut shift) = (0usize, 0);
            loop {
                let byte = bytes[0];
                bytes = &bytes[1..];
                header |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    break;
                }
            }
            if header & 1 == 1 {
                let len = (header >> 1) * width as usize;
                values.extend(unpack(&bytes[..len], width, (header >> 1) * 8).iter().map(|v| *v as u32));
                bytes = &bytes[len..];
            } else {
                values.extend(std::iter::repeat_n(u32::from(bytes[0]), header >> 1));
                bytes = &bytes[1..];
            }
        }
        values.truncate(count);
        values
    }
}
