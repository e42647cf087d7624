//! Whether a reading of the clock is still good, for a third of the price of another.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// The processor's own counter where reading it is cheap. It is only asked how far it went, never what time it is: a
/// counter that stands, jumps or differs between cores costs a reading more or makes one a little older.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks(u64);

impl Ticks {
    /// At a counter of 1 GHz and more, less than 2 µs.
    const FRESH: u64 = 2000;

    #[inline]
    pub(crate) fn now() -> Self {
        Self(counter())
    }

    /// Whether this was taken less than 2 µs ago; if not, it is taken again.
    #[inline]
    pub(crate) fn is_fresh(&mut self) -> bool {
        let now = counter();
        // Zero: there is no counter here.
        let fresh = now != 0 && now.wrapping_sub(self.0) < Self::FRESH;
        if !fresh {
            self.0 = now;
        }
        fresh
    }
}

/// A thread's last reading of tokio's clock.
#[derive(Clone, Copy)]
pub(crate) struct Recent {
    ticks: u64,
    at: Instant,
    /// For how many readings in a row clock and counter went on together, at 1 to 10 ticks a nanosecond. A clock that
    /// stands or jumps, as in a test that pauses it, is read each time; one jump may match by chance, three do not.
    steady: u32,
}

impl Recent {
    /// The time, less than 2 us ago.
    pub(crate) fn now() -> Instant {
        thread_local!(static LAST: Cell<Option<Recent>> = const { Cell::new(None) });
        LAST.with(|cell| {
            let last = cell.get();
            let ticks = counter();
            if let Some(last) = last
                && last.steady >= 3
                && ticks.wrapping_sub(last.ticks) < Ticks::FRESH
            {
                return last.at;
            }
            let at = Instant::now();
            let steady = match last {
                Some(last) if together(at - last.at, ticks.wrapping_sub(last.ticks)) => {
                    last.steady.saturating_add(1)
                }
                _ => 0,
            };
            cell.set(Some(Recent { ticks, at, steady }));
            at
        })
    }
}

fn together(clock: Duration, ticks: u64) -> bool {
    let clock = u64::try_from(clock.as_nanos()).unwrap_or(u64::MAX);
    clock > 0 && (clock..=clock.saturating_mul(10)).contains(&ticks)
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline]
fn counter() -> u64 {
    // SAFETY: every x86_64 has this instruction, and it reads no memory.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn counter() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_stands_or_jumps_is_not_trusted() {
        let clock = Duration::from_micros;
        assert!(together(clock(1), 2600) && together(clock(1), 1000) && together(clock(1), 10_000));
        assert!(!together(clock(0), 2600), "it stands");
        assert!(!together(clock(1000), 2600), "it jumps");
        assert!(!together(clock(1), 999) && !together(clock(1), 10_001));
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_is_read_each_time() {
        for _ in 0..10_000 {
            let before = Recent::now();
            tokio::time::advance(Duration::from_millis(1)).await;
            assert_eq!((Recent::now() - before).as_millis(), 1);
        }
    }

    #[test]
    fn a_recent_reading_is_at_most_a_little_old() {
        for _ in 0..100_000 {
            let (before, recent) = (Instant::now(), Recent::now());
            assert!(before.saturating_duration_since(recent) <= Duration::from_micros(2));
        }
    }
}
