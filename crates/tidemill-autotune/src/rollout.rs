//! A new version in steps: 1, 10, 50, 100 %, watched, paused, aborted, and going on after a restart.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::split::place;

/// A change that is brought to ever more keys, and back at the first harm.
///
/// A key that has the new version keeps it in every later stage. Plain data: store it after each step, read it after a
/// restart. One stage of 1.0 is blue-green: everybody at once, and back at once.
///
/// ```
/// use tidemill_autotune::{Phase, Rollout};
/// let mut rollout = Rollout::new("config-8", &[0.01, 0.1, 0.5, 1.0], 3, 42)?;
/// for _ in 0..9 { rollout.step(false); }
/// assert_eq!(rollout.share(), 1.0);
/// assert_eq!(rollout.step(true), Phase::Aborted);
/// assert!(!rollout.is_new(b"any key"));
/// # Ok::<(), tidemill_autotune::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    version: String,
    stages: Vec<f64>,
    stage_steps: u32,
    salt: u64,
    stage: usize,
    steps: u32,
    phase: Phase,
}

/// How a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// On its way.
    Running,
    /// Stands where it is.
    Paused,
    /// Everybody has it, and the last stage was watched to its end.
    Done,
    /// Nobody has it.
    Aborted,
}

impl Rollout {
    /// Shares rise and end at 1; each lasts `stage_steps`.
    ///
    /// # Errors
    /// `Config`.
    pub fn new(version: &str, stages: &[f64], stage_steps: u32, salt: u64) -> Result<Self, Error> {
        let bad = |why: &str| Err(Error::config(format!("rollout {version:?}"), why));
        if version.is_empty() || version.len() > 128 {
            return bad("wants a version of 1 to 128 bytes");
        }
        if stages.is_empty() || stages.len() > 100 || stages.last() != Some(&1.0) || stages[0] <= 0.0 {
            return bad("wants 1 to 100 stages above 0, the last of them 1.0");
        }
        if !stages.windows(2).all(|pair| pair[0] < pair[1]) {
            return bad("wants stages that rise");
        }
        if stage_steps == 0 {
            return bad("wants stages of at least one step");
        }
        let (version, stages) = (version.to_owned(), stages.to_vec());
        Ok(Self { version, stages, stage_steps, salt, stage: 0, steps: 0, phase: Phase::Running })
    }

    /// The version it brings.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// One interval, and whether a guard saw harm in it.
    pub fn step(&mut self, harm: bool) -> Phase {
        if harm && self.phase != Phase::Aborted {
            self.phase = Phase::Aborted;
        }
        if self.phase == Phase::Running {
            self.steps += 1;
            if self.steps >= self.stage_steps {
                if self.stage + 1 < self.stages.len() {
                    (self.stage, self.steps) = (self.stage + 1, 0);
                } else {
                    self.phase = Phase::Done;
                }
            }
        }
        self.phase
    }

    /// Stays where it is until it is resumed.
    ///
    /// # Errors
    /// `Busy` when it does not run.
    pub fn pause(&mut self) -> Result<(), Error> {
        self.change(Phase::Running, Phase::Paused)
    }

    /// Goes on.
    ///
    /// # Errors
    /// `Busy` when it is not paused.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.change(Phase::Paused, Phase::Running)
    }

    /// Takes it back from everybody, also when it was done.
    pub fn abort(&mut self) {
        self.phase = Phase::Aborted;
    }

    /// How it stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The share of keys that have it now.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.phase == Phase::Aborted { 0.0 } else { self.stages.get(self.stage).copied().unwrap_or(0.0) }
    }

    /// Whether a key has it.
    #[must_use]
    pub fn is_new(&self, key: &[u8]) -> bool {
        place(key, self.salt) < self.share()
    }

    fn change(&mut self, from: Phase, to: Phase) -> Result<(), Error> {
        if self.phase != from {
            return Err(Error::busy(&self.version, format!("its phase, {:?}", self.phase).to_lowercase()));
        }
        self.phase = to;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(rollout: &Rollout) -> Vec<usize> {
        (0..10_000).filter(|key: &usize| rollout.is_new(&key.to_le_bytes())).collect()
    }

    #[test]
    fn who_has_it_keeps_it_through_pauses_and_restarts() {
        let mut rollout = Rollout::new("v2", &[0.01, 0.1, 0.5, 1.0], 2, 9).unwrap();
        let mut had = with(&rollout);
        assert!((50..200).contains(&had.len()), "{}", had.len());
        for stage in 0..8 {
            if stage == 3 {
                rollout.pause().unwrap();
                assert!((0..50).all(|_| rollout.step(false) == Phase::Paused));
                assert!(rollout.pause().is_err());
                rollout = toml::from_str(&toml::to_string(&rollout).unwrap()).unwrap();
                rollout.resume().unwrap();
            }
            rollout.step(false);
            let has = with(&rollout);
            assert!(had.iter().all(|key| has.contains(key)));
            had = has;
        }
        assert_eq!((rollout.phase(), had.len()), (Phase::Done, 10_000));
        assert_eq!(rollout.step(true), Phase::Aborted, "blue is still there");
        assert_eq!(with(&rollout), Vec::<usize>::new());
        assert!(rollout.resume().is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        for stages in [&[][..], &[0.5], &[0.0, 1.0], &[0.5, 0.1, 1.0], &[f64::NAN, 1.0]] {
            assert!(Rollout::new("v", stages, 1, 0).is_err(), "{stages:?}");
        }
        assert!(Rollout::new("", &[1.0], 1, 0).is_err() && Rollout::new("v", &[1.0], 0, 0).is_err());
    }
}
