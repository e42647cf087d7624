//! Whether a reading of the clock is still good, for a third of the price of another.

/// The processor's own counter where reading it is cheap. It is only asked how far it went, never what time it is: a
/// counter that stands, jumps or differs between cores costs a reading more or makes one a little older.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks(u64);

impl Ticks {
    /// At a counter of 1 GHz and more, less than 2 µs.
    const FRESH: u64 = 2000;

    pub(crate) fn now() -> Self {
        Self(counter())
    }

    /// Whether this was taken less than 2 µs ago; if not, it is taken again.
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

#[cfg(all(target_arch = "x86_64", not(miri)))]
fn counter() -> u64 {
    // SAFETY: every x86_64 has this instruction, and it reads no memory.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn counter() -> u64 {
    0
}
