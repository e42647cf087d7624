//! A permit to send one request, and the request once it is in flight.

use std::future::Future;
use std::sync::Arc;

use crate::core::Ticket;
use crate::error::Error;
use crate::key::KeyIndex;
use crate::outcome::{Hints, Outcome};
use crate::shared::Shared;

/// Leave to send one request with one key. Dropped unsent, it gives everything back.
#[derive(Debug)]
#[must_use = "a permit dropped unsent is given back"]
pub struct Permit {
    /// Only `send` and `drop` take it, and both end the permit.
    held: Option<(Arc<Shared>, Ticket)>,
}

impl Permit {
    pub(crate) fn new(shared: Arc<Shared>, ticket: Ticket) -> Self {
        Self { held: Some((shared, ticket)) }
    }

    /// The key to send with.
    pub fn key(&self) -> KeyIndex {
        self.held.as_ref().map_or(KeyIndex(0), |(_, ticket)| ticket.key())
    }

    /// Stamps the send. Call it right before the request leaves: pacing counts from here.
    ///
    /// # Errors
    /// `Stamps` when the stamp could not be written; the permit is given back and nothing may be sent.
    pub fn send(mut self) -> Result<InFlight, Error> {
        let mut number = 0;
        if let Some((shared, ticket)) = self.held.as_mut() {
            number = shared.sent(ticket)?;
        }
        Ok(InFlight { held: self.held.take(), number })
    }

    /// Sends by `request`, which gets the key and says how the request ended beside its own result.
    ///
    /// When the returned future is dropped in flight, the slot is held as for a request without an answer.
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`InFlight::answered`].
    pub async fn run<F, Fut, T>(self, request: F) -> Result<T, Error>
    where
        F: FnOnce(KeyIndex) -> Fut,
        Fut: Future<Output = (Outcome, T)>,
    {
        let flight = self.send()?;
        let (outcome, result) = request(flight.key()).await;
        flight.answered(outcome)?;
        Ok(result)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some((shared, ticket)) = self.held.take() {
            shared.refund(ticket);
        }
    }
}

/// A request on its way. Dropped without an answer, its slots are held until the deadline, the straggler time and a
/// whole window have passed, because the server may count it until then.
#[derive(Debug)]
#[must_use = "a request dropped in flight holds its slots for long; say how it ended"]
pub struct InFlight {
    held: Option<(Arc<Shared>, Ticket)>,
    number: u16,
}

impl InFlight {
    pub(crate) fn new(shared: Arc<Shared>, ticket: Ticket) -> Self {
        Self { held: Some((shared, ticket)), number: 0 }
    }

    /// The key it was sent with.
    pub fn key(&self) -> KeyIndex {
        self.held.as_ref().map_or(KeyIndex(0), |(_, ticket)| ticket.key())
    }

    /// The request ended now. Call it when the status line has arrived: the body does not matter to the quota.
    ///
    /// # Errors
    /// `Stamps` when the end could not be written. The pool has taken the answer in all the same; after a restart
    /// the slot merely counts as unanswered.
    pub fn answered(mut self, outcome: Outcome) -> Result<(), Error> {
        self.end(outcome, None)
    }

    /// The request ended now, and its headers said more.
    ///
    /// # Errors
    /// As [`answered`](Self::answered).
    pub fn answered_with(mut self, outcome: Outcome, hints: Hints) -> Result<(), Error> {
        self.end(outcome, Some(&hints))
    }

    fn end(&mut self, outcome: Outcome, hints: Option<&Hints>) -> Result<(), Error> {
        match self.held.take() {
            Some((shared, ticket)) => shared.ended(ticket, self.number, outcome, hints),
            None => Ok(()),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // Nothing is written for a request without an answer, except that its key may now be held.
        let _ = self.end(Outcome::Unanswered, None);
    }
}
