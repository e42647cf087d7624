//! What stands in a Redis key: a claim, or a value with its time and its generation.
//!
//! Version 1, all numbers little-endian: `'V' 1 flags:u8 written_ms:u64 life_ms:u64 generation:u64 tags:u8 tag:u32…
//! bytes…`, or `'C' token:u128`. Flag 1: the life is the value's own. A life of `u64::MAX` has no end.

use std::time::Duration;

use crate::lifetime::millis;
use crate::tier::{Claim, Record};

const VERSION: u8 = 1;
const OWN: u8 = 1;

/// A key's content.
#[derive(Debug, PartialEq)]
pub(super) enum Slot {
    Claimed,
    Value {
        record: Record,
        generation: u64,
    },
    /// Of another version, or damaged.
    Unknown,
}

pub(super) fn claim(claim: Claim) -> Vec<u8> {
    let mut bytes = vec![b'C'];
    bytes.extend_from_slice(&claim.0.to_le_bytes());
    bytes
}

/// `now_ms` is wall-clock time, as all processes that share a server have it.
pub(super) fn encode(record: &Record, now_ms: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(28 + 4 * record.tags.len() + record.bytes.len());
    bytes.extend_from_slice(&[b'V', VERSION, if record.own { OWN } else { 0 }]);
    bytes.extend_from_slice(&now_ms.saturating_sub(millis(record.age)).to_le_bytes());
    bytes.extend_from_slice(&record.life.map_or(u64::MAX, millis).to_le_bytes());
    bytes.extend_from_slice(&record.generation.to_le_bytes());
    // A cache keeps no value of more than 16 tags.
    let tags = record.tags.iter().take(usize::from(u8::MAX));
    bytes.push(u8::try_from(tags.len()).unwrap_or(u8::MAX));
    tags.for_each(|tag| bytes.extend_from_slice(&tag.to_le_bytes()));
    bytes.extend_from_slice(&record.bytes);
    bytes
}

pub(super) fn decode(bytes: &[u8], now_ms: u64) -> Slot {
    match bytes.split_first() {
        Some((b'C', token)) if token.len() == 16 => Slot::Claimed,
        Some((b'V', rest)) => value(rest, now_ms).unwrap_or(Slot::Unknown),
        _ => Slot::Unknown,
    }
}

fn value(bytes: &[u8], now_ms: u64) -> Option<Slot> {
    let (&[version, flags], rest) = bytes.split_first_chunk()?;
    if version != VERSION {
        return None;
    }
    let (written, rest) = rest.split_first_chunk()?;
    let (life, rest) = rest.split_first_chunk()?;
    let (generation, rest) = rest.split_first_chunk()?;
    let (&tags, rest) = rest.split_first()?;
    let (tags, bytes) = rest.split_at_checked(4 * usize::from(tags))?;
    let life = u64::from_le_bytes(*life);
    let generation = u64::from_le_bytes(*generation);
    let record = Record {
        bytes: bytes.to_vec(),
        // Another machine's clock may be ahead of ours: nothing is younger than nothing.
        age: Duration::from_millis(now_ms.saturating_sub(u64::from_le_bytes(*written))),
        life: (life != u64::MAX).then(|| Duration::from_millis(life)),
        own: flags & OWN != 0,
        tags: tags.as_chunks().0.iter().map(|tag| u32::from_le_bytes(*tag)).collect(),
        generation,
    };
    Some(Slot::Value { record, generation })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> impl Strategy<Value = Record> {
        let (bytes, tags) =
            (proptest::collection::vec(any::<u8>(), 0..64), proptest::collection::vec(any::<u32>(), 0..5));
        let life = proptest::option::of((0_u64..1 << 50).prop_map(Duration::from_millis));
        (bytes, 0_u64..1 << 40, life, any::<bool>(), tags, any::<u64>()).prop_map(
            |(bytes, age, life, own, tags, generation)| {
                let age = Duration::from_millis(age);
                Record { bytes, age, life, own, tags, generation }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(record in record(), now in 1_u64 << 41..1 << 42) {
            let generation = record.generation;
            prop_assert_eq!(decode(&encode(&record, now), now), Slot::Value { record, generation });
        }

        /// Whatever stands in a key, reading it gives a value, a claim or neither, and never panics.
        #[test]
        fn foreign_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..64), value: bool) {
            let mut bytes = bytes;
            if value {
                bytes.splice(0..0, [b'V', VERSION]);
            }
            decode(&bytes, 0);
        }
    }

    #[test]
    fn a_claim_is_no_value() {
        assert_eq!(decode(&claim(Claim(7)), 0), Slot::Claimed);
        assert_eq!(decode(b"", 0), Slot::Unknown);
        assert_eq!(decode(b"hello", 0), Slot::Unknown);
    }
}
