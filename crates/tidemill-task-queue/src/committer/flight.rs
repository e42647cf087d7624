//! A batch under way: who waits for its parts, and how often it is tried.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Judged, Reply, Wish};
use crate::error::{Error, ErrorKind};
use crate::priority::Priority;
use crate::store::{Answer, Batch, Claimed, Outcome, Placed, Pulse, Store};

/// Who waits for the parts of a batch, in its order.
#[derive(Default)]
pub(super) struct Replies {
    pub(super) enqueues: Vec<(usize, Reply<Vec<Placed>>)>,
    pub(super) finishes: Vec<(usize, Judged)>,
    pub(super) kept: Vec<Kept>,
    pub(super) controls: Vec<Option<Reply<Answer>>>,
    pub(super) beats: Vec<(usize, Reply<Vec<Pulse>>)>,
    pub(super) claims: Vec<(Wish, oneshot::Sender<Vec<Claimed>>)>,
}

/// What the counts are kept by, of an end.
pub(super) struct Kept {
    pub(super) queue: String,
    pub(super) priority: Priority,
}

pub(super) struct Flight {
    pub(super) batch: Arc<Batch>,
    pub(super) replies: Replies,
    pub(super) result: Result<Outcome, Error>,
    pub(super) tries: u64,
}

/// Batches under way, driven by the committer itself: a task of its own for each would have to be woken for each.
#[derive(Default)]
pub(super) struct Flights(Vec<(Instant, Landing)>);

type Landing = Pin<Box<dyn Future<Output = Flight> + Send>>;

impl Flights {
    pub(super) fn push(&mut self, flight: impl Future<Output = Flight> + Send + 'static) {
        self.0.push((Instant::now(), Box::pin(flight)));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// When the last of those under way began.
    pub(super) fn youngest(&self) -> Option<Instant> {
        self.0.iter().map(|(begun, _)| *begun).max()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first that lands; never if there is none.
    pub(super) async fn next(&mut self) -> Flight {
        poll_fn(|cx| {
            let landed =
                self.0.iter_mut().enumerate().find_map(|(at, (_, flight))| match flight.as_mut().poll(cx) {
                    Poll::Ready(landed) => Some((at, landed)),
                    Poll::Pending => None,
                });
            let Some((at, landed)) = landed else { return Poll::Pending };
            drop(self.0.swap_remove(at));
            Poll::Ready(landed)
        })
        .await
    }
}

impl Replies {
    /// Tells everybody; wishes stand on.
    pub(super) fn fail(self, error: &Error) -> Vec<(Wish, oneshot::Sender<Vec<Claimed>>)> {
        self.enqueues.into_iter().for_each(|(_, reply)| _ = reply.send(Err(error.share())));
        self.finishes.into_iter().for_each(|(_, reply)| _ = reply.send(Err(error.share())));
        self.controls.into_iter().flatten().for_each(|reply| _ = reply.send(Err(error.share())));
        self.beats.into_iter().for_each(|(_, reply)| _ = reply.send(Err(error.share())));
        self.claims
            .into_iter()
            .map(|(mut wish, reply)| {
                wish.used(0);
                (wish, reply)
            })
            .collect()
    }
}

/// One batch until it is kept or patience ends. Claims are not asked for twice: what an answer that was lost gave away
/// comes back when its lease ends.
pub(super) async fn fly(store: Arc<dyn Store>, batch: Batch, replies: Replies, patience: Duration) -> Flight {
    let mut batch = Arc::new(batch);
    let mut first = true;
    let (result, tries) = patiently(patience, || {
        if !std::mem::take(&mut first) {
            let batch = Arc::make_mut(&mut batch);
            batch.again = true;
            batch.claim.iter_mut().for_each(|claim| claim.limit = 0);
        }
        store.commit(batch.clone())
    })
    .await;
    Flight { batch, replies, result, tries }
}

/// Asks again while the store is not available, for so long; with the number of tries beyond the first.
pub(super) async fn patiently<'a, T>(
    patience: Duration,
    mut ask: impl FnMut() -> crate::store::Pending<'a, T>,
) -> (Result<T, Error>, u64) {
    let until = Instant::now() + patience;
    let mut pause = Duration::from_millis(20);
    let mut tries = 0;
    loop {
        match ask().await {
            Err(error) if error.kind() == ErrorKind::Unavailable && Instant::now() + pause < until => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
                tries += 1;
            }
            result => return (result, tries),
        }
    }
}

pub(super) type Watch = std::pin::Pin<Box<dyn Future<Output = u64> + Send>>;

/// The next version of the store after `seen`.
pub(super) fn watch(store: Arc<dyn Store>, poll: Duration, seen: u64) -> Watch {
    Box::pin(async move {
        loop {
            match store.changed(poll, seen).await {
                Ok(version) => return version,
                Err(_) => tokio::time::sleep(poll).await,
            }
        }
    })
}
