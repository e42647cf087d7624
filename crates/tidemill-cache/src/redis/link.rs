//! The connection to one server: made anew when it breaks, told what other processes change, asked for many keys at once.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, RedisError, Value};
use tokio::sync::{mpsc, oneshot};

use super::batch::{self, Want};
use super::nodes::Seeds;
use super::reads::{self, Queue, Stream};
use super::script;
use super::strikes::Strikes;
use super::turn::Failed;
use crate::tier::Peers;

/// Reads that wait for the next MGET; beyond, a reader waits for a place.
const QUEUE: usize = 4096;
/// The end of the counter's key.
pub(super) const COUNTER: &[u8] = b"\0generations";
/// Between two attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// A handle to the server; its tasks end with the last handle.
pub(super) struct Link {
    reads: mpsc::Sender<Want>,
    shared: Arc<Shared>,
    tasks: [tokio::task::AbortHandle; 2],
}

/// Whom to connect to.
pub(super) enum Target {
    Server(Client),
    /// The master of this slot, whoever it is; its address when it was last connected to, and where to say that it is another.
    Slot {
        seeds: Arc<Seeds>,
        slot: AtomicU16,
        last: Mutex<Option<String>>,
        lost: Arc<AtomicBool>,
    },
}

pub(super) struct Shared {
    pub(super) target: Target,
    /// Whether this server counts the generations.
    counts: AtomicBool,
    timeout: Duration,
    prefix: Vec<u8>,
    /// Where the server counts its generations.
    counter: Vec<u8>,
    life: AtomicU64,
    pub(super) connection: Mutex<Option<MultiplexedConnection>>,
    strikes: Mutex<Strikes>,
    /// Held while the counter is read: of two readings at once the older one might be the last to be written down, and
    /// whoever waits for the newer one would wait for ever.
    reading: tokio::sync::Mutex<()>,
    /// Changes of the counter heard of, and up to which of them it was read again.
    pushes: AtomicU64,
    read_to: AtomicU64,
    peers: Mutex<Option<Weak<dyn Peers>>>,
    pub(super) lost: tokio::sync::Notify,
    changed: tokio::sync::Notify,
    /// Where a single server without TLS is read, by a connection of its own.
    queue: Queue,
}

/// There is no connection now.
#[derive(Debug, thiserror::Error)]
#[error("no connection to the server; it is being made anew")]
pub(super) struct Disconnected;

impl Link {
    pub(super) fn start(client: Client, prefix: Vec<u8>, timeout: Duration, life: u64) -> Self {
        Self::with(Target::Server(client), true, prefix, timeout, life)
    }

    /// To the master of a slot; `lost` is set when it becomes another.
    pub(super) fn of_slot(
        seeds: Arc<Seeds>,
        slot: u16,
        prefix: Vec<u8>,
        timeout: Duration,
        life: u64,
        lost: Arc<AtomicBool>,
    ) -> Self {
        let slot = AtomicU16::new(slot);
        Self::with(Target::Slot { seeds, slot, last: Mutex::new(None), lost }, false, prefix, timeout, life)
    }

    /// Has this slot's master from now on, at this address.
    pub(super) fn follow(&self, first: u16, address: &str) {
        let Target::Slot { slot, last, .. } = &self.shared.target else { return };
        slot.store(first, Ordering::Relaxed);
        if lock(last).as_ref().is_some_and(|last| last != address) {
            self.shared.disconnected();
            self.shared.tell(|peers| peers.changed_everything());
            self.shared.lost.notify_one();
        }
    }

    /// Whether the generations are counted there from now on.
    pub(super) fn count(&self, counts: bool) {
        if counts && !self.shared.counts.swap(true, Ordering::AcqRel) {
            self.shared.pushes.fetch_add(1, Ordering::AcqRel);
            self.shared.changed.notify_one();
        }
        self.shared.counts.store(counts, Ordering::Release);
    }

    fn with(target: Target, counts: bool, prefix: Vec<u8>, timeout: Duration, life: u64) -> Self {
        let counter = [&prefix[..], COUNTER].concat();
        let shared = Arc::new(Shared {
            target,
            counts: AtomicBool::new(counts),
            timeout,
            prefix,
            counter,
            life: AtomicU64::new(life),
            connection: Mutex::new(None),
            strikes: Mutex::new(Strikes::default()),
            reading: tokio::sync::Mutex::new(()),
            pushes: AtomicU64::new(1),
            read_to: AtomicU64::new(0),
            peers: Mutex::new(None),
            lost: tokio::sync::Notify::new(),
            changed: tokio::sync::Notify::new(),
            queue: Queue::default(),
        });
        let (reads, wanted) = mpsc::channel(QUEUE);
        let keeper = tokio::spawn(keep(Arc::clone(&shared))).abort_handle();
        let reader = tokio::spawn(batch::serve(Arc::clone(&shared), wanted)).abort_handle();
        Self { reads, shared, tasks: [keeper, reader] }
    }

    pub(super) fn listen(&self, peers: Weak<dyn Peers>) {
        *lock(&self.shared.peers) = Some(peers);
    }

    pub(super) fn connection(&self) -> Result<MultiplexedConnection, Disconnected> {
        self.shared.connection()
    }

    /// The bytes that stand in the key; reads of many tasks share a round trip.
    pub(super) async fn get(
        &self,
        key: &[u8],
    ) -> Result<Option<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
        match self.shared.queue.get(key).await {
            Some(Ok(there)) => return Ok(there),
            // A connection that only reads may be lost alone: then there is another.
            None | Some(Err(Failed::Lost)) => {}
            Some(Err(failed)) => return Err(failed.into()),
        }
        let (reply, answer) = oneshot::channel();
        self.reads.send(Want { key: key.to_vec(), reply }).await.map_err(|_| Disconnected)?;
        Ok(answer.await.map_err(|_| Disconnected)??.map(Bytes::from))
    }

    /// Removes what matches, some hundred keys at a time; returns how many.
    pub(super) async fn sweep(
        &self,
        pattern: &[u8],
    ) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
        let (mut cursor, mut removed) = (0_u64, 0);
        loop {
            let mut connection = self.connection()?;
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(500);
            let (next, mut keys): (u64, Vec<Vec<u8>>) = scan.query_async(&mut connection).await?;
            // A pattern of everything matches the counter too, which must stay.
            keys.retain(|key| *key != self.shared.counter);
            if !keys.is_empty() {
                // One by one in a pipeline, for keys of several slots share no command.
                let mut unlink = redis::pipe();
                keys.into_iter().for_each(|key| _ = unlink.cmd("UNLINK").arg(key));
                removed += unlink.query_async::<Vec<u64>>(&mut connection).await?.into_iter().sum::<u64>();
            }
            cursor = next;
            if cursor == 0 {
                return Ok(removed);
            }
        }
    }

    pub(super) fn generation(&self) -> u64 {
        lock(&self.shared.strikes).current()
    }

    pub(super) fn is_valid(&self, generation: u64, tags: &[u32]) -> bool {
        lock(&self.shared.strikes).is_valid(generation, tags)
    }

    /// Until the generations are those of the last push; who asks bounds the wait.
    pub(super) async fn settled(&self) {
        while self.shared.is_outdated() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(super) async fn strike(&self, field: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut connection = self.connection()?;
        let mut script = script::STRIKE.key(&self.shared.counter[..]);
        let fields: Vec<(String, u64)> = script
            .arg(field)
            .arg(self.shared.life.load(Ordering::Relaxed))
            .invoke_async(&mut connection)
            .await?;
        // Our own strike: our cache has done it already.
        let now = Strikes::parse(fields);
        let mut strikes = lock(&self.shared.strikes);
        // Unless another's, of which the server told us meanwhile, was read already.
        if now.current() > strikes.current() {
            *strikes = now;
        }
        Ok(())
    }
}

impl Link {
    /// Gives the counter another life, so that nothing written before counts any more, for any process.
    pub(super) async fn renew(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut connection = self.connection()?;
        let next = |life: u64| Some((life * 0x5851 + 0x0014_057B) & 0xFF_FFFF);
        _ = self.shared.life.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let () = redis::cmd("DEL").arg(&self.shared.counter[..]).query_async(&mut connection).await?;
        self.shared.pushes.fetch_add(1, Ordering::AcqRel);
        Ok(self.shared.refresh(&mut connection).await?)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

impl Shared {
    pub(super) fn connection(&self) -> Result<MultiplexedConnection, Disconnected> {
        lock(&self.connection).clone().ok_or(Disconnected)
    }

    /// Nobody tells us any more what the others change, so nothing is read either.
    fn disconnected(&self) {
        *lock(&self.connection) = None;
        self.pushes.fetch_add(1, Ordering::AcqRel);
        self.queue.close();
    }

    fn tell(&self, what: impl FnOnce(&dyn Peers)) {
        let peers = lock(&self.peers).as_ref().and_then(Weak::upgrade);
        if let Some(peers) = peers {
            what(peers.as_ref());
        }
    }

    /// A push of the server, on the connection's own task: nothing may wait here.
    fn heard(&self, push: &PushInfo) {
        match push.kind {
            PushKind::Disconnection => {
                self.disconnected();
                self.lost.notify_one();
                // Nobody tells us any more what the others change.
                self.tell(|peers| peers.changed_everything());
            }
            PushKind::Invalidate => match push.data.first() {
                Some(Value::Array(keys)) => keys.iter().for_each(|key| self.heard_of(key)),
                // Null: the server forgot what it was to tell.
                _ => self.tell(|peers| peers.changed_everything()),
            },
            _ => {}
        }
    }

    fn heard_of(&self, key: &Value) {
        let Value::BulkString(key) = key else { return self.tell(|peers| peers.changed_everything()) };
        if *key == self.counter {
            self.pushes.fetch_add(1, Ordering::AcqRel);
            self.changed.notify_one();
        } else if let Some(key) = key.strip_prefix(&self.prefix[..]) {
            self.tell(|peers| peers.changed(key));
        }
    }

    async fn connect(self: &Arc<Self>) -> Result<(), RedisError> {
        let here = Arc::clone(self);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout.max(Duration::from_secs(1))))
            .set_response_timeout(Some(self.timeout))
            .set_push_sender(move |push: PushInfo| {
                here.heard(&push);
                Ok::<(), redis::aio::SendError>(())
            });
        let client = self.client().await?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut track = redis::cmd("CLIENT");
        track.arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg(&self.prefix[..]).arg("NOLOOP");
        let () = track.query_async(&mut connection).await?;
        // What was changed before the server began to tell.
        if self.counts.load(Ordering::Acquire) {
            self.refresh(&mut connection).await?;
        }
        self.tell(|peers| peers.changed_everything());
        *lock(&self.connection) = Some(connection);
        Ok(())
    }

    /// A connection that only reads, beside the one that stands.
    async fn open_reads(&self, connection: &mut MultiplexedConnection) -> Option<Stream> {
        let Target::Server(client) = &self.target else { return None };
        let opened = async {
            let info: String = redis::cmd("INFO").arg("server").query_async(connection).await.ok()?;
            let run_id = reads::run_id(&info)?;
            Stream::open(client.get_connection_info(), &self.counter, run_id).await.ok()?
        };
        tokio::time::timeout(self.timeout.max(Duration::from_secs(1)), opened).await.ok()?
    }

    async fn client(&self) -> Result<Client, RedisError> {
        match &self.target {
            Target::Server(client) => Ok(client.clone()),
            Target::Slot { seeds, slot, last, lost } => {
                let (client, name) = seeds.master(slot.load(Ordering::Relaxed)).await?;
                if lock(last).replace(name.clone()).is_some_and(|last| last != name) {
                    lost.store(true, Ordering::Release);
                }
                Ok(client)
            }
        }
    }

    /// Reads the generations again and tells what was struck.
    async fn refresh(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let _alone = self.reading.lock().await;
        let before = self.pushes.load(Ordering::Acquire);
        let mut script = script::GENERATIONS.key(&self.counter[..]);
        let fields: Vec<(String, u64)> =
            script.arg(self.life.load(Ordering::Relaxed)).invoke_async(connection).await?;
        let now = Strikes::parse(fields);
        let struck = {
            let mut strikes = lock(&self.strikes);
            let struck = now.since(&strikes);
            *strikes = now;
            struck
        };
        match struck {
            Some(slots) => slots.into_iter().for_each(|slot| self.tell(|peers| peers.changed_tag(slot))),
            None => self.tell(|peers| peers.changed_everything()),
        }
        self.read_to.store(before, Ordering::Release);
        Ok(())
    }

    fn is_outdated(&self) -> bool {
        self.read_to.load(Ordering::Acquire) != self.pushes.load(Ordering::Acquire)
    }
}

/// Keeps a connection, one that only reads, and the generations up to date.
async fn keep(shared: Arc<Shared>) {
    let mut pause = PAUSES.0;
    let mut reading = tokio::task::JoinSet::new();
    loop {
        let Ok(mut connection) = shared.connection() else {
            reading.shutdown().await;
            match shared.connect().await {
                Ok(()) => {
                    pause = PAUSES.0;
                    serve_reads(&shared, &mut reading).await;
                }
                Err(_) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
            continue;
        };
        tokio::select! {
            () = shared.lost.notified() => {}
            () = shared.changed.notified() => {
                let counts = shared.counts.load(Ordering::Acquire);
                if counts && shared.refresh(&mut connection).await.is_err() {
                    tokio::time::sleep(PAUSES.0).await;
                    shared.changed.notify_one();
                }
            }
            Some(_) = reading.join_next() => {
                tokio::time::sleep(PAUSES.0).await;
                serve_reads(&shared, &mut reading).await;
            }
            // A server that says nothing may be frozen or cut off: then nobody tells us what changes either.
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                let pong: Result<String, RedisError> = redis::cmd("PING").query_async(&mut connection).await;
                if pong.is_err() {
                    shared.disconnected();
                    shared.tell(|peers| peers.changed_everything());
                } else if reading.is_empty() {
                    serve_reads(&shared, &mut reading).await;
                }
            }
        }
    }
}

/// Opens a connection for reads, if that can be, in place of the last one.
async fn serve_reads(shared: &Arc<Shared>, reading: &mut tokio::task::JoinSet<()>) {
    reading.shutdown().await;
    let Ok(mut connection) = shared.connection() else { return };
    let Some(stream) = shared.open_reads(&mut connection).await else { return };
    let shared = Arc::clone(shared);
    reading.spawn(async move {
        let pushed = || {
            shared.pushes.fetch_add(1, Ordering::AcqRel);
            shared.changed.notify_one();
        };
        stream.serve(&shared.queue, shared.timeout, pushed).await;
    });
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
