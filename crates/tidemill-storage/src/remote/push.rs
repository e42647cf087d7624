//! Sending snapshots: the files that are new under keys of their own, then the manifest, on condition that it is still the one
//! that was read.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, UpdateVersion};
use ring::digest::{Context, SHA256, digest};
use serde::Serialize;
use tidemill_journal::{Disk, ReadFile};

use super::{
    Ack, Credentials, RemoteConfig, RemoteStats,
    bucket::{Bucket, Put},
    disk::RemoteDisk,
    manifest::{MAX_BYTES, RemoteManifest},
    plan::{self, Standing, standing},
    state::Known,
    stats::Counters,
};
use crate::{
    Error, ReadOnly, VerifyReport,
    layout::Layout,
    manifest::{FileEntry, hex},
    published::Published,
    verify_on,
};

/// Manifests that may still arrive in the bucket after we gave up waiting: so many are recognised as our own.
const REMEMBERED: usize = 16;

/// A place in an object store. A [`Store`](crate::Store) that is given one sends its snapshots there; without a store it reads
/// what stands there, or brings it back.
///
/// Its calls block and run their requests on the thread that calls; they panic inside an asynchronous task, so use
/// `spawn_blocking` there.
#[derive(Debug)]
pub struct Remote {
    pub(super) bucket: Arc<Bucket>,
    counters: Counters,
    /// By table. One push at a time.
    sessions: Mutex<BTreeMap<String, Session>>,
}

/// What one push sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PushReport {
    /// Tables whose newest snapshot is now the bucket's; those that were before are not listed.
    pub tables: Vec<PushedTable>,
}

/// One table's push.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PushedTable {
    /// The table.
    pub name: String,
    /// Number of the snapshot.
    pub snapshot: u64,
    /// Version of the bucket's manifest.
    pub version: u64,
    /// Files sent.
    pub uploads: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Files found under their key, sent by a push that did not end.
    pub resumed: u64,
    /// Files that stood there.
    pub kept: u64,
    /// Keys deleted because nobody needs them.
    pub deleted: u64,
}

/// What is known of a table in the bucket.
#[derive(Debug, Default)]
struct Session {
    /// None until the bucket was asked, and after a write whose outcome is not known.
    known: Option<Known>,
    base: Option<RemoteManifest>,
    over: Option<UpdateVersion>,
    /// The epoch in the bucket is ours.
    claimed: bool,
    swept: Option<SystemTime>,
    /// Another writer took over: nothing is tried any more.
    lost: bool,
}

/// Where a snapshot comes from.
pub(crate) struct Origin<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) layout: &'a Layout,
    pub(crate) now: SystemTime,
}

impl Remote {
    /// A bucket of Amazon's or of another server that speaks S3 and honours `If-Match` and `If-None-Match` on writes.
    pub fn s3(config: RemoteConfig, credentials: Credentials) -> Result<Self, Error> {
        Ok(Self::new(Bucket::s3(config, credentials)?))
    }

    /// Any object store that knows conditional writes; bucket, region and endpoint of the configuration are names only.
    pub fn on(store: Arc<dyn ObjectStore>, config: RemoteConfig) -> Result<Self, Error> {
        Ok(Self::new(Bucket::on(store, config, Credentials::default())?))
    }

    fn new(bucket: Bucket) -> Self {
        Self { bucket: Arc::new(bucket), counters: Counters::default(), sessions: Mutex::default() }
    }

    /// Opens what the manifests show now. It stays readable for the writer's `reader_grace`.
    pub fn open(&self) -> Result<ReadOnly, Error> {
        let reader = ReadOnly::open_on(Arc::new(RemoteDisk::load(&self.bucket)?), Path::new("/"))?;
        // Those that do not fit the blocks would have to be fetched whole, twice.
        let most = self.bucket.config.block_bytes * self.bucket.config.blocks as u64;
        reader.believe(|file| file.bytes > most);
        Ok(reader)
    }

    /// Reads everything that the manifests show and compares every checksum, row count and order.
    pub fn verify(&self) -> Result<VerifyReport, Error> {
        verify_on(&RemoteDisk::load(&self.bucket)?, Path::new("/"))
    }

    pub(crate) fn ack(&self) -> Ack {
        self.bucket.config.ack
    }

    pub(crate) fn stats(&self) -> RemoteStats {
        self.counters.read()
    }

    /// Makes the newest snapshots the bucket's. After an error those not yet shown stay as they were, and the next push goes on
    /// where this one ended.
    pub(crate) fn push<'a>(
        &self,
        origin: &Origin<'_>,
        newest: &dyn Fn() -> Vec<(&'a str, Arc<Published>)>,
    ) -> Result<PushReport, Error> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked for when it is our turn: what another pushed meanwhile must not be taken back.
        let tables = newest();
        let mut report = PushReport::default();
        for (at, (table, published)) in tables.iter().enumerate() {
            let session = sessions.entry((*table).to_owned()).or_default();
            self.counters.behind.store((tables.len() - at) as u64, Relaxed);
            match self.bucket.block(self.push_table(origin, table, published, session)) {
                Ok(pushed) => report.tables.extend(pushed),
                Err(error) => {
                    self.counters.errors.fetch_add(1, Relaxed);
                    return Err(error);
                }
            }
        }
        self.counters.behind.store(0, Relaxed);
        Ok(report)
    }

    async fn push_table(
        &self,
        origin: &Origin<'_>,
        table: &str,
        published: &Published,
        session: &mut Session,
    ) -> Result<Option<PushedTable>, Error> {
        self.look(origin, table, session).await?;
        let manifest = &published.manifest;
        if session.base.as_ref().is_some_and(|base| base.manifest == *manifest) {
            return Ok(None);
        }
        let epoch = session.base.as_ref().map_or(0, |base| base.epoch) + u64::from(!session.claimed);
        let planned = plan::plan(manifest, session.base.as_ref());
        let mut done = PushedTable {
            name: table.to_owned(),
            snapshot: manifest.snapshot,
            kept: planned.kept.len() as u64,
            ..PushedTable::default()
        };
        let mut keys = planned.kept;
        let uploads = planned.uploads.iter().map(|file| self.upload(origin, table, published, file, epoch));
        let mut sent = futures_util::stream::iter(uploads).buffer_unordered(self.bucket.config.concurrency);
        while let Some((path, key, bytes)) = sent.try_next().await? {
            keys.insert(path, key);
            match bytes {
                Some(bytes) => (done.uploads, done.bytes) = (done.uploads + 1, done.bytes + bytes),
                None => done.resumed += 1,
            }
        }
        drop(sent);
        self.counters.uploads.fetch_add(done.uploads, Relaxed);
        self.counters.uploaded_bytes.fetch_add(done.bytes, Relaxed);
        self.counters.resumed.fetch_add(done.resumed, Relaxed);
        let next = RemoteManifest::following(
            session.base.as_ref(),
            epoch,
            manifest.clone(),
            keys,
            millis(origin.now),
        );
        done.version = next.version;
        self.replace(origin, table, session, next).await?;
        self.counters.pushes.fetch_add(1, Relaxed);
        done.deleted = self.sweep(origin.now, table, session).await;
        Ok(Some(done))
    }

    /// Asks the bucket what stands there, once, and whose it is.
    async fn look(&self, origin: &Origin<'_>, table: &str, session: &mut Session) -> Result<(), Error> {
        let path = manifest_path(table);
        let place = format!("{}/{path}", self.bucket.place);
        if session.lost {
            self.counters.refused.fetch_add(1, Relaxed);
            return Err(Error::stale(&place));
        }
        if session.known.is_some() {
            return Ok(());
        }
        let known = Known::read(origin.disk, origin.layout, table, &self.bucket.place)?;
        let found = self.bucket.get(&path, MAX_BYTES).await?;
        let sha = found.as_ref().map(|(bytes, _)| sha256(bytes));
        match standing(sha.as_deref(), &known) {
            Standing::Others => {
                session.lost = true;
                self.counters.refused.fetch_add(1, Relaxed);
                return Err(Error::stale(&place));
            }
            Standing::Free => (session.base, session.over) = (None, None),
            Standing::Ours => {
                let Some((bytes, over)) = found else { return Ok(()) };
                session.base = Some(RemoteManifest::from_bytes(&bytes, table, &place)?);
                session.over = Some(over);
            }
        }
        session.known = Some(known);
        Ok(())
    }

    /// Replaces the manifest that was read by `next`, or is refused.
    async fn replace(
        &self,
        origin: &Origin<'_>,
        table: &str,
        session: &mut Session,
        next: RemoteManifest,
    ) -> Result<(), Error> {
        let path = manifest_path(table);
        let bytes = Bytes::from(next.to_bytes());
        let sha = sha256(&bytes);
        let mut known = session.known.take().unwrap_or_default();
        if known.manifests.len() >= REMEMBERED {
            known.manifests.remove(0);
        }
        known.manifests.push(sha.clone());
        // Before the bucket changes: who comes back after a crash must know that it was us.
        known.write(origin.disk, origin.layout, table)?;
        let done = match self.bucket.put(&path, bytes, session.over.clone()).await? {
            Put::Done(over) => over,
            Put::Refused => {
                // Perhaps by our own manifest, whose acknowledgement got lost.
                let found = self.bucket.get(&path, MAX_BYTES).await?;
                match found.map(|(bytes, over)| (sha256(&bytes), over)) {
                    Some((found, over)) if found == sha => Some(over),
                    Some((found, _)) if known.manifests.contains(&found) => {
                        let why = "an earlier push of this store has arrived meanwhile; push again";
                        return Err(Error::remote("replace", &format!("{}/{path}", self.bucket.place), why));
                    }
                    _ => {
                        session.lost = true;
                        self.counters.refused.fetch_add(1, Relaxed);
                        return Err(Error::stale(&format!("{}/{path}", self.bucket.place)));
                    }
                }
            }
        };
        session.claimed = true;
        session.base = Some(next);
        // A server that does not say which version it wrote is asked before the next push.
        session.known = done.is_some().then(|| Known { manifests: vec![sha], ..known });
        session.over = done;
        Ok(())
    }

    /// Deletes what nobody needs, once in `reader_grace`. It comes after a push, which proved that the table is ours.
    async fn sweep(&self, now: SystemTime, table: &str, session: &mut Session) -> u64 {
        let grace = self.bucket.config.reader_grace;
        let due = session.swept.is_none_or(|last| now.duration_since(last).is_ok_and(|since| since >= grace));
        let Some(current) = session.base.as_ref().filter(|_| due) else { return 0 };
        // What cannot be listed or deleted now is next time.
        let Ok(listed) = self.bucket.list(table).await else { return 0 };
        session.swept = Some(now);
        let root = format!("{}/", self.bucket.key(table));
        let listed: Vec<(String, u64)> = listed
            .iter()
            .filter_map(|found| {
                let key = found.location.as_ref().strip_prefix(&root)?;
                let changed = u64::try_from(found.last_modified.timestamp_millis()).ok()?;
                key.ends_with(".parquet").then(|| (key.to_owned(), changed))
            })
            .collect();
        let gone = plan::garbage(current, &listed, millis(now), grace);
        let deleted = self.bucket.delete(gone.iter().map(|key| format!("{table}/{key}")).collect()).await;
        self.counters.deleted.fetch_add(deleted, Relaxed);
        deleted
    }

    /// Path, key, and the bytes that were sent; none of those when the key was there.
    async fn upload(
        &self,
        origin: &Origin<'_>,
        table: &str,
        published: &Published,
        entry: &FileEntry,
        epoch: u64,
    ) -> Result<(String, String, Option<u64>), Error> {
        let path = published.dir.join(&entry.path);
        let file = origin.disk.open(&path).map_err(Error::disk("open", &path))?;
        let mut parts = Parts { file, path: &path, at: 0, most: self.bucket.config.part_bytes };
        let (mut sha, mut crc) = (Context::new(&SHA256), 0);
        let mut first = None;
        while let Some(part) = parts.next()? {
            sha.update(&part);
            crc = crc32c::crc32c_append(crc, &part);
            first.get_or_insert(part);
        }
        if (parts.at, crc) != (entry.bytes, entry.crc32c) {
            return Err(Error::corrupt(&path, "is not what its manifest says; it was not sent"));
        }
        let key = plan::key(epoch, &entry.path, &hex(sha.finish().as_ref()));
        let full = format!("{table}/{key}");
        let sent = match first.filter(|first| first.len() as u64 == entry.bytes) {
            Some(whole) => matches!(self.bucket.put(&full, whole, None).await?, Put::Done(_)),
            None if self.bucket.size(&full).await? == Some(entry.bytes) => false,
            None => {
                parts.at = 0;
                self.upload_parts(&full, parts).await?;
                true
            }
        };
        Ok((entry.path.clone(), key, sent.then_some(entry.bytes)))
    }

    /// The object appears whole, or not at all.
    async fn upload_parts(&self, key: &str, mut parts: Parts<'_>) -> Result<(), Error> {
        let bucket = &self.bucket;
        let mut upload = bucket.call("begin", key, bucket.store.put_multipart(&bucket.key(key))).await?;
        let send = async {
            while let Some(part) = parts.next()? {
                bucket.call("write", key, upload.put_part(PutPayload::from(part))).await?;
            }
            bucket.call("finish", key, upload.complete()).await
        };
        let done = send.await;
        if done.is_err() {
            // Parts that stay behind cost money until the bucket's lifecycle rule removes them.
            drop(bucket.call("abort", key, upload.abort()).await);
        }
        done.map(drop)
    }

    /// Takes over a table for a folder that has nothing of it; the writer before is refused from here on.
    pub(super) fn claim(&self, origin: &Origin<'_>, table: &str) -> Result<Option<RemoteManifest>, Error> {
        let path = manifest_path(table);
        let place = format!("{}/{path}", self.bucket.place);
        self.bucket.block(async {
            let Some((bytes, over)) = self.bucket.get(&path, MAX_BYTES).await? else { return Ok(None) };
            let base = RemoteManifest::from_bytes(&bytes, table, &place)?;
            let next = RemoteManifest::following(
                Some(&base),
                base.epoch + 1,
                base.manifest.clone(),
                base.keys.clone(),
                millis(origin.now),
            );
            let known = Known { place: self.bucket.place.clone(), manifests: vec![sha256(&bytes)] };
            let mut session = Session { known: Some(known), over: Some(over), ..Session::default() };
            self.replace(origin, table, &mut session, next.clone()).await?;
            Ok(Some(next))
        })
    }
}

/// A file in pieces that fit one request.
struct Parts<'a> {
    file: Box<dyn ReadFile>,
    path: &'a Path,
    at: u64,
    most: u64,
}

impl Parts<'_> {
    fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let len = self.most.min(self.file.size() - self.at);
        if len == 0 {
            return Ok(None);
        }
        let mut part = vec![0; len as usize];
        self.file.read_at(&mut part, self.at).map_err(Error::disk("read", self.path))?;
        self.at += len;
        Ok(Some(part.into()))
    }
}

/// The one object of a table that is replaced.
pub(super) fn manifest_path(table: &str) -> String {
    format!("{table}/manifest.json")
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn millis(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as u64
}
