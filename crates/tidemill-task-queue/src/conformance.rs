//! A judge for stores: what each of them must do, ours and yours, run against real ones.
//!
//! ```
//! use std::sync::Arc;
//! use tidemill_task_queue::{Memory, Store, conformance};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let store: Arc<dyn Store> = Arc::new(Memory::default());
//! // Each handle as a process of its own would open it; here they share one.
//! let passed = conformance::run(|| { let store = store.clone(); async move { Ok(store) } }).await;
//! assert_eq!(passed.unwrap(), conformance::CASES);
//! # }
//! ```

mod cases;
mod ends;
mod given;
mod stage;

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::store::Store;

pub use cases::CASES;

/// Why a store did not pass.
#[derive(Debug)]
pub struct Failure {
    /// The case, one of [`CASES`].
    pub case: &'static str,
    /// What was expected and what came.
    pub says: String,
}

/// Opens the same store again and again by `open`, as several processes do, and tries every case, in some five seconds. Its
/// queues begin with `conformance/`; it forgets **all** finished tasks, so give it a place without any that are needed. On a
/// store that was judged before it must pass too.
///
/// # Errors
/// The first case that failed, and how.
pub async fn run<F, O>(open: F) -> Result<&'static [&'static str], Failure>
where
    F: Fn() -> O,
    O: Future<Output = Result<Arc<dyn Store>, Error>>,
{
    cases::run(&open).await?;
    Ok(CASES)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store does not pass `{}`: {}", self.case, self.says)
    }
}

impl std::error::Error for Failure {}
