//! A turn: keys that share a round trip, and those who wait for its end.

use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::link::lock;

/// What all keys of a turn got.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) frame: Bytes,
    /// In the order of the keys.
    pub(super) found: Vec<Option<Range<usize>>>,
}

/// Why a turn has no values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failed {
    #[error("the connection for reads was lost; it is being made anew")]
    Lost,
    #[error("the server did not answer in time; see whether it is overloaded, or raise `timeout`")]
    Late,
    #[error("the server refuses to read; its log says why")]
    Refused,
}

/// Who waits is woken once, when all is there.
#[derive(Debug, Default)]
pub(super) struct Turn {
    outcome: OnceLock<Result<Answers, Failed>>,
    waiting: Mutex<Vec<Option<Waker>>>,
}

impl Turn {
    /// The first end counts.
    pub(super) fn end(&self, outcome: Result<Answers, Failed>) {
        if self.outcome.set(outcome).is_ok() {
            let waiting = std::mem::take(&mut *lock(&self.waiting));
            waiting.into_iter().flatten().for_each(Waker::wake);
        }
    }
}

/// A key's place in a turn.
pub(super) struct Place {
    turn: Arc<Turn>,
    index: usize,
}

impl Place {
    pub(super) fn new(turn: Arc<Turn>, index: usize) -> Self {
        Self { turn, index }
    }

    fn outcome(&self) -> Option<Result<Option<Bytes>, Failed>> {
        let outcome = self.turn.outcome.get()?;
        Some(match outcome {
            Err(failed) => Err(*failed),
            Ok(answers) => match answers.found.get(self.index) {
                Some(found) => Ok(found.clone().map(|range| answers.frame.slice(range))),
                None => Err(Failed::Lost),
            },
        })
    }
}

impl Future for Place {
    type Output = Result<Option<Bytes>, Failed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(outcome) = self.outcome() {
            return Poll::Ready(outcome);
        }
        let mut waiting = lock(&self.turn.waiting);
        // The end comes before the lock, so that of two who come at once one sees the other.
        if let Some(outcome) = self.outcome() {
            return Poll::Ready(outcome);
        }
        if waiting.len() <= self.index {
            waiting.resize(self.index + 1, None);
        }
        match &mut waiting[self.index] {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(values: &[Option<&str>]) -> Answers {
        let mut frame = Vec::new();
        let found = values.iter().map(|value| {
            let start = frame.len();
            value.map(|value| {
                frame.extend_from_slice(value.as_bytes());
                start..frame.len()
            })
        });
        let found = found.collect();
        Answers { frame: frame.into(), found }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_gets_its_own_and_is_woken() {
        for round in 0..200 {
            let turn = Arc::new(Turn::default());
            let places: Vec<_> =
                (0..3).map(|index| tokio::spawn(Place::new(Arc::clone(&turn), index))).collect();
            if round % 2 == 0 {
                tokio::task::yield_now().await;
            }
            turn.end(Ok(answers(&[Some("a"), None, Some("ccc")])));
            turn.end(Err(Failed::Lost));
            let mut got = Vec::new();
            for place in places {
                got.push(place.await.unwrap().unwrap());
            }
            assert_eq!(got, [Some(Bytes::from("a")), None, Some(Bytes::from("ccc"))]);
        }
    }

    #[tokio::test]
    async fn an_end_without_values_reaches_everyone() {
        let turn = Arc::new(Turn::default());
        let early = tokio::spawn(Place::new(Arc::clone(&turn), 0));
        tokio::task::yield_now().await;
        turn.end(Err(Failed::Late));
        assert_eq!(early.await.unwrap(), Err(Failed::Late));
        assert_eq!(Place::new(Arc::clone(&turn), 1).await, Err(Failed::Late));
        let short = Arc::new(Turn::default());
        short.end(Ok(answers(&[None])));
        assert_eq!(Place::new(short, 1).await, Err(Failed::Lost), "a place that has no value is no other's");
    }
}
