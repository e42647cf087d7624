//! Which server has a key: the one there is, or one master of a cluster for each range of slots.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use redis::{Client, ConnectionAddr, RedisError, RedisResult, Value};

use super::link::{Disconnected, Link};
use crate::tier::{Peers, TierError};

/// Between two looks for the cluster's masters.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes a client for an address, with everything else as configured.
pub(super) type Connect = dyn Fn(ConnectionAddr) -> RedisResult<Client> + Send + Sync;

pub(super) enum Nodes {
    One(Link),
    Cluster(Cluster),
}

/// The masters of a cluster, each with the slots it had when they were first seen; who is a range's master is asked at each
/// connection. A cluster that is cut anew wants new processes.
pub(super) struct Cluster {
    shards: Arc<OnceLock<Vec<Shard>>>,
    counter: Vec<u8>,
    peers: Arc<Mutex<Option<Weak<dyn Peers>>>>,
    lost: Arc<AtomicBool>,
    task: tokio::task::AbortHandle,
}

struct Shard {
    slots: (u16, u16),
    link: Link,
}

/// Where to ask who is the master of a slot.
pub(super) struct Seeds {
    pub(super) clients: Vec<Client>,
    pub(super) connect: Arc<Connect>,
    pub(super) timeout: Duration,
}

impl Seeds {
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
                    let tls = matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. });
                    let masters = parse(&slots, tls);
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
        let (shards, peers) = (Arc::new(OnceLock::new()), Arc::new(Mutex::new(None::<Weak<dyn Peers>>)));
        let (lost, counter) =
            (Arc::new(AtomicBool::new(false)), [&prefix[..], super::link::COUNTER].concat());
        let task = tokio::spawn({
            let (shards, peers, lost, counter) =
                (Arc::clone(&shards), Arc::clone(&peers), Arc::clone(&lost), counter.clone());
            async move {
                let seeds = Arc::new(seeds);
                let masters = loop {
                    if let Ok(masters) = seeds.masters().await {
                        break masters;
                    }
                    tokio::time::sleep(PAUSE).await;
                };
                let shard = |(slots, _): ((u16, u16), ConnectionAddr)| {
                    let counts = (slots.0..=slots.1).contains(&slot(&counter));
                    let lost = Arc::clone(&lost);
                    let link = Link::of_slot(
                        Arc::clone(&seeds),
                        slots.0,
                        prefix.clone(),
                        timeout,
                        life,
                        counts,
                        lost,
                    );
                    if let Some(peers) = peers.lock().unwrap_or_else(PoisonError::into_inner).clone() {
                        link.listen(peers);
                    }
                    Shard { slots, link }
                };
                _ = shards.set(masters.into_iter().map(shard).collect());
            }
        });
        Self { shards, counter, peers, lost, task: task.abort_handle() }
    }

    fn of(&self, key: &[u8]) -> Result<&Link, Disconnected> {
        let slot = slot(key);
        let shards = self.shards.get().ok_or(Disconnected)?;
        let shard = shards.iter().find(|shard| (shard.slots.0..=shard.slots.1).contains(&slot));
        Ok(&shard.ok_or(Disconnected)?.link)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Nodes {
    /// Who has the key, which begins with the prefix.
    pub(super) fn of(&self, key: &[u8]) -> Result<&Link, Disconnected> {
        match self {
            Self::One(link) => Ok(link),
            Self::Cluster(cluster) => cluster.of(key),
        }
    }

    /// Who counts generations.
    pub(super) fn counter(&self) -> Result<&Link, Disconnected> {
        match self {
            Self::One(link) => Ok(link),
            Self::Cluster(cluster) => cluster.of(&cluster.counter),
        }
    }

    pub(super) fn all(&self) -> Vec<&Link> {
        match self {
            Self::One(link) => vec![link],
            Self::Cluster(cluster) => cluster
                .shards
                .get()
                .map_or_else(Vec::new, |shards| shards.iter().map(|shard| &shard.link).collect()),
        }
    }

    pub(super) fn listen(&self, peers: Weak<dyn Peers>) {
        if let Self::Cluster(cluster) = self {
            *cluster.peers.lock().unwrap_or_else(PoisonError::into_inner) = Some(peers.clone());
        }
        self.all().into_iter().for_each(|link| link.listen(peers.clone()));
    }

    /// After a failover, a master may lack what the last one had acknowledged, removals among it: then nothing that was written
    /// before counts any more.
    pub(super) async fn trusted(&self) -> Result<(), TierError> {
        let Self::Cluster(cluster) = self else { return Ok(()) };
        if cluster.lost.load(Ordering::Acquire) {
            self.counter()?.renew().await?;
            cluster.lost.store(false, Ordering::Release);
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
