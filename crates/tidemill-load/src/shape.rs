//! How load changes over time, as the plan writes it; [`Curve`] computes with it.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::curve::{Curve, Piece};
use crate::error::Error;
use crate::units;

/// A level over time: arrivals a second in the open model, users in the closed one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Shape {
    /// One level.
    Constant {
        /// The level.
        level: f64,
        /// For how long.
        #[serde(with = "units::duration")]
        duration: Duration,
    },
    /// From one level to another, smoothly or in equal steps, then held.
    Ramp {
        /// The first level.
        #[serde(default)]
        from: f64,
        /// The last level.
        to: f64,
        /// How long the rise takes.
        #[serde(with = "units::duration")]
        over: Duration,
        /// Equal steps, the last at `to`; 0 is smooth. Default 0.
        #[serde(default)]
        steps: u32,
        /// How long `to` is held afterwards. Default `"0s"`.
        #[serde(default, with = "units::duration")]
        hold: Duration,
    },
    /// A step more each time, up to a level that is held as long as the others.
    Stairs {
        /// The first level.
        start: f64,
        /// What each step adds.
        step: f64,
        /// How long each level lasts.
        #[serde(with = "units::duration")]
        each: Duration,
        /// The last level.
        until: f64,
    },
    /// A level, a multiple of it, and the level again.
    Spike {
        /// Before and after.
        level: f64,
        /// The spike is so many times as high. Default 3.
        #[serde(default = "three")]
        factor: f64,
        /// How long before.
        #[serde(with = "units::duration")]
        before: Duration,
        /// How long the spike lasts.
        #[serde(with = "units::duration")]
        during: Duration,
        /// How long after.
        #[serde(with = "units::duration")]
        after: Duration,
    },
    /// `mean + amplitude · sin(2πt / period)`.
    Sine {
        /// The mean level.
        mean: f64,
        /// At most `mean`.
        amplitude: f64,
        /// One wave.
        #[serde(with = "units::duration")]
        period: Duration,
        /// For how long.
        #[serde(with = "units::duration")]
        duration: Duration,
    },
    /// Any sequence of straight lines.
    Stages {
        /// One after the other, from level 0.
        stages: Vec<Stage>,
    },
    /// Arrivals as recorded: a file with one line an arrival, seconds since the start, never falling. Open model only.
    Replay {
        /// Where it is.
        path: PathBuf,
        /// How many times as fast. Default 1.
        #[serde(default = "one")]
        speed: f64,
        /// How much of it; what is later is left out.
        #[serde(with = "units::duration")]
        duration: Duration,
    },
}

/// A straight line to a level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Where the line starts. Default where the one before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<f64>,
    /// Where it ends.
    pub to: f64,
    /// How long it takes.
    #[serde(with = "units::duration")]
    pub over: Duration,
}

impl Shape {
    /// The most pieces a curve may have.
    const PIECES: usize = 100_000;

    /// One level for a time.
    #[must_use]
    pub fn constant(level: f64, duration: Duration) -> Self {
        Self::Constant { level, duration }
    }

    /// How long it lasts.
    #[must_use]
    pub fn duration(&self) -> Duration {
        match self {
            Self::Replay { duration, .. } => *duration,
            shape => shape.curve().map_or(Duration::ZERO, |curve| curve.duration()),
        }
    }

    /// The function to compute with; a replay has none and gives a curve of level 0.
    ///
    /// # Errors
    /// [`ErrorKind::Plan`](crate::ErrorKind::Plan) when a level is negative or not finite, a time that must not be zero
    /// is, or there are more than 100 000 pieces.
    pub fn curve(&self) -> Result<Curve, Error> {
        let pieces = match *self {
            Self::Constant { level, duration } => vec![Piece::flat(level, duration)],
            Self::Ramp { from, to, over, steps, hold } => {
                let mut pieces = ramp(from, to, over, steps)?;
                pieces.push(Piece::flat(to, hold));
                pieces
            }
            Self::Stairs { start, step, each, until } => stairs(start, step, each, until)?,
            Self::Spike { level, factor, before, during, after } => vec![
                Piece::flat(level, before),
                Piece::flat(level * factor, during),
                Piece::flat(level, after),
            ],
            Self::Sine { mean, amplitude, period, duration } => {
                if period.is_zero() {
                    return Err(wrong("period", "must be longer than nothing"));
                }
                if amplitude.abs() > mean {
                    return Err(wrong("amplitude", "must not be above `mean`: a level cannot be negative"));
                }
                vec![Piece::Sine {
                    mean,
                    amplitude,
                    period: period.as_secs_f64(),
                    length: duration.as_secs_f64(),
                }]
            }
            Self::Stages { ref stages } => {
                let mut level = 0.0;
                let lines = stages.iter().map(|stage| {
                    let from = stage.from.unwrap_or(level);
                    level = stage.to;
                    Piece::Line { from, to: stage.to, length: stage.over.as_secs_f64() }
                });
                lines.collect()
            }
            Self::Replay { duration, .. } => vec![Piece::flat(0.0, duration)],
        };
        if pieces.len() > Self::PIECES {
            return Err(wrong("stages", "more than 100000 pieces"));
        }
        if !pieces.iter().all(Piece::is_sound) {
            return Err(wrong("level", "every level must be a number from 0 to 1e9"));
        }
        Ok(Curve::new(pieces))
    }
}

fn ramp(from: f64, to: f64, over: Duration, steps: u32) -> Result<Vec<Piece>, Error> {
    if steps == 0 {
        return Ok(vec![Piece::Line { from, to, length: over.as_secs_f64() }]);
    }
    if steps as usize > Shape::PIECES {
        return Err(wrong("steps", "more than 100000"));
    }
    let rise = (to - from) / f64::from(steps);
    Ok((1..=steps).map(|step| Piece::flat(from + rise * f64::from(step), over / steps)).collect())
}

fn stairs(start: f64, step: f64, each: Duration, until: f64) -> Result<Vec<Piece>, Error> {
    let steps = ((until - start) / step).ceil();
    if !(0.0..Shape::PIECES as f64).contains(&steps) || step <= 0.0 {
        return Err(wrong("step", "must lead from `start` up to `until` in at most 100000 steps"));
    }
    Ok((0..=steps as u32).map(|n| Piece::flat((start + step * f64::from(n)).min(until), each)).collect())
}

fn wrong(field: &str, reason: &str) -> Error {
    Error::plan(format!("load.shape.{field}"), reason)
}

fn three() -> f64 {
    3.0
}

fn one() -> f64 {
    1.0
}
