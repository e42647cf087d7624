//! Which server has a key: the one there is, or one master of a cluster for each range of slots.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use redis::{Client, Cmd, ConnectionAddr, FromRedisValue, RedisError, RedisResult, Value};

use super::link::{Disconnected, Link, lock};
use super::script::Step;
use crate::tier::{Peers, TierError};

/// Between two looks for the cluster's masters: at least, and when nobody asks for one.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Makes a client for an address, with everything else as configured.
pub(super) type Connect = dyn Fn(ConnectionAddr) -> RedisResult<Client> + Send + Sync;

pub(super) enum Nodes {
    One(Arc<Link>),
    Cluster(Cluster),
}

/// The masters of a cluster, looked for every second and when a server says that a slot is another's.
pub(super) struct Cluster {
    map: Arc<Map>,
    task: tokio::task::AbortHandle,
}

struct Map {
    seeds: Arc<Seeds>,
    prefix: Vec<u8>,
    timeout: Duration,
    life: u64,
    shards: RwLock<Arc<[Shard]>>,
    counter: Vec<u8>,
    peers: Mutex<Option<Weak<dyn Peers>>>,
    lost: Arc<AtomicBool>,
    look: tokio::sync::Notify,
}

/// A master and its slots.
#[derive(Clone)]
struct Shard {
    address: String,
    slots: Slots,
    link: Arc<Link>,
}

type Slots = Vec<(u16, u16)>;

fn has(slots: &[(u16, u16)], slot: u16) -> bool {
    slots.iter().any(|(from, to)| (*from..=*to).contains(&slot))
}

/// Where to ask who is the master of a slot.
pub(super) struct Seeds {
    pub(super) clients: Vec<Client>,
    pub(super) connect: Arc<Connect>,
    pub(super) timeout: Duration,
}

impl Seeds {
    fn tls(&self) -> bool {
        let tls =
            |client: &Client| matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. });
        self.clients.iter().any(tls)
    }

    /// The masters with their slots, as the first server that answers says.
    async fn masters(&self) -> RedisResult<Vec<((u16, u16), ConnectionAddr)>> {
        let mut last = RedisError::from(std::io::Error::other("no server of the cluster answers"));
        for client in &self.clients {
            let asked = async {
                let mut connection = client.get_multiplexed_async_connection().await?;
                redis::cmd("CLUSTER").arg("SLOTS").query_async::<Value>(&mut connection).await
            };
            match tokio::time::timeout(self.timeout, asked).await {
                Ok(Ok(slots)) => {
                    let masters = parse(&slots, self.tls());
                    if !masters.is_empty() {
                        return Ok(masters);
                    }
                }
                Ok(Err(error)) => last = error,
                Err(_) => {}
            }
        }
        Err(last)
    }

    /// A client for the master of a slot, and its address.
    pub(super) async fn master(&self, slot: u16) -> RedisResult<(Client, String)> {
        let masters = self.masters().await?;
        let of_slot = masters.into_iter().find(|((from, to), _)| (*from..=*to).contains(&slot));
        let (_, address) =
            of_slot.ok_or_else(|| RedisError::from(std::io::Error::other("a slot has no master")))?;
        let name = address.to_string();
        Ok(((self.connect)(address)?, name))
    }
}

/// Of `CLUSTER SLOTS`: first slot, last slot, then the nodes, the master first; what is not so is left out.
fn parse(slots: &Value, tls: bool) -> Vec<((u16, u16), ConnectionAddr)> {
    let Value::Array(ranges) = slots else { return Vec::new() };
    let number = |value: &Value| match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    };
    let range = |range: &Value| {
        let Value::Array(parts) = range else { return None };
        let [from, to, Value::Array(master), ..] = &parts[..] else { return None };
        let [host, port, ..] = &master[..] else { return None };
        let host = match host {
            Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
            Value::SimpleString(host) => host.clone(),
            _ => return None,
        };
        let (from, to, port) = (number(from)?, number(to)?, number(port)?);
        let address = if tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        Some(((from, to), address))
    };
    ranges.iter().filter_map(range).collect()
}

impl Cluster {
    pub(super) fn start(seeds: Seeds, prefix: Vec<u8>, timeout: Duration, life: u64) -> Self {
        let map = Arc::new(Map {
            seeds: Arc::new(seeds),
            counter: [&prefix[..], super::link::COUNTER].concat(),
            prefix,
            timeout,
            life,
            shards: RwLock::new(Arc::new([])),
            peers: Mutex::new(None),
            lost: Arc::new(AtomicBool::new(false)),
            look: tokio::sync::Notify::new(),
        });
        let task = tokio::spawn(watch(Arc::clone(&map)));
        Self { map, task: task.abort_handle() }
    }
}

/// Keeps the map as the cluster is.
async fn watch(map: Arc<Map>) {
    loop {
        if let Ok(masters) = map.masters().await {
            map.draw(masters);
        }
        tokio::time::sleep(PAUSES.0).await;
        if !map.shards().is_empty() {
            _ = tokio::time::timeout(PAUSES.1, map.look.notified()).await;
        }
    }
}

impl Map {
    fn shards(&self) -> Arc<[Shard]> {
        Arc::clone(&self.shards.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn of(&self, key: &[u8]) -> Result<Arc<Link>, Disconnected> {
        let slot = slot(key);
        let shards = self.shards();
        let shard = shards.iter().find(|shard| has(&shard.slots, slot));
        Ok(Arc::clone(&shard.ok_or(Disconnected)?.link))
    }

    /// As a master that we are connected to says, or else one of the servers we began with.
    async fn masters(&self) -> RedisResult<Vec<((u16, u16), ConnectionAddr)>> {
        for shard in self.shards().iter() {
            let Ok(mut connection) = shard.link.connection() else { continue };
            let slots = redis::cmd("CLUSTER").arg("SLOTS").query_async::<Value>(&mut connection).await;
            let masters = slots.map_or_else(|_| Vec::new(), |slots| parse(&slots, self.seeds.tls()));
            if !masters.is_empty() {
                return Ok(masters);
            }
        }
        self.seeds.masters().await
    }

    /// Links stay with their servers; one whose server is no master any more goes to who has its first slot.
    fn draw(&self, masters: Vec<((u16, u16), ConnectionAddr)>) {
        let mut drawn: BTreeMap<String, Slots> = BTreeMap::new();
        for (slots, address) in masters {
            drawn.entry(address.to_string()).or_default().push(slots);
        }
        drawn.values_mut().for_each(|slots| slots.sort_unstable());
        let before = self.shards();
        let same = |shard: &Shard| drawn.get(&shard.address) == Some(&shard.slots);
        if before.len() == drawn.len() && before.iter().all(same) {
            return;
        }
        if before.iter().any(|shard| !drawn.contains_key(&shard.address)) {
            // Perhaps a replica took its place, which may lack what was acknowledged.
            self.lost.store(true, Ordering::Release);
        }
        let orphan = |slots: &Slots| {
            let heir = |shard: &&Shard| {
                !drawn.contains_key(&shard.address)
                    && shard.slots.first().is_some_and(|first| has(slots, first.0))
            };
            before.iter().find(heir)
        };
        let counted = slot(&self.counter);
        let shards = drawn.iter().map(|(address, slots)| {
            let same = before.iter().find(|shard| shard.address == *address).or_else(|| orphan(slots));
            let link = same.map_or_else(|| self.link(slots), |shard| Arc::clone(&shard.link));
            link.follow(slots[0].0, address);
            link.count(has(slots, counted));
            Shard { address: address.clone(), slots: slots.clone(), link }
        });
        let shards = shards.collect();
        *self.shards.write().unwrap_or_else(PoisonError::into_inner) = shards;
    }

    fn link(&self, slots: &Slots) -> Arc<Link> {
        let (seeds, lost) = (Arc::clone(&self.seeds), Arc::clone(&self.lost));
        let link = Link::of_slot(seeds, slots[0].0, self.prefix.clone(), self.timeout, self.life, lost);
        if let Some(peers) = lock(&self.peers).clone() {
            link.listen(peers);
        }
        Arc::new(link)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Nodes {
    /// Who has the key, which begins with the prefix.
    pub(super) fn of(&self, key: &[u8]) -> Result<Arc<Link>, Disconnected> {
        match self {
            Self::One(link) => Ok(Arc::clone(link)),
            Self::Cluster(cluster) => cluster.map.of(key),
        }
    }

    /// Who counts generations.
    pub(super) fn counter(&self) -> Result<Arc<Link>, Disconnected> {
        match self {
            Self::One(link) => Ok(Arc::clone(link)),
            Self::Cluster(cluster) => cluster.map.of(&cluster.map.counter),
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Link>> {
        match self {
            Self::One(link) => vec![Arc::clone(link)],
            Self::Cluster(cluster) => {
                cluster.map.shards().iter().map(|shard| Arc::clone(&shard.link)).collect()
            }
        }
    }

    pub(super) fn listen(&self, peers: Weak<dyn Peers>) {
        if let Self::Cluster(cluster) = self {
            *lock(&cluster.map.peers) = Some(peers.clone());
        }
        self.all().into_iter().for_each(|link| link.listen(peers.clone()));
    }

    /// A command about one key.
    pub(super) async fn run<T: FromRedisValue>(&self, key: &[u8], command: &Cmd) -> Result<T, TierError> {
        let mut connection = self.of(key)?.connection()?;
        match command.query_async(&mut connection).await {
            Ok(value) => Ok(value),
            Err(error) => self.follow(error, command).await,
        }
    }

    /// A script about one key.
    pub(super) async fn step<T: FromRedisValue>(
        &self,
        step: &Step,
        key: &[u8],
        arguments: &[&[u8]],
    ) -> Result<T, TierError> {
        let mut connection = self.of(key)?.connection()?;
        match step.run(key, arguments, &mut connection).await {
            Ok(value) => Ok(value),
            Err(error) => self.follow(error, &step.in_full(key, arguments)).await,
        }
    }

    /// Where a slot is given to another master, whoever has it yet says who has the key: that one is asked, once.
    pub(super) async fn follow<T: FromRedisValue>(
        &self,
        error: RedisError,
        command: &Cmd,
    ) -> Result<T, TierError> {
        let (Self::Cluster(cluster), Some((address, _))) = (self, error.redirect_node()) else {
            return Err(error.into());
        };
        cluster.map.look.notify_one();
        let shards = cluster.map.shards();
        let Some(shard) = shards.iter().find(|shard| shard.address == address) else {
            return Err(error.into());
        };
        let mut connection = shard.link.connection()?;
        let mut asking = redis::pipe();
        asking.cmd("ASKING").ignore().add_command(command.clone());
        let (value,) = asking.query_async::<(T,)>(&mut connection).await?;
        Ok(value)
    }

    /// After a failover, a master may lack what the last one had acknowledged, removals among it: then nothing that was written
    /// before counts any more.
    pub(super) async fn trusted(&self) -> Result<(), TierError> {
        let Self::Cluster(cluster) = self else { return Ok(()) };
        if cluster.map.lost.load(Ordering::Acquire) {
            self.counter()?.renew().await?;
            cluster.map.lost.store(false, Ordering::Release);
        }
        Ok(())
    }
}

/// A key's slot: CRC-16 (XMODEM) of the part in the first braces, or of all of it.
fn slot(key: &[u8]) -> u16 {
    let tagged = || {
        let open = key.iter().position(|byte| *byte == b'{')?;
        let len = key[open + 1..].iter().position(|byte| *byte == b'}')?;
        (len > 0).then(|| &key[open + 1..open + 1 + len])
    };
    let mut crc = 0_u16;
    for byte in tagged().unwrap_or(key) {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
        }
    }
    crc % 16_384
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_servers() {
        // As `CLUSTER KEYSLOT` gives them.
        assert_eq!((slot(b"foo"), slot(b"123456789")), (12_182, 12_739));
        assert_eq!(slot(b"{foo}.bar"), slot(b"foo"));
        assert_eq!(slot(b"a{}b{foo}"), slot(b"a{}b{foo}"));
        assert_ne!(slot(b"{}foo"), slot(b"foo"));
    }

    #[test]
    fn what_is_no_topology_has_no_masters() {
        assert!(parse(&Value::Nil, false).is_empty());
        let odd = Value::Array(vec![Value::Array(vec![Value::Int(0), Value::Int(-5)]), Value::Int(3)]);
        assert!(parse(&odd, false).is_empty());
        let node = Value::Array(vec![Value::BulkString(b"127.0.0.1".to_vec()), Value::Int(7000)]);
        let good = Value::Array(vec![Value::Array(vec![Value::Int(0), Value::Int(16_383), node])]);
        assert_eq!(parse(&good, false), [((0, 16_383), ConnectionAddr::Tcp("127.0.0.1".to_owned(), 7000))]);
    }
}
