//! The Redis tier on a cluster of three masters and three replicas, one of which is killed while it is asked.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidemill_cache::{Cache, Config, Json, Redis, RedisConfig};

use crate::SECOND;
use crate::redis_server::Server;

const KEYS: u64 = 300;

type Numbers = Cache<u64, u64>;

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Six servers that know one another; the first three are masters.
fn cluster() -> Option<Vec<Server>> {
    let arguments = |_: &Path, port: u16| {
        let text = format!(
            "--port {port} --cluster-enabled yes --cluster-config-file nodes.conf --cluster-node-timeout 1500 \
             --repl-diskless-sync-delay 0 --cluster-port {}",
            free_port()
        );
        text.split(' ').map(str::to_owned).collect()
    };
    let servers = (0..6).map(|_| Server::start_with(arguments)).collect::<Option<Vec<Server>>>()?;
    let mut create = Command::new("redis-cli");
    create.args(["--cluster", "create"]);
    create.args(servers.iter().map(|server| format!("127.0.0.1:{}", server.port())));
    create.args(["--cluster-replicas", "1", "--cluster-yes"]);
    let made = create.stdin(Stdio::null()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
    // A replica that has never had its master's data does not take over.
    let began = Instant::now();
    while !servers[..3].iter().all(has_a_replica) {
        assert!(began.elapsed() < 120 * SECOND, "the replicas do not come");
        std::thread::sleep(Duration::from_millis(100));
    }
    Some(servers)
}

fn has_a_replica(server: &Server) -> bool {
    let port = server.port().to_string();
    let says = Command::new("redis-cli").args(["-p", &port, "info", "replication"]).output().unwrap();
    String::from_utf8_lossy(&says.stdout).contains("state=online")
}

fn cache(servers: &[Server]) -> Numbers {
    let mut urls = servers.iter().map(|server| server.url().into());
    let url = urls.next().unwrap();
    let timeout = Duration::from_millis(500);
    let redis = RedisConfig { url, cluster: urls.collect(), timeout, ..RedisConfig::default() };
    let (tier_timeout, tier_rest) = (SECOND, Duration::from_millis(100));
    let config = Config { tier_timeout, tier_rest, ..Config::default() };
    Cache::builder(config).codec(Json).tier(Redis::connect(&redis).unwrap()).build().unwrap()
}

/// What a backend has: the number of times a key was changed.
#[derive(Default)]
struct Backend(Vec<AtomicU64>);

impl Backend {
    fn value(&self, key: u64) -> u64 {
        key << 32 | self.0[usize::try_from(key).unwrap()].load(Ordering::SeqCst)
    }
}

async fn ask(cache: &Numbers, backend: &Arc<Backend>, key: u64) -> u64 {
    let backend = Arc::clone(backend);
    let load = move |key| async move { Ok::<_, io::Error>(backend.value(key)) };
    cache.get_or_load(&key, load).await.unwrap()
}

/// Until every key of the cluster is written and found.
async fn whole(cache: &Numbers, backend: &Arc<Backend>) -> Duration {
    let began = Instant::now();
    loop {
        let before = cache.stats().tiers[0];
        for key in 0..KEYS {
            cache.memory().remove(&key);
            ask(cache, backend, key).await;
            cache.memory().remove(&key);
            ask(cache, backend, key).await;
        }
        let now = cache.stats().tiers[0];
        if now.hits - before.hits >= KEYS && now.failures == before.failures && now.skipped == before.skipped
        {
            return began.elapsed();
        }
        assert!(began.elapsed() < 120 * SECOND, "the cluster does not come back: {now:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_is_no_error_and_no_wrong_value() {
    let Some(mut servers) = cluster() else { return };
    let (one, other) = (cache(&servers), cache(&servers));
    let backend = Arc::new(Backend((0..KEYS).map(|_| AtomicU64::new(0)).collect()));
    whole(&one, &backend).await;
    whole(&other, &backend).await;
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..8_u64)
        .map(|task| {
            let cache = if task % 2 == 0 { one.clone() } else { other.clone() };
            let (backend, stop) = (Arc::clone(&backend), Arc::clone(&stop));
            tokio::spawn(async move {
                let (mut asked, mut key) = (0_u64, task);
                while !stop.load(Ordering::Relaxed) {
                    key = (key * 31 + 7) % KEYS;
                    if asked.is_multiple_of(5) && key % 8 == task {
                        // One writer a key, and what it wrote its own process reads.
                        let write = |key: u64, _| {
                            let backend = Arc::clone(&backend);
                            async move {
                                backend.0[usize::try_from(key).unwrap()].fetch_add(1, Ordering::SeqCst);
                                Ok::<_, io::Error>(())
                            }
                        };
                        let next = backend.value(key) + 1;
                        cache.write_through(key, next, write).await.unwrap();
                        assert!(ask(&cache, &backend, key).await >= next, "older than what was written");
                    } else {
                        if key % 3 == 0 {
                            cache.memory().remove(&key);
                        }
                        let seen = ask(&cache, &backend, key).await;
                        assert!(seen >> 32 == key && seen <= backend.value(key), "{seen} is not of {key}");
                    }
                    asked += 1;
                    // Who is answered from memory only would leave no core to the six servers that have to agree.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                asked
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    servers[1].kill();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let back = whole(&one, &backend).await + Duration::from_millis(300);
    stop.store(true, Ordering::Relaxed);
    let mut asked = 0;
    for reader in readers {
        asked += reader.await.unwrap();
    }
    assert!(asked > 100, "{asked}");
    // Everybody agrees with the backend again.
    whole(&other, &backend).await;
    for cache in [&one, &other] {
        for key in 0..KEYS {
            cache.memory().remove(&key);
            assert_eq!(
                ask(cache, &backend, key).await,
                backend.value(key),
                "key {key}, {asked} asked, back {back:?}"
            );
        }
    }
    if std::env::var_os("TIDEMILL_TEST_FULL").is_some() {
        assert!(back < 10 * SECOND, "{back:?}");
    }
}
