//! What a worker saw since it last held the pool's lock, so that counting takes no lock of its own.

use std::time::Duration;

use crate::error::ErrorKind;
use crate::priority::Priority;
use crate::queue::Waits;
use crate::shared::{Shared, State};
use crate::stats::Counts;
use crate::task::Work;

/// Counts that the pool does not know yet.
#[derive(Default)]
pub(crate) struct Tally {
    sums: Vec<Sum>,
    /// Jobs taken out of the queue for good, whose places are free.
    pub(crate) started: usize,
}

/// Of one group and priority; times in nanoseconds.
struct Sum {
    group: u32,
    priority: Priority,
    places: usize,
    wait: u64,
    run: u64,
    counts: Counts,
}

#[derive(Clone, Copy)]
pub(crate) enum End {
    Done,
    Error(ErrorKind),
}

impl Tally {
    /// A job ended so; `None`: there will be another attempt.
    #[inline]
    pub(crate) fn push(&mut self, work: &Work, end: Option<End>, wait: u64, run: u64) {
        let (group, priority) = (work.group(), work.priority());
        let same = |sum: &&mut Sum| sum.group == group && sum.priority == priority;
        let sum = match self.sums.iter_mut().find(same) {
            Some(sum) => sum,
            None => {
                self.sums.push(Sum {
                    group,
                    priority,
                    places: 0,
                    wait: 0,
                    run: 0,
                    counts: Counts::default(),
                });
                let last = self.sums.len() - 1;
                &mut self.sums[last]
            }
        };
        sum.places += 1;
        sum.wait += wait;
        sum.run += run;
        let counts = &mut sum.counts;
        counts.retried += u64::from(work.header().attempt() > 1);
        match end {
            None => {}
            Some(End::Done) => counts.done += 1,
            Some(End::Error(ErrorKind::TimedOut)) => counts.timed_out += 1,
            Some(End::Error(ErrorKind::Panicked)) => counts.panicked += 1,
            Some(End::Error(ErrorKind::Cancelled)) => counts.cancelled += 1,
            Some(End::Error(_)) => counts.failed += 1,
        }
    }

    /// Books everything into the shared counts and frees the places.
    pub(crate) fn settle(&mut self, shared: &Shared, state: &mut State) {
        for Sum { group, priority, places, wait, run, mut counts } in self.sums.drain(..) {
            counts.wait = Duration::from_nanos(wait);
            counts.run = Duration::from_nanos(run);
            state.queue.release(group, places);
            state.queue.counts(group, priority).add(&counts);
        }
        let started = std::mem::take(&mut self.started);
        if started > 0 {
            shared.free(state, started);
        }
    }
}
