//! Who runs when: A B B A, then B A A B, so that neither side always comes first.

use serde::{Deserialize, Serialize};

/// Which of the two.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// What was before.
    A,
    /// What is now.
    B,
}

/// One turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Turn {
    /// From 0.
    pub pair: usize,
    /// Whose turn it is.
    pub side: Side,
    /// 0 or 1: the side's first or second turn in this pair.
    pub slot: usize,
}

/// The turns of so many pairs, four each.
pub fn order(pairs: usize) -> impl Iterator<Item = Turn> {
    use Side::{A, B};
    (0..pairs).flat_map(|pair| {
        let sides = if pair % 2 == 0 { [A, B, B, A] } else { [B, A, A, B] };
        (0..4).map(move |at| Turn { pair, side: sides[at], slot: usize::from(at >= 2) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sides_take_turns_and_every_other_pair_begins_with_b() {
        let letters: String = order(2).map(|turn| if turn.side == Side::A { 'a' } else { 'b' }).collect();
        assert_eq!(letters, "abbabaab");
    }

    #[test]
    fn every_slot_is_filled_once() {
        let mut seen = std::collections::HashSet::new();
        assert!(order(7).all(|turn| seen.insert((turn.pair, turn.side == Side::A, turn.slot))));
        assert_eq!(seen.len(), 7 * 4);
    }
}
