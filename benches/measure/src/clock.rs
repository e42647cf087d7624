//! The clocks a benchmark may read: wall time, this thread's CPU time, the process's CPU time.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Which time a measurement counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// `CLOCK_MONOTONIC`: what a user waits for; noisy where cores are shared.
    Wall,
    /// `CLOCK_THREAD_CPUTIME_ID`: what the calling thread burnt.
    ThreadCpu,
    /// `CLOCK_PROCESS_CPUTIME_ID`: what all threads of the process burnt.
    ProcessCpu,
}

impl Clock {
    /// The reading now, since an origin of the clock's own.
    pub fn now(self) -> Duration {
        let id = match self {
            Clock::Wall => ClockId::Monotonic,
            Clock::ThreadCpu => ClockId::ThreadCPUTime,
            Clock::ProcessCpu => ClockId::ProcessCPUTime,
        };
        let reading = clock_gettime(id);
        Duration::new(reading.tv_sec.unsigned_abs(), u32::try_from(reading.tv_nsec).unwrap_or(0))
    }

    /// What `body` took on this clock.
    pub fn time(self, body: impl FnOnce()) -> Duration {
        let before = self.now();
        body();
        self.now().saturating_sub(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeping_thread_burns_no_cpu() {
        let mut cpu = Duration::ZERO;
        let wall = Clock::Wall.time(|| {
            cpu = Clock::ThreadCpu.time(|| std::thread::sleep(Duration::from_millis(30)));
        });
        assert!(wall >= Duration::from_millis(30), "{wall:?}");
        assert!(cpu < Duration::from_millis(10), "{cpu:?}");
    }

    #[test]
    fn another_threads_work_is_the_processs_not_ours() {
        // Spun on the other thread's own CPU clock, so a loaded machine cannot make it too short.
        let spin = || {
            let start = Clock::ThreadCpu.now();
            while Clock::ThreadCpu.now() - start < Duration::from_millis(20) {
                std::hint::spin_loop();
            }
        };
        let before = (Clock::ThreadCpu.now(), Clock::ProcessCpu.now());
        std::thread::spawn(spin).join().unwrap();
        let after = (Clock::ThreadCpu.now(), Clock::ProcessCpu.now());
        assert!(after.0 - before.0 < Duration::from_millis(15));
        assert!(after.1 - before.1 >= Duration::from_millis(20));
    }
}
