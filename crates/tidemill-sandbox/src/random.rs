//! Numbers that look random and are a function of seed, purpose and index: the same seed, the same run.

/// What a number is drawn for; each purpose has its own stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Latency = 1,
    Uplink = 2,
    Fault = 3,
    Series = 4,
    Block = 5,
}

/// 64 bits for the `index`-th draw of a purpose, with `lane` to tell apart draws for the same index.
///
/// The finaliser is that of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
pub(crate) fn bits(seed: u64, purpose: Purpose, index: u64, lane: u64) -> u64 {
    let mut state = seed;
    for word in [purpose as u64, index, lane] {
        state = mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ word.wrapping_mul(0xd6e8_feb8_6659_fd93));
    }
    state
}

/// A number in `[0, 1)`.
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// A number in `0..bound`; `bound` below 2^32, where the bias is below 2^-32.
pub(crate) fn below(bits: u64, bound: usize) -> usize {
    (((bits >> 32) * bound as u64) >> 32) as usize
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
