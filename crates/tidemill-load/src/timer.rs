//! The clock that paces sends: finer than the runtime's millisecond where the system can.

use std::io;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use precise::Alarm;

/// Waits for moments, to some ten microseconds on Linux and to a millisecond elsewhere.
pub(crate) struct Timer {
    #[cfg(target_os = "linux")]
    alarm: Alarm,
}

impl Timer {
    /// Must be called inside a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            #[cfg(target_os = "linux")]
            alarm: Alarm::new()?,
        })
    }

    /// Waits until a moment.
    #[cfg(target_os = "linux")]
    pub(crate) async fn until(&mut self, moment: Instant) -> io::Result<()> {
        match moment.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            Some(left) => self.alarm.after(left).await,
            None => Ok(()),
        }
    }

    /// Waits until a moment.
    #[cfg(not(target_os = "linux"))]
    pub(crate) async fn until(&mut self, moment: Instant) -> io::Result<()> {
        tokio::time::sleep_until(moment.into()).await;
        Ok(())
    }
}

#[cfg(target_os = "linux")]
mod precise {
    use super::*;

    use rustix::fd::OwnedFd;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// A timerfd.
    pub(super) struct Alarm(AsyncFd<OwnedFd>);

    impl Alarm {
        pub(super) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            // SAFETY: the descriptor is owned by what is returned, and nothing else closes or replaces it.
            Ok(Self(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE)? }))
        }

        pub(super) async fn after(&mut self, left: Duration) -> io::Result<()> {
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            let value = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            let once = Itimerspec { it_interval: zero, it_value: value };
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
            // Setting it again makes a new edge, so that the expiry need not be read.
            self.0.readable().await?.clear_ready();
            Ok(())
        }
    }
}
