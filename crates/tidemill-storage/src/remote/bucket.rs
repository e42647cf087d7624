//! The calls a remote is made of, over any object store: blocking, bounded in time, with keys masked in what they say.

use std::{future::Future, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::{
    BackoffConfig, Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
    PutPayload, RetryConfig, UpdateVersion, aws::AmazonS3Builder, path::Path as Key,
};
use tokio::runtime::{Builder, Runtime};

use super::{Credentials, RemoteConfig, http::Https};
use crate::Error;

/// A place in a bucket.
pub(super) struct Bucket {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) config: RemoteConfig,
    /// `s3://bucket/prefix`.
    pub(super) place: String,
    credentials: Credentials,
    /// Runs on the thread of whoever calls, and on none of its own. None once dropped.
    runtime: Option<Runtime>,
}

/// How a conditional write ended.
pub(super) enum Put {
    Done(Option<UpdateVersion>),
    /// The condition does not hold.
    Refused,
}

impl Bucket {
    pub(super) fn s3(config: RemoteConfig, credentials: Credentials) -> Result<Self, Error> {
        config.check()?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_access_key_id(credentials.id())
            .with_secret_access_key(credentials.secret())
            .with_http_connector(Https)
            .with_retry(RetryConfig {
                max_retries: 5,
                retry_timeout: config.timeout,
                backoff: BackoffConfig::default(),
            });
        if let Some(token) = credentials.token() {
            builder = builder.with_token(token);
        }
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        let store = builder
            .build()
            .map_err(|error| Error::config(format!("remote: {}", credentials.mask(&describe(&error)))))?;
        Self::on(Arc::new(store), config, credentials)
    }

    pub(super) fn on(
        store: Arc<dyn ObjectStore>,
        config: RemoteConfig,
        credentials: Credentials,
    ) -> Result<Self, Error> {
        config.check()?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::config(format!("remote: no runtime: {error}")))?;
        let slash = if config.prefix.is_empty() { "" } else { "/" };
        let place = format!("s3://{}{slash}{}", config.bucket, config.prefix);
        Ok(Self { store, config, place, credentials, runtime: Some(runtime) })
    }

    /// The full key of what stands at `path` under the prefix.
    pub(super) fn key(&self, path: &str) -> Key {
        match self.config.prefix.as_str() {
            "" => Key::from(path),
            prefix => Key::from(format!("{prefix}/{path}")),
        }
    }

    /// Runs to the end on this thread.
    pub(super) fn block<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match &self.runtime {
            Some(runtime) => runtime.block_on(work),
            None => Err(Error::closed()),
        }
    }

    /// One request, within its time.
    pub(super) async fn call<T>(
        &self,
        what: &'static str,
        path: &str,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Error> {
        self.timed(request).await.map_err(|error| self.error(what, path, &error))
    }

    async fn timed<T>(&self, request: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let limit = self.config.timeout;
        match tokio::time::timeout(limit, request).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::Generic { store: "S3", source: late(limit).into() }),
        }
    }

    fn error(&self, what: &'static str, path: &str, error: &StoreError) -> Error {
        let place = format!("{}/{path}", self.place);
        Error::remote(what, &place, self.credentials.mask(&describe(error)))
    }

    /// The whole of an object and what a condition may name; none when there is no such object.
    pub(super) async fn get(&self, path: &str, most: u64) -> Result<Option<(Bytes, UpdateVersion)>, Error> {
        let fetch = async {
            let found = self.store.get(&self.key(path)).await?;
            if found.meta.size > most {
                let text = format!("is {} bytes long, more than {most}", found.meta.size);
                return Err(StoreError::Generic { store: "S3", source: text.into() });
            }
            let version =
                UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
            Ok((found.bytes().await?, version))
        };
        match self.timed(fetch).await {
            Ok(found) => Ok(Some(found)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error("read", path, &error)),
        }
    }

    pub(super) async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Bytes, Error> {
        self.call("read", path, self.store.get_range(&self.key(path), range)).await
    }

    /// Writes an object if there is none (`over` of none), or if it is still the one that was read.
    pub(super) async fn put(
        &self,
        path: &str,
        bytes: Bytes,
        over: Option<UpdateVersion>,
    ) -> Result<Put, Error> {
        let mode = over.map_or(PutMode::Create, PutMode::Update);
        let options = PutOptions { mode, ..PutOptions::default() };
        let key = self.key(path);
        match self.timed(self.store.put_opts(&key, PutPayload::from(bytes), options)).await {
            Ok(done) => Ok(Put::Done(done.e_tag.is_some().then(|| done.into()))),
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(Put::Refused),
            Err(error) => Err(self.error("write", path, &error)),
        }
    }

    /// Length of an object; none when there is no such object.
    pub(super) async fn size(&self, path: &str) -> Result<Option<u64>, Error> {
        match self.timed(self.store.head(&self.key(path))).await {
            Ok(found) => Ok(Some(found.size)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error("look for", path, &error)),
        }
    }

    /// Every object under a folder.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>, Error> {
        let prefix = self.key(folder);
        self.call("list", folder, self.store.list(Some(&prefix)).try_collect()).await
    }

    /// The folders right under the prefix.
    pub(super) async fn folders(&self) -> Result<Vec<String>, Error> {
        let prefix = (!self.config.prefix.is_empty()).then(|| Key::from(self.config.prefix.as_str()));
        let found = self.call("list", "", self.store.list_with_delimiter(prefix.as_ref())).await?;
        Ok(found.common_prefixes.iter().filter_map(|key| key.filename().map(str::to_owned)).collect())
    }

    /// Deletes what it can; the number of those.
    pub(super) async fn delete(&self, paths: Vec<String>) -> u64 {
        let delete = |path: String| async move {
            let key = self.key(&path);
            u64::from(self.timed(self.store.delete(&key)).await.is_ok())
        };
        let work = futures_util::stream::iter(paths).map(delete).buffer_unordered(self.config.concurrency);
        work.fold(0, |sum, gone| async move { sum + gone }).await
    }
}

fn late(limit: Duration) -> String {
    format!("no answer within {limit:?}")
}

fn describe(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Most of them repeat their cause themselves.
        if !text.contains(&cause_text) {
            text.push_str(&format!(": {cause_text}"));
        }
        source = cause.source();
    }
    text
}

impl Drop for Bucket {
    fn drop(&mut self) {
        // Whoever drops it may stand in another runtime, where waiting is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket").field("place", &self.place).finish_non_exhaustive()
    }
}
