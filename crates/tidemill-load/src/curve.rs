//! The pure rate curve: level at a time, arrivals up to a time, and when arrival k is due.

use std::f64::consts::TAU;
use std::time::Duration;

/// A level over time, with its integral and the inverse of that. No clock, no state.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    pieces: Vec<Placed>,
    length: f64,
    area: f64,
}

/// A piece of a curve; lengths in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Piece {
    Line { from: f64, to: f64, length: f64 },
    Sine { mean: f64, amplitude: f64, period: f64, length: f64 },
}

/// A piece, where it starts, and what came before it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Placed {
    start: f64,
    before: f64,
    piece: Piece,
}

impl Curve {
    pub(crate) fn new(pieces: Vec<Piece>) -> Self {
        let (mut length, mut area) = (0.0, 0.0);
        let mut placed = Vec::with_capacity(pieces.len());
        for piece in pieces.into_iter().filter(|piece| piece.length() > 0.0) {
            placed.push(Placed { start: length, before: area, piece });
            length += piece.length();
            area += piece.area(piece.length());
        }
        Self { pieces: placed, length, area }
    }

    /// How long the curve lasts.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_nanos((self.length * 1e9).round() as u64)
    }

    /// The level at `t`; 0 after the end.
    #[must_use]
    pub fn level(&self, t: Duration) -> f64 {
        let t = t.as_secs_f64();
        if t >= self.length {
            return 0.0;
        }
        self.at(|placed| placed.start <= t).map_or(0.0, |placed| placed.piece.level(t - placed.start))
    }

    /// The highest level.
    #[must_use]
    pub fn peak(&self) -> f64 {
        self.pieces.iter().map(|placed| placed.piece.peak()).fold(0.0, f64::max)
    }

    /// The integral up to `t`: how many arrivals are due before it.
    #[must_use]
    pub fn arrivals(&self, t: Duration) -> f64 {
        let t = t.as_secs_f64();
        self.at(|placed| placed.start <= t).map_or(0.0, |placed| {
            placed.before + placed.piece.area((t - placed.start).min(placed.piece.length()))
        })
    }

    /// When arrival `k` (from 0) is due; `None` when the curve ends before it.
    #[must_use]
    pub fn due(&self, k: u64) -> Option<Duration> {
        self.due_at(k as f64)
    }

    /// When the integral reaches `area`; `None` when it never does. What is due at the very end is not part of it.
    pub(crate) fn due_at(&self, area: f64) -> Option<Duration> {
        // A billionth of an arrival is rounding, not an arrival.
        if area >= self.area - 1e-9 * self.area.max(1.0) {
            return None;
        }
        let placed = self.at(|placed| placed.before <= area)?;
        let t = placed.start + placed.piece.inverse(area - placed.before);
        Some(Duration::from_nanos((t * 1e9).round() as u64))
    }

    /// The last piece for which `is_before` holds; it holds for a prefix of the pieces.
    fn at(&self, is_before: impl Fn(&Placed) -> bool) -> Option<&Placed> {
        self.pieces[..self.pieces.partition_point(is_before)].last()
    }
}

impl Piece {
    pub(crate) fn flat(level: f64, duration: Duration) -> Self {
        Self::Line { from: level, to: level, length: duration.as_secs_f64() }
    }

    pub(crate) fn is_sound(&self) -> bool {
        let sound = |level: f64| (0.0..=1e9).contains(&level);
        match *self {
            Self::Line { from, to, .. } => sound(from) && sound(to),
            Self::Sine { mean, amplitude, .. } => sound(mean) && sound(mean - amplitude.abs()),
        }
    }

    fn length(&self) -> f64 {
        match *self {
            Self::Line { length, .. } | Self::Sine { length, .. } => length,
        }
    }

    fn peak(&self) -> f64 {
        match *self {
            Self::Line { from, to, .. } => from.max(to),
            Self::Sine { mean, amplitude, .. } => mean + amplitude.abs(),
        }
    }

    fn level(&self, t: f64) -> f64 {
        match *self {
            Self::Line { from, to, length } => from + (to - from) * t / length,
            Self::Sine { mean, amplitude, period, .. } => mean + amplitude * (TAU * t / period).sin(),
        }
    }

    fn area(&self, t: f64) -> f64 {
        match *self {
            Self::Line { from, to, length } => t * (from + (to - from) * t / (2.0 * length)),
            Self::Sine { mean, amplitude, period, .. } => {
                mean * t + amplitude * period / TAU * (1.0 - (TAU * t / period).cos())
            }
        }
    }

    /// The time at which the area is reached.
    fn inverse(&self, area: f64) -> f64 {
        match *self {
            Self::Line { from, to, length } => {
                // The root of slope/2 t² + from t = area, in the form that does not cancel.
                let slope = (to - from) / length;
                let root = (from * from + 2.0 * slope * area).max(0.0).sqrt();
                if from + root > 0.0 { (2.0 * area / (from + root)).min(length) } else { 0.0 }
            }
            Self::Sine { length, .. } => {
                // The area never falls, so halving always closes in; 64 halvings exhaust an f64.
                let (mut low, mut high) = (0.0, length);
                for _ in 0..64 {
                    let middle = 0.5 * (low + high);
                    if self.area(middle) < area { low = middle } else { high = middle }
                }
                high
            }
        }
    }
}
