//! How many lines of each level came in each of the last minutes.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::level::Level;

/// Minutes kept.
const MINUTES: usize = 24 * 60;

/// Counts by minute and level.
#[derive(Debug, Default)]
pub struct Rates {
    minutes: VecDeque<(i64, [u64; Level::ALL.len()])>,
    totals: [u64; Level::ALL.len()],
}

impl Rates {
    /// Counts a line that was read at this time.
    pub fn count(&mut self, now_ms: i64, level: Level) {
        let minute = now_ms.div_euclid(60_000);
        // A clock that was set back counts into the newest.
        if self.minutes.back().is_none_or(|(last, _)| minute > *last) {
            self.minutes.push_back((minute, Default::default()));
            if self.minutes.len() > MINUTES {
                self.minutes.pop_front();
            }
        }
        if let Some((_, counts)) = self.minutes.back_mut() {
            counts[level as usize] += 1;
        }
        self.totals[level as usize] += 1;
    }

    /// Lines of a level since the start.
    #[must_use]
    pub fn total(&self, level: Level) -> u64 {
        self.totals[level as usize]
    }

    /// The last minutes that had lines: `[{at_ms, info, error, …}]`, levels without lines left out.
    #[must_use]
    pub fn view(&self, from_ms: i64) -> Vec<Value> {
        let late = self.minutes.iter().filter(|(minute, _)| (minute + 1) * 60_000 > from_ms);
        late.map(|(minute, counts)| {
            let mut shown = json!({ "at_ms": minute * 60_000 });
            for level in Level::ALL {
                if counts[level as usize] > 0 {
                    shown[level.name()] = counts[level as usize].into();
                }
            }
            shown
        })
        .collect()
    }
}
