//! The deadlines of one attempt on a single timer: the whole, and the silence of the server.

use std::pin::Pin;

use tokio::time::{Duration, Instant, Sleep};

use super::error::TimeoutPhase;

/// Watches one attempt. The silence is watched only from [`Watch::listen`] on and begins anew with [`Watch::heard`].
pub(super) struct Watch<'a> {
    timer: Pin<&'a mut Sleep>,
    total_at: Instant,
    read: Duration,
    heard_at: Option<Instant>,
}

impl<'a> Watch<'a> {
    /// The timer of a new watch: it rings at the earliest moment at which anything can be late, and is set anew then.
    pub(super) fn timer(now: Instant, total: Duration, read: Duration) -> Sleep {
        tokio::time::sleep_until(now + total.min(read))
    }

    pub(super) fn new(timer: Pin<&'a mut Sleep>, now: Instant, total: Duration, read: Duration) -> Self {
        Self { timer, total_at: now + total, read, heard_at: None }
    }

    /// A connection is there: from now on the server owes bytes.
    pub(super) fn listen(&mut self) {
        self.heard_at.get_or_insert_with(Instant::now);
    }

    /// The server sent something.
    pub(super) fn heard(&mut self) {
        self.heard_at = Some(Instant::now());
    }

    /// Ends when a deadline has passed. Cancel safe; costs nothing while the timer sleeps.
    pub(super) async fn late(&mut self) -> TimeoutPhase {
        loop {
            self.timer.as_mut().await;
            let now = Instant::now();
            let silent_at = self.heard_at.map(|heard| heard + self.read);
            if now >= self.total_at {
                return TimeoutPhase::Total;
            }
            if silent_at.is_some_and(|at| now >= at) {
                return TimeoutPhase::Read;
            }
            // Not yet listening: look again before silence could have lasted too long.
            let next = silent_at.unwrap_or(now + self.read).min(self.total_at);
            self.timer.as_mut().reset(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    const TOTAL: Duration = Duration::from_secs(30);
    const READ: Duration = Duration::from_secs(20);

    #[tokio::test(start_paused = true)]
    async fn silence_counts_from_the_last_byte() {
        let start = Instant::now();
        let timer = pin!(Watch::timer(start, TOTAL, READ));
        let mut watch = Watch::new(timer, start, TOTAL, READ);
        tokio::time::advance(Duration::from_secs(4)).await;
        watch.listen();
        assert_eq!(watch.late().await, TimeoutPhase::Read);
        assert_eq!(start.elapsed().as_secs(), 24);
    }

    #[tokio::test(start_paused = true)]
    async fn the_whole_ends_an_attempt_that_is_never_silent() {
        let start = Instant::now();
        let timer = pin!(Watch::timer(start, TOTAL, READ));
        let mut watch = Watch::new(timer, start, TOTAL, READ);
        watch.listen();
        let phase = loop {
            tokio::select! {
                phase = watch.late() => break phase,
                () = tokio::time::sleep(Duration::from_secs(1)) => watch.heard(),
            }
        };
        assert_eq!((phase, start.elapsed().as_secs()), (TimeoutPhase::Total, 30));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_connection_only_the_whole_counts() {
        let start = Instant::now();
        let timer = pin!(Watch::timer(start, TOTAL, READ));
        let mut watch = Watch::new(timer, start, TOTAL, READ);
        assert_eq!(watch.late().await, TimeoutPhase::Total);
        assert_eq!(start.elapsed().as_secs(), 30);
    }
}
