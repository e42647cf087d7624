//! Plays the turns in their order and judges every figure.

use anyhow::Result;

use super::measured::{Figure, Measured};
use crate::compare::{Comparison, Judge, MIN_PAIRS, Pair, Side, Turn, compare, order};

/// A turn may be INVALID now and then; more than this share of them and there is no verdict.
const INVALID_SHARE: f64 = 0.25;

/// What the turns came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contest {
    /// The complete pairs of each figure, in the figures' order.
    pub pairs: Vec<Vec<Pair>>,
    /// Why no turn counts; empty means VALID.
    pub invalid: Vec<String>,
    /// How it ended.
    pub ended: Ended,
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Ended {
    /// After the last turn.
    #[default]
    Finished,
    /// By a signal.
    Interrupted,
}

/// Plays `pairs` pairs; `play` runs one turn. A turn of each side comes first and is not counted: caches fill, files and
/// code are read.
///
/// # Errors
/// The first turn that cannot be run at all.
pub fn contest(
    figures: &[Figure],
    pairs: usize,
    mut play: impl FnMut(Turn) -> Result<Measured>,
) -> Result<Contest> {
    let nothing = Pair { a: [f64::NAN; 2], b: [f64::NAN; 2] };
    let mut found = Contest { pairs: vec![vec![nothing; pairs]; figures.len()], ..Contest::default() };
    let (mut played, mut invalid) = (0, Vec::new());
    let first = [Side::A, Side::B].map(|side| Turn { pair: 0, side, slot: 0 });
    for turn in first {
        if play(turn)?.interrupted {
            found.ended = Ended::Interrupted;
            found.pairs.iter_mut().for_each(Vec::clear);
            return Ok(found);
        }
    }
    for turn in order(pairs) {
        let measured = play(turn)?;
        if measured.interrupted {
            found.ended = Ended::Interrupted;
            found.pairs.iter_mut().for_each(|pairs| pairs.truncate(turn.pair));
            break;
        }
        played += 1;
        invalid.extend(measured.invalid);
        for (pairs, value) in found.pairs.iter_mut().zip(measured.values) {
            let pair = &mut pairs[turn.pair];
            match turn.side {
                Side::A => pair.a[turn.slot] = value,
                Side::B => pair.b[turn.slot] = value,
            }
        }
    }
    if invalid.len() as f64 > INVALID_SHARE * f64::from(played) {
        found.invalid = vec![format!("{} of {played} turns were INVALID: {}", invalid.len(), invalid[0])];
    }
    Ok(found)
}

impl Contest {
    /// The verdict on one figure; `None` when too few pairs are complete or a turn measured nothing.
    #[must_use]
    pub fn judged(&self, figure: usize, judge: &Judge) -> Option<Comparison> {
        let pairs = self.pairs.get(figure)?;
        (pairs.len() >= MIN_PAIRS).then(|| compare(pairs, judge).ok())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Better, Verdict};

    const FIGURES: &[Figure] = &[Figure::cost("time", "ms"), Figure::rate("rate", "1/s")];

    fn play(turn: Turn) -> Measured {
        let slower = if turn.side == Side::B { 1.1 } else { 1.0 };
        Measured { values: vec![10.0 * slower, 100.0 / slower], ..Measured::default() }
    }

    #[test]
    fn every_figure_gets_its_pairs() {
        let found = contest(FIGURES, 5, |turn| Ok(play(turn))).unwrap();
        for (n, figure) in FIGURES.iter().enumerate() {
            assert_eq!(found.judged(n, &Judge::new(figure.better)).unwrap().verdict, Verdict::Worse);
        }
        assert_eq!(found.judged(2, &Judge::new(Better::Lower)), None);
    }

    #[test]
    fn a_signal_keeps_the_complete_pairs() {
        let mut played = 0;
        let found = contest(FIGURES, 10, |turn| {
            played += 1;
            Ok(Measured { interrupted: played == 25, ..play(turn) })
        })
        .unwrap();
        assert_eq!((found.ended, found.pairs[0].len()), (Ended::Interrupted, 5));
        assert!(found.judged(0, &Judge::new(Better::Lower)).is_some());
    }

    #[test]
    fn invalid_turns_are_forgiven_up_to_a_quarter() {
        let with = |every: usize| {
            let mut played = 0;
            contest(FIGURES, 4, |turn| {
                played += 1;
                let invalid = (played > 2 && (played - 2) % every == 0).then(|| "late".to_owned());
                Ok(Measured { invalid, ..play(turn) })
            })
            .unwrap()
            .invalid
        };
        assert!(with(4).is_empty());
        assert_eq!(with(3), ["5 of 16 turns were INVALID: late"]);
    }
}
