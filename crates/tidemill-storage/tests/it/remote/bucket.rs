//! An object store in memory that fails where it is told to, counts, and can forget its conditions: the control.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use tidemill_storage::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};

/// When the chosen request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fail {
    /// It never arrived.
    Before,
    /// It was done, and the answer got lost.
    After,
}

#[derive(Debug, Default)]
struct Shared {
    /// Requests so far.
    requests: AtomicU64,
    /// The request that fails, by number, and how.
    fail: Mutex<Option<(u64, Fail)>>,
    /// Conditions of writes are ignored.
    careless: AtomicBool,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
}

/// Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct TestBucket {
    inner: Arc<dyn ObjectStore>,
    shared: Arc<Shared>,
}

impl TestBucket {
    pub(crate) fn new() -> Self {
        Self::over(Arc::new(InMemory::new()))
    }

    pub(crate) fn over(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, shared: Arc::default() }
    }

    /// Counts from one, from now on.
    pub(crate) fn fail_at(&self, request: u64, how: Fail) {
        let now = self.shared.requests.load(SeqCst);
        *self.shared.fail.lock().unwrap() = Some((now + request, how));
    }

    /// True when the failure that was asked for has happened.
    pub(crate) fn has_failed(&self) -> bool {
        self.shared.fail.lock().unwrap().is_none()
    }

    pub(crate) fn heal(&self) {
        *self.shared.fail.lock().unwrap() = None;
    }

    pub(crate) fn forget_conditions(&self) {
        self.shared.careless.store(true, SeqCst);
    }

    pub(crate) fn most_under_way(&self) -> usize {
        self.shared.most_under_way.load(SeqCst)
    }

    async fn request<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let number = self.shared.requests.fetch_add(1, SeqCst) + 1;
        let fail = {
            let mut fail = self.shared.fail.lock().unwrap();
            fail.take_if(|(at, _)| *at == number).map(|(_, how)| how)
        };
        let error = || Error::Generic { store: "test", source: "the line is dead".into() };
        if fail == Some(Fail::Before) {
            return Err(error());
        }
        let now = self.shared.under_way.fetch_add(1, SeqCst) + 1;
        self.shared.most_under_way.fetch_max(now, SeqCst);
        // Let the others begin.
        tokio::task::yield_now().await;
        let done = work.await;
        self.shared.under_way.fetch_sub(1, SeqCst);
        if fail == Some(Fail::After) { Err(error()) } else { done }
    }
}

impl fmt::Display for TestBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for TestBucket {
    async fn put_opts(&self, key: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let mut options = options;
        if self.shared.careless.load(SeqCst) {
            options.mode = PutMode::Overwrite;
        }
        self.request(self.inner.put_opts(key, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        key: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.request(self.inner.put_multipart_opts(key, options)).await
    }

    async fn get_opts(&self, key: &Path, options: GetOptions) -> Result<GetResult> {
        self.request(self.inner.get_opts(key, options)).await
    }

    async fn get_ranges(&self, key: &Path, ranges: &[Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        self.inner.get_ranges(key, ranges).await
    }

    fn delete_stream(&self, keys: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(keys)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
