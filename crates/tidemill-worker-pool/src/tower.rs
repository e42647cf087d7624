//! A tower layer that runs a service's calls as jobs of a pool.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tower_layer::Layer;
use tower_service::Service;

use crate::context::JobContext;
use crate::error::JobError;
use crate::job::Job;
use crate::pool::Pool;
use crate::priority::Priority;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Puts each call of a service on a pool, with the priority that `priority` reads from the request.
///
/// A call waits while the queue is full, and is cancelled when its response future is dropped. The service's own error
/// comes back as it is; the pool's [`Error`](crate::Error) comes back for a timeout, a panic or a closed pool. Both are
/// boxed: downcast to tell them apart.
#[derive(Clone)]
pub struct PoolLayer<P> {
    pool: Pool,
    rules: Arc<Rules<P>>,
}

/// The service that [`PoolLayer`] makes.
#[derive(Clone)]
pub struct PoolService<S, P> {
    inner: S,
    pool: Pool,
    rules: Arc<Rules<P>>,
}

#[derive(Clone)]
struct Rules<P> {
    priority: P,
    timeout: Option<Duration>,
    group: Option<Arc<str>>,
}

impl<P: Clone> PoolLayer<P> {
    /// Runs calls on this pool.
    pub fn new(pool: Pool, priority: P) -> Self {
        Self { pool, rules: Arc::new(Rules { priority, timeout: None, group: None }) }
    }

    /// How long a call may run once a worker has it.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        Arc::make_mut(&mut self.rules).timeout = Some(timeout);
        self
    }

    /// The group that all calls of the service belong to.
    #[must_use]
    pub fn group(mut self, group: impl Into<Arc<str>>) -> Self {
        Arc::make_mut(&mut self.rules).group = Some(group.into());
        self
    }
}

impl<S, P> Layer<S> for PoolLayer<P> {
    type Service = PoolService<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        PoolService { inner, pool: self.pool.clone(), rules: Arc::clone(&self.rules) }
    }
}

impl<S, P, R> Service<R> for PoolService<S, P>
where
    S: Service<R> + Clone + Send + 'static,
    S::Future: Send,
    S::Response: Send + 'static,
    S::Error: Into<BoxError>,
    R: Send + 'static,
    P: Fn(&R) -> Priority,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let priority = (self.rules.priority)(&request);
        // The one that said it was ready takes the call.
        let clone = self.inner.clone();
        let mut once = Some((std::mem::replace(&mut self.inner, clone), request));
        let mut job = Job::new(move |_: JobContext| {
            let response = once.take().map(|(mut service, request)| service.call(request));
            async move {
                match response {
                    Some(response) => response.await.map_err(JobError::fatal),
                    None => Err(JobError::fatal("a call is made once")),
                }
            }
        })
        .priority(priority);
        if let Some(timeout) = self.rules.timeout {
            job = job.timeout(timeout);
        }
        job.group = self.rules.group.clone();
        let pool = self.pool.clone();
        Box::pin(async move {
            let handle = pool.submit(job).await?.cancel_on_drop();
            handle.await.map_err(|error| error.into_source().unwrap_or_else(Into::into))
        })
    }
}

impl<P> std::fmt::Debug for PoolLayer<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolLayer").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl<S, P> std::fmt::Debug for PoolService<S, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolService").field("pool", &self.pool).finish_non_exhaustive()
    }
}
