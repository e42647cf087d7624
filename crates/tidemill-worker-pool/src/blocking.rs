//! The bounded side for work that blocks or computes.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::panic::message;

/// Runs closures on tokio's blocking threads, at most `blocking` at once. Cheap to clone; a job may hold one
/// without keeping its pool alive.
#[derive(Clone, Debug)]
pub struct Blocking {
    permits: Arc<Semaphore>,
    runtime: Handle,
}

impl Blocking {
    pub(crate) fn new(permits: Arc<Semaphore>, runtime: Handle) -> Self {
        Self { permits, runtime }
    }

    /// Waits for a place and runs `work` off the async threads. Dropping the future before `work` has begun
    /// cancels it; afterwards `work` runs to its end and keeps its place until then.
    ///
    /// # Errors
    /// [`Panicked`](crate::ErrorKind::Panicked) with what the panic said,
    /// [`Closed`](crate::ErrorKind::Closed) when the runtime is shutting down.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let stopped = || Error::closed("the runtime takes no more blocking work");
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| stopped())?;
        let task = self.runtime.spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        task.await.map_err(|error| match error.try_into_panic() {
            Ok(payload) => Error::panicked(1, message(&*payload)),
            Err(_) => stopped(),
        })
    }
}
