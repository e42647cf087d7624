//! The blocking front: a thread waits for a permit, without a runtime.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::core::{Cost, Priority};
use crate::error::Error;
use crate::permit::Permit;
use crate::pool::{Join, KeyPool, Step};

impl KeyPool {
    /// [`acquire`](Self::acquire) for threads: it parks the calling thread and needs no runtime. Both kinds of callers
    /// stand in the same queue.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub fn acquire_blocking(&self, cost: Cost, priority: Priority) -> Result<Permit, Error> {
        let mut waiting = match self.join(cost, priority)? {
            Join::Granted(permit) => return Ok(permit),
            Join::Waiting(waiting) => waiting,
        };
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let wake = waiting.wake();
        loop {
            match waiting.step()? {
                Step::Granted(permit) => return Ok(permit),
                Step::Until(at) => self.park_thread(wake.notified(), &waker, Some(at)),
                Step::Woken => self.park_thread(wake.notified(), &waker, None),
            }
        }
    }

    fn park_thread(&self, woken: impl Future<Output = ()>, waker: &Waker, until: Option<Duration>) {
        let mut woken = pin!(woken);
        while woken.as_mut().poll(&mut Context::from_waker(waker)).is_pending() {
            match until.map(|at| at.saturating_sub(self.shared.now())) {
                Some(Duration::ZERO) => return,
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
