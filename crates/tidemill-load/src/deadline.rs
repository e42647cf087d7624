//! A limit on waiting that costs next to nothing while nothing is late: one timer a user, moved only when it fires.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::time::{Instant, Sleep, sleep_until};

/// One user's timer.
pub(crate) struct Deadline(Pin<Box<Sleep>>);

impl Deadline {
    /// Must be called inside a runtime.
    pub(crate) fn new() -> Self {
        Self(Box::pin(sleep_until(Instant::now())))
    }

    /// Waits for a future until `limit`; `None` when that passed first.
    pub(crate) async fn within<F: Future>(&mut self, limit: Instant, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        if self.0.deadline() > limit {
            self.0.as_mut().reset(limit);
        }
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            // A timer that is still set for an earlier request fires early once and is moved then.
            while self.0.as_mut().poll(cx).is_ready() {
                if self.0.deadline() >= limit {
                    return Poll::Ready(None);
                }
                self.0.as_mut().reset(limit);
            }
            Poll::Pending
        })
        .await
    }
}
