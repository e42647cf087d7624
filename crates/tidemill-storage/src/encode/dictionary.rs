//! Which values a column holds, each once, and which of them stands where.

use hashbrown::HashTable;

/// Finds numbers it has seen; kept and reused from one column to the next.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    slots: Vec<Slot>,
    values: Vec<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    value: u64,
    /// Place among the values, plus one; 0 is free.
    place: u32,
}

const FEWEST_SLOTS: usize = 1024;

impl Numbers {
    /// The place of each value among those that differ, or none when there are more than `limit` of those.
    pub(crate) fn places(
        &mut self,
        values: impl ExactSizeIterator<Item = u64>,
        limit: usize,
    ) -> Option<Vec<u32>> {
        self.values.clear();
        self.slots.fill(Slot::default());
        if self.slots.is_empty() {
            self.slots.resize(FEWEST_SLOTS, Slot::default());
        }
        let mut out = Vec::with_capacity(values.len());
        for value in values {
            let place = self.place(value);
            if self.values.len() > limit {
                return None;
            }
            out.push(place);
        }
        Some(out)
    }

    /// The values, in the order of their places.
    pub(crate) fn values(&self) -> &[u64] {
        &self.values
    }

    /// Sorts the values by `order` and moves the places with them: neighbours in value become neighbours in place, so that a
    /// page needs fewer bits, and the dictionary compresses better.
    pub(crate) fn sort(&mut self, places: &mut [u32], order: impl Fn(u64) -> u64) {
        let mut sorted: Vec<(u64, u32)> =
            self.values.iter().enumerate().map(|(place, value)| (order(*value), place as u32)).collect();
        sorted.sort_unstable();
        let mut moved = vec![0; sorted.len()];
        let old = std::mem::take(&mut self.values);
        for (new, (_, place)) in sorted.into_iter().enumerate() {
            moved[place as usize] = new as u32;
            self.values.push(old[place as usize]);
        }
        places.iter_mut().for_each(|place| *place = moved[*place as usize]);
    }

    #[inline]
    fn place(&mut self, value: u64) -> u32 {
        let mask = self.slots.len() - 1;
        let mut at = spread(value, self.slots.len());
        loop {
            let slot = self.slots[at];
            if slot.place != 0 && slot.value == value {
                return slot.place - 1;
            }
            if slot.place == 0 {
                break;
            }
            at = (at + 1) & mask;
        }
        self.values.push(value);
        let place = self.values.len() as u32;
        self.slots[at] = Slot { value, place };
        if self.values.len() * 2 > self.slots.len() {
            self.grow();
        }
        place - 1
    }

    #[cold]
    fn grow(&mut self) {
        let size = self.slots.len() * 2;
        self.slots.clear();
        self.slots.resize(size, Slot::default());
        for (place, value) in self.values.iter().enumerate() {
            let mut at = spread(*value, size);
            while self.slots[at].place != 0 {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = Slot { value: *value, place: place as u32 + 1 };
        }
    }
}

/// The place of each number among those that differ, and those, ascending: by counting, for numbers of which the greatest is
/// not far above the least. None when it is, or when more than `limit` differ.
pub(crate) fn dense(numbers: &[i64], limit: usize) -> Option<(Vec<u32>, Vec<i64>)> {
    let (low, high) = numbers.iter().fold((i64::MAX, i64::MIN), |(low, high), n| (low.min(*n), high.max(*n)));
    let span = usize::try_from(high.checked_sub(low)?).ok()?.checked_add(1)?;
    if span > numbers.len().saturating_mul(2).max(FEWEST_SLOTS) {
        return None;
    }
    // A bit each, so that what differs is found without looking at what is not there.
    let mut seen = vec![0u64; span.div_ceil(64)];
    for number in numbers {
        let at = (number - low) as usize;
        seen[at / 64] |= 1 << (at % 64);
    }
    let count = seen.iter().map(|word| word.count_ones() as usize).sum();
    if count > limit {
        return None;
    }
    let (mut place, mut found) = (vec![0u32; span], Vec::with_capacity(count));
    for (word, bits) in seen.into_iter().enumerate() {
        let mut bits = bits;
        while bits != 0 {
            let at = 64 * word + bits.trailing_zeros() as usize;
            place[at] = found.len() as u32;
            found.push(low + at as i64);
            bits &= bits - 1;
        }
    }
    Some((numbers.iter().map(|n| place[(n - low) as usize]).collect(), found))
}

/// The bits of a float but for the upper twelve of its mantissa. Decimals of so many places that differ by a power of two share these,
/// within one exponent: 10.07, 10.32 and 10.57 do.
fn family(bits: u64) -> u64 {
    bits & !(0xfff << 40)
}

/// Where each of these floats, which ascend, stands when those of one family follow each other, ascending: neighbours share six bytes
/// of eight, and compress to two thirds of what they take ascending. None when the families are nearly as many as the floats.
pub(crate) fn alike(values: &[u64], numbers: &mut Numbers) -> Option<Vec<u32>> {
    let families = numbers.places(values.iter().map(|bits| family(*bits)), values.len() / 4)?;
    let mut next = vec![0u32; numbers.values().len() + 1];
    families.iter().for_each(|family| next[*family as usize + 1] += 1);
    (1..next.len()).for_each(|at| next[at] += next[at - 1]);
    let place = |family: u32| {
        let next = &mut next[family as usize];
        *next += 1;
        *next - 1
    };
    Some(families.into_iter().map(place).collect())
}

/// Fibonacci hashing (Knuth, 6.4): the high bits of a product with the golden ratio.
fn spread(value: u64, slots: usize) -> usize {
    (value.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - slots.trailing_zeros())) as usize
}

/// The place of each text among those that differ and where each of those stands first, or none when those take more than
/// `limit` bytes.
pub(crate) fn texts<'a>(
    rows: usize,
    text: impl Fn(usize) -> &'a [u8],
    limit: usize,
) -> Option<(Vec<u32>, Vec<u32>)> {
    let hash = |text: &[u8]| u64::from(crc32c::crc32c(text)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut seen: HashTable<u32> = HashTable::new();
    let (mut places, mut firsts) = (Vec::with_capacity(rows), Vec::<u32>::new());
    let mut bytes = 0;
    let mut last = None;
    for row in 0..rows {
        let value = text(row);
        // A sorted column repeats.
        if let Some((before, place)) = last
            && before == value
        {
            places.push(place);
            continue;
        }
        let key = hash(value);
        let found = seen.find(key, |place| text(firsts[*place as usize] as usize) == value).copied();
        let place = match found {
            Some(place) => place,
            None => {
                bytes += value.len() + 4;
                if bytes > limit {
                    return None;
                }
                let place = firsts.len() as u32;
                firsts.push(row as u32);
                seen.insert_unique(key, place, |place| hash(text(firsts[*place as usize] as usize)));
                place
            }
        };
        places.push(place);
        last = Some((value, place));
    }
    Some((places, firsts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lead_to_values_before_and_after_sorting() {
        let given: Vec<u64> = (0..20_000u64).map(|n| (n.wrapping_mul(n) % 5003) ^ 0xff).collect();
        let mut numbers = Numbers::default();
        for _ in 0..2 {
            let mut places = numbers.places(given.iter().copied(), 1 << 20).unwrap();
            let back = |places: &[u32], numbers: &Numbers| -> Vec<u64> {
                places.iter().map(|place| numbers.values()[*place as usize]).collect()
            };
            assert_eq!(back(&places, &numbers), given);
            numbers.sort(&mut places, |value| value);
            assert_eq!(back(&places, &numbers), given);
            assert!(numbers.values().is_sorted());
        }
        assert!(numbers.places(given.iter().copied(), 100).is_none());
    }

    #[test]
    fn counting_finds_what_hashing_does() {
        let given: Vec<i64> = (0..9000i64).map(|n| n * n % 5003 - 2500).collect();
        let (places, found) = dense(&given, 1 << 20).unwrap();
        assert!(found.is_sorted_by(|a, b| a < b));
        assert!(places.iter().zip(&given).all(|(place, n)| found[*place as usize] == *n));
        assert!(dense(&given, 100).is_none());
        assert!(dense(&[0, 1 << 40], 100).is_none() && dense(&[i64::MIN, i64::MAX], 100).is_none());
        assert!(dense(&[], 100).is_none());
    }

    #[test]
    fn a_family_stands_together_and_every_value_once() {
        let values: Vec<u64> = (600..9000).map(|cents| (f64::from(cents) / 100.0).to_bits()).collect();
        let mut numbers = Numbers::default();
        let moved = alike(&values, &mut numbers).unwrap();
        let mut dictionary = vec![0; values.len()];
        values.iter().zip(&moved).for_each(|(value, at)| dictionary[*at as usize] = *value);
        let mut sorted = dictionary.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, values);
        let changes = dictionary.windows(2).filter(|pair| family(pair[0]) != family(pair[1])).count();
        // 25 quarters' remainders in each of the binades from 4 to 128.
        assert_eq!(changes + 1, 25 * 5);
        let noise: Vec<u64> = (1..9000).map(|n| (1.0 / f64::from(n)).to_bits()).rev().collect();
        assert!(alike(&noise, &mut numbers).is_none());
    }

    #[test]
    fn texts_are_told_apart() {
        let given = ["b", "b", "", "a", "b", "a"];
        let (places, firsts) = texts(6, |row| given[row].as_bytes(), 100).unwrap();
        assert_eq!((places, firsts), (vec![0, 0, 1, 2, 0, 2], vec![0, 2, 3]));
        assert!(texts(6, |row| given[row].as_bytes(), 8).is_none());
    }
}
