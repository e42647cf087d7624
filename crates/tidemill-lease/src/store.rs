//! What a place for leases must be able to do: load with the time, and write if nobody wrote in between.

use std::pin::Pin;

use crate::error::Error;
use crate::lease::{Moment, Record};
use crate::name::Name;

/// The answer of a [`Store`], some time later.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A place for leases, shared by their owners. The rules stand in [`rules`](crate::rules); a store has none.
///
/// Write your own with these three functions and let [`conformance`](crate::conformance) judge it. Dropping a future
/// may leave its write done or not done, but never half done.
pub trait Store: Send + Sync + 'static {
    /// The record, or `None` if there was never one, and the time of the store's clock during the call. The clock must
    /// run while owners sleep, and must not go back.
    fn load<'a>(&'a self, name: &'a Name) -> Pending<'a, Loaded>;

    /// Writes `next`, durably, if the record still has the epoch and the version of `expected` (`None`: if there is none
    /// yet); says whether it did. Atomic: of several that expect the same, one is told `true`.
    ///
    /// # Errors
    /// `Full` if a new name would exceed the bound of the store.
    fn swap<'a>(
        &'a self,
        name: &'a Name,
        expected: Option<&'a Record>,
        next: &'a Record,
    ) -> Pending<'a, bool>;

    /// At most `limit` records with names greater than `after`, in the order of the names' bytes, and the time.
    fn page<'a>(&'a self, after: Option<&'a Name>, limit: usize) -> Pending<'a, Page>;
}

/// One record and when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The time of the store's clock.
    pub now: Moment,
    /// What stands there.
    pub record: Option<Record>,
}

/// Some records in order and when they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The time of the store's clock.
    pub now: Moment,
    /// What stands there.
    pub records: Vec<(Name, Record)>,
}
