//! The shared tier: a Redis server, with claims so that one process loads, and pushes so that the others forget.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::redis::{Client, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, TlsCertificates};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::config::duration;
use crate::error::Error;
use crate::glob;
use crate::lifetime::millis;
use crate::tier::{Answer, Claim, Peers, Read, Record, Tier};

mod batch;
mod link;
mod nodes;
mod reads;
mod resp;
mod script;
mod slot;
mod strikes;
mod turn;

use link::Link;
use nodes::{Cluster, Nodes, Seeds};
use slot::Slot;

/// Settings of a [`Redis`] tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://[user:password@]host:port/db`, or `rediss://` for TLS. Default `redis://127.0.0.1:6379`.
    pub url: RedisUrl,
    /// Further servers of a cluster, as `url`: when there are any, `url` is a cluster's server too, and each key goes to the master of
    /// its slot. Two or three are enough to find the others. Default none.
    pub cluster: Vec<RedisUrl>,
    /// PEM file of the authority that signed the server's certificate, in place of those that the machine trusts; with a `rediss://`
    /// address alone. Default none.
    pub ca: Option<PathBuf>,
    /// What all keys begin with; a cache of its own needs a prefix of its own. Default `"tidemill:"`.
    pub prefix: String,
    /// How long a process may load before another does: longer than a load takes. Default `"30s"`.
    #[serde(with = "duration")]
    pub claim: Duration,
    /// How long an answer may take. Default `"250ms"`.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            url: RedisUrl("redis://127.0.0.1:6379".to_owned()),
            cluster: Vec::new(),
            ca: None,
            prefix: "tidemill:".to_owned(),
            claim: Duration::from_secs(30),
            timeout: Duration::from_millis(250),
        }
    }
}

/// An address that may hold a password: it prints as `***`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct RedisUrl(String);

impl From<String> for RedisUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for RedisUrl {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str("***")
    }
}

/// A Redis server that several processes share. Needs the feature `redis`, Redis 6 or later, and a tokio runtime.
///
/// **Coherence.** The server tells each process what others write or remove (RESP3 tracking of the prefix), and its memory
/// tier forgets it: a stale read after a change ends one push later. A lost connection empties the memory tier at once
/// and again when it is back; what is loaded in between is believed for its life, at most until then. Ages are those of the
/// machines' wall clocks.
///
/// **One load.** A miss puts a claim into the key itself. While it stands, other processes wait; only its holder may put the
/// value there, and a removal takes it away, so that a load never comes after a later removal.
///
/// **Reads.** Those of many tasks share round trips. A single server without TLS is read by a second connection of its own, of at most 256
/// keys a turn and 4096 that wait; a user who may not call `INFO` has only one, and reads by it.
///
/// **Cluster.** With [`RedisConfig::cluster`], a key goes to the master of its slot, and each master tells what changes. While one is
/// down its keys are loaded by each process for itself; when its replica has taken over, everything that was written before counts as
/// absent, for the replica may lack what was acknowledged. Slots may move: the masters are looked for every second and when one of them
/// sends a key elsewhere. What others change in slots that move to a server that had none is heard of a second later at most.
pub struct Redis {
    nodes: Nodes,
    prefix: Vec<u8>,
    claim_ms: u64,
    claims: AtomicU64,
    process: u64,
}

impl Redis {
    /// Begins to connect, and goes on doing so when the connection is lost; an unreachable server is no error.
    ///
    /// # Errors
    /// `Config` when the address is none, or `ca` cannot be read.
    pub fn connect(config: &RedisConfig) -> Result<Self, Error> {
        if config.prefix.is_empty() || config.prefix.len() > 256 {
            return Err(Error::config("prefix", "must have 1 to 256 bytes".to_owned()));
        }
        if config.claim.is_zero() || config.timeout.is_zero() {
            return Err(Error::config("claim", "and `timeout` must be longer than nothing".to_owned()));
        }
        // Not the library's own message, which may quote the address and so the password.
        let bad = |_| Error::config("url", "is no redis:// or rediss:// address".to_owned());
        let certificates = match &config.ca {
            None => None,
            Some(path) => {
                let unread =
                    |error| Error::config("ca", format!("`{}` cannot be read: {error}", path.display()));
                Some(std::fs::read(path).map_err(unread)?)
            }
        };
        let with_info = move |info: ConnectionInfo| {
            let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
            let info = info.set_redis_settings(settings);
            match &certificates {
                None => Client::open(info),
                Some(root) => Client::build_with_tls(
                    info,
                    TlsCertificates { client_tls: None, root_cert: Some(root.clone()) },
                ),
            }
        };
        let open = |url: &RedisUrl| {
            let info = url.0.as_str().into_connection_info().map_err(bad)?;
            let unfit = |_| {
                Error::config(
                    "ca",
                    "does not fit: it goes with a rediss:// address and a PEM file".to_owned(),
                )
            };
            with_info(info).map_err(unfit)
        };
        let client = open(&config.url)?;
        let process = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id());
        let (prefix, life) = (config.prefix.clone().into_bytes(), process & 0xFF_FFFF);
        let nodes = if config.cluster.is_empty() {
            Nodes::One(Arc::new(Link::start(client, prefix.clone(), config.timeout, life)))
        } else {
            let others = config.cluster.iter().map(open).collect::<Result<Vec<Client>, Error>>()?;
            let info = client.get_connection_info().clone();
            let clients = std::iter::once(client).chain(others).collect();
            let connect = Arc::new(move |address| with_info(info.clone().set_addr(address)));
            let seeds = Seeds { clients, connect, timeout: config.timeout.max(Duration::from_secs(1)) };
            Nodes::Cluster(Cluster::start(seeds, prefix.clone(), config.timeout, life))
        };
        Ok(Self { nodes, prefix, claim_ms: millis(config.claim).max(1), claims: AtomicU64::new(0), process })
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        [&self.prefix[..], key].concat()
    }

    fn next_claim(&self) -> Claim {
        let number = self.claims.fetch_add(1, Ordering::Relaxed);
        Claim(u128::from(self.process) << 64 | u128::from(number))
    }

    /// `None`: absent, for it is of another version, struck, or past its life.
    fn judge(&self, bytes: &[u8]) -> Option<Read> {
        match slot::decode(bytes, now_ms()) {
            Slot::Claimed => Some(Read::Claimed),
            Slot::Value { record, generation } => {
                let lives = record.life.is_none_or(|life| record.age < life);
                let counter = self.nodes.counter();
                let valid = lives && counter.is_ok_and(|counter| counter.is_valid(generation, &record.tags));
                valid.then_some(Read::Found(record))
            }
            Slot::Unknown => None,
        }
    }
}

impl Tier for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn read<'a>(&'a self, key: &'a [u8], claim: bool) -> Answer<'a, Read> {
        Box::pin(async move {
            let key = self.key(key);
            self.nodes.trusted().await?;
            let link = self.nodes.of(&key)?;
            let there = match link.get(&key).await {
                Ok(there) => there,
                Err(error) => {
                    let error = error.downcast::<::redis::RedisError>()?;
                    let mut get = ::redis::cmd("GET");
                    let there: Option<Vec<u8>> = self.nodes.follow(*error, get.arg(&key[..])).await?;
                    there.map(Bytes::from)
                }
            };
            self.nodes.counter()?.settled().await;
            if let Some(bytes) = there {
                if let Some(read) = self.judge(&bytes) {
                    return Ok(read);
                }
                if !claim {
                    return Ok(Read::Absent(None));
                }
                // What counts for nobody makes room for a claim, unless it has changed since.
                let () = self.nodes.step(&script::RELEASE, &key, &[&bytes]).await?;
            }
            if !claim {
                return Ok(Read::Absent(None));
            }
            let claim = self.next_claim();
            let (token, claim_ms) = (slot::claim(claim), self.claim_ms.to_string());
            let there: Option<Vec<u8>> =
                self.nodes.step(&script::CLAIM, &key, &[&token, claim_ms.as_bytes()]).await?;
            Ok(match there {
                None => Read::Absent(Some(claim)),
                // Somebody was faster; what it wrote may be judged at the next look.
                Some(bytes) => self.judge(&bytes).unwrap_or(Read::Claimed),
            })
        })
    }

    fn write<'a>(&'a self, key: &'a [u8], record: Record, claim: Option<Claim>) -> Answer<'a, bool> {
        Box::pin(async move {
            let key = self.key(key);
            let left = record.life.map(|life| life.saturating_sub(record.age));
            if left.is_some_and(|left| left < Duration::from_millis(1)) {
                return Ok(false);
            }
            // 0 is for ever.
            let left_ms = left.map_or(0, millis);
            let bytes = slot::encode(&record, now_ms());
            let Some(claim) = claim else {
                let mut set = ::redis::cmd("SET");
                set.arg(&key[..]).arg(bytes);
                if left_ms > 0 {
                    set.arg("PX").arg(left_ms);
                }
                let () = self.nodes.run(&key, &set).await?;
                return Ok(true);
            };
            let (claim, left_ms) = (slot::claim(claim), left_ms.to_string());
            self.nodes.step(&script::FILL, &key, &[&claim, &bytes, left_ms.as_bytes()]).await
        })
    }

    fn release<'a>(&'a self, key: &'a [u8], claim: Claim) -> Answer<'a, ()> {
        Box::pin(
            async move { self.nodes.step(&script::RELEASE, &self.key(key), &[&slot::claim(claim)]).await },
        )
    }

    fn remove<'a>(&'a self, key: &'a [u8]) -> Answer<'a, ()> {
        Box::pin(async move {
            let key = self.key(key);
            let mut delete = ::redis::cmd("DEL");
            self.nodes.run(&key, delete.arg(&key[..])).await
        })
    }

    fn remove_matching<'a>(&'a self, pattern: &'a [u8]) -> Answer<'a, u64> {
        let pattern = [glob::escaped(&self.prefix), glob::for_redis(pattern)].concat();
        Box::pin(async move {
            // Without a master, none of its keys is swept.
            self.nodes.counter()?;
            let mut removed = 0;
            for link in self.nodes.all() {
                removed += link.sweep(&pattern).await?;
            }
            Ok(removed)
        })
    }

    fn invalidate_tag(&self, tag: u32) -> Answer<'_, ()> {
        Box::pin(async move { self.nodes.counter()?.strike(&(tag % strikes::SLOTS).to_string()).await })
    }

    fn invalidate_all(&self) -> Answer<'_, ()> {
        Box::pin(async move { self.nodes.counter()?.strike(strikes::EVERYTHING).await })
    }

    fn generation(&self) -> u64 {
        self.nodes.counter().map_or(0, |link| link.generation())
    }

    fn listen(&self, peers: Weak<dyn Peers>) {
        self.nodes.listen(peers);
    }
}

/// Wall-clock time, as all machines have it.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}
