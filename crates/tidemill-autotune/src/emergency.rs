//! When everything safe is done at once, and how one comes back from it without flapping.

/// Relapses double the wait before a measure is taken back, up to this factor.
const MAX_PATIENCE: u32 = 8;

/// Counts bad and good steps.
#[derive(Clone, Debug)]
pub(crate) struct Emergency {
    bad_steps: u32,
    good_steps: u32,
    on: bool,
    bad: u32,
    good: u32,
    patience: u32,
}

/// What a step asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Nothing.
    Calm,
    /// Every safe measure now.
    Begin,
    /// It got bad again on the way back: every measure that was taken back.
    Again,
    /// Take one measure back; when there is none, it is over.
    Ease,
}

impl Emergency {
    pub(crate) fn new(bad_steps: u32, good_steps: u32) -> Self {
        Self { bad_steps, good_steps, on: false, bad: 0, good: 0, patience: 1 }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    pub(crate) fn end(&mut self) {
        (self.on, self.patience) = (false, 1);
    }

    pub(crate) fn step(&mut self, is_bad: bool, is_good: bool) -> Mood {
        self.bad = if is_bad { self.bad.saturating_add(1) } else { 0 };
        self.good = if is_good { self.good.saturating_add(1) } else { 0 };
        if self.bad >= self.bad_steps {
            self.bad = 0;
            if !self.on {
                self.on = true;
                return Mood::Begin;
            }
            self.patience = (self.patience * 2).min(MAX_PATIENCE);
            return Mood::Again;
        }
        if self.on && self.good >= self.good_steps.saturating_mul(self.patience) {
            self.good = 0;
            return Mood::Ease;
        }
        Mood::Calm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moods(emergency: &mut Emergency, bad: bool, steps: u32) -> Vec<Mood> {
        (0..steps).map(|_| emergency.step(bad, !bad)).filter(|mood| *mood != Mood::Calm).collect()
    }

    #[test]
    fn five_bad_steps_begin_it_and_good_ones_ease_it_one_by_one() {
        let mut emergency = Emergency::new(5, 3);
        assert_eq!(moods(&mut emergency, true, 4), []);
        assert_eq!(moods(&mut emergency, false, 9), [], "nothing to ease");
        assert_eq!(moods(&mut emergency, true, 5), [Mood::Begin]);
        assert_eq!(moods(&mut emergency, false, 6), [Mood::Ease, Mood::Ease]);
        assert_eq!(moods(&mut emergency, true, 5), [Mood::Again]);
        assert_eq!(moods(&mut emergency, false, 5), [], "a relapse makes it more patient");
        assert_eq!(moods(&mut emergency, false, 1), [Mood::Ease]);
    }

    #[test]
    fn what_is_neither_good_nor_bad_changes_nothing() {
        let mut emergency = Emergency::new(2, 2);
        moods(&mut emergency, true, 2);
        assert!((0..100).all(|_| emergency.step(false, false) == Mood::Calm));
        assert!(emergency.is_on());
    }
}
