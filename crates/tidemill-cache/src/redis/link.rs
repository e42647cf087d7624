//! The connection to one server: made anew when it breaks, told what other processes change, asked for many keys at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue as _, PushInfo, PushKind, RedisError, Value};
use tokio::sync::{mpsc, oneshot};

use super::nodes::Seeds;
use super::script;
use super::strikes::Strikes;
use crate::tier::Peers;

/// Keys of one MGET.
const BATCH: usize = 256;
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
enum Target {
    Server(Client),
    /// The master of this slot, whoever it is; its address when it was last connected to, and where to say that it is another.
    Slot {
        seeds: Arc<Seeds>,
        slot: u16,
        last: Mutex<Option<String>>,
        lost: Arc<AtomicBool>,
    },
}

struct Shared {
    target: Target,
    /// Whether this server counts the generations.
    counts: bool,
    timeout: Duration,
    prefix: Vec<u8>,
    /// Where the server counts its generations.
    counter: Vec<u8>,
    life: AtomicU64,
    connection: Mutex<Option<MultiplexedConnection>>,
    strikes: Mutex<Strikes>,
    /// Held while the counter is read: of two readings at once the older one might be the last to be written down, and
    /// whoever waits for the newer one would wait for ever.
    reading: tokio::sync::Mutex<()>,
    /// Changes of the counter heard of, and up to which of them it was read again.
    pushes: AtomicU64,
    read_to: AtomicU64,
    peers: Mutex<Option<Weak<dyn Peers>>>,
    lost: tokio::sync::Notify,
    changed: tokio::sync::Notify,
}

struct Want {
    key: Vec<u8>,
    reply: oneshot::Sender<Result<Option<Vec<u8>>, RedisError>>,
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
        counts: bool,
        lost: Arc<AtomicBool>,
    ) -> Self {
        Self::with(Target::Slot { seeds, slot, last: Mutex::new(None), lost }, counts, prefix, timeout, life)
    }

    fn with(target: Target, counts: bool, prefix: Vec<u8>, timeout: Duration, life: u64) -> Self {
        let counter = [&prefix[..], COUNTER].concat();
        let shared = Arc::new(Shared {
            target,
            counts,
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
        });
        let (reads, wanted) = mpsc::channel(QUEUE);
        let keeper = tokio::spawn(keep(Arc::clone(&shared))).abort_handle();
        let reader = tokio::spawn(read(Arc::clone(&shared), wanted)).abort_handle();
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
        key: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
        let (reply, answer) = oneshot::channel();
        self.reads.send(Want { key, reply }).await.map_err(|_| Disconnected)?;
        Ok(answer.await.map_err(|_| Disconnected)??)
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
    fn connection(&self) -> Result<MultiplexedConnection, Disconnected> {
        lock(&self.connection).clone().ok_or(Disconnected)
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
                *lock(&self.connection) = None;
                self.pushes.fetch_add(1, Ordering::AcqRel);
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
        if self.counts {
            self.refresh(&mut connection).await?;
        }
        self.tell(|peers| peers.changed_everything());
        *lock(&self.connection) = Some(connection);
        Ok(())
    }

    async fn client(&self) -> Result<Client, RedisError> {
        match &self.target {
            Target::Server(client) => Ok(client.clone()),
            Target::Slot { seeds, slot, last, lost } => {
                let (client, name) = seeds.master(*slot).await?;
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

/// Keeps a connection, and the generations up to date.
async fn keep(shared: Arc<Shared>) {
    let mut pause = PAUSES.0;
    loop {
        let Ok(mut connection) = shared.connection() else {
            match shared.connect().await {
                Ok(()) => pause = PAUSES.0,
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
                if shared.refresh(&mut connection).await.is_err() {
                    tokio::time::sleep(PAUSES.0).await;
                    shared.changed.notify_one();
                }
            }
            // A server that says nothing may be frozen or cut off: then nobody tells us what changes either.
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                let pong: Result<String, RedisError> = redis::cmd("PING").query_async(&mut connection).await;
                if pong.is_err() {
                    *lock(&shared.connection) = None;
                    shared.pushes.fetch_add(1, Ordering::AcqRel);
                    shared.tell(|peers| peers.changed_everything());
                }
            }
        }
    }
}

/// One MGET after the other, each of what was wanted while the last was on its way.
async fn read(shared: Arc<Shared>, mut wanted: mpsc::Receiver<Want>) {
    let mut wants = Vec::with_capacity(BATCH);
    let mut last = 0;
    while wanted.recv_many(&mut wants, BATCH).await > 0 {
        if last > 1 {
            // Those who got the last answers are about to ask again: they go into the same round trip.
            tokio::task::yield_now().await;
            while wants.len() < BATCH
                && let Ok(want) = wanted.try_recv()
            {
                wants.push(want);
            }
        }
        last = wants.len();
        let values = match shared.connection() {
            Ok(mut connection) => {
                if let Target::Server(_) = shared.target {
                    let mut mget = redis::cmd("MGET");
                    wants.iter().for_each(|want| _ = mget.arg(&want.key[..]));
                    mget.query_async::<Vec<Value>>(&mut connection).await
                } else {
                    // Keys of several slots share no command, but they share the round trip.
                    let mut gets = redis::pipe();
                    wants.iter().for_each(|want| _ = gets.get(&want.key[..]));
                    gets.query_async::<Vec<Value>>(&mut connection).await
                }
            }
            // Dropped replies tell it.
            Err(Disconnected) => {
                wants.clear();
                continue;
            }
        };
        match values {
            Ok(values) => {
                for (want, value) in wants.drain(..).zip(values) {
                    _ = want.reply.send(Option::<Vec<u8>>::from_redis_value(value).map_err(RedisError::from));
                }
            }
            Err(error) => {
                if let Target::Slot { .. } = shared.target {
                    // Perhaps it is not the master any more.
                    *lock(&shared.connection) = None;
                    shared.lost.notify_one();
                }
                wants.drain(..).for_each(|want| _ = want.reply.send(Err(error.clone())));
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
