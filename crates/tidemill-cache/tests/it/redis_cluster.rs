//! The Redis tier on a cluster of three masters and three replicas, while slots move, a server freezes, the network is cut
//! and a master dies.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidemill_cache::{Cache, Config, Json, Redis, RedisConfig};

use crate::SECOND;
use crate::proxy::Proxy;
use crate::redis_server::Server;

const KEYS: u64 = 300;

type Numbers = Cache<u64, u64>;

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A server of the cluster, which everybody asks through a proxy.
struct Node {
    server: Server,
    proxy: Proxy,
}

impl Node {
    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.proxy.port())
    }

    fn says(&self, words: &[&str]) -> String {
        redis_cli(&[&["-p", &self.server.port().to_string()], words].concat())
    }

    /// A replica that has never had its master's data does not take over.
    fn may_be_lost(&self) -> bool {
        let says = self.says(&["info", "replication"]);
        says.contains("role:master") && says.contains("state=online")
    }
}

fn redis_cli(words: &[&str]) -> String {
    let made = Command::new("redis-cli").args(words).stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&made.stdout).into_owned()
}

/// Six servers that know one another; the first three are masters.
async fn cluster() -> Option<Vec<Node>> {
    let mut nodes = Vec::new();
    for _ in 0..6 {
        let proxy = Proxy::start().await;
        let server = Server::start_with(|_: &Path, port: u16| {
            let text = format!(
                "--port {port} --cluster-enabled yes --cluster-config-file nodes.conf --cluster-node-timeout 1500 \
                 --repl-diskless-sync-delay 0 --cluster-port {} --cluster-announce-port {}",
                free_port(),
                proxy.port()
            );
            text.split(' ').map(str::to_owned).collect()
        })?;
        proxy.lead_to(server.port());
        nodes.push(Node { server, proxy });
    }
    let addresses: Vec<String> = nodes.iter().map(Node::address).collect();
    let made = blocking(move || {
        let addresses = addresses.iter().map(String::as_str);
        let words = ["--cluster", "create"].into_iter().chain(addresses);
        redis_cli(&words.chain(["--cluster-replicas", "1", "--cluster-yes"]).collect::<Vec<&str>>())
    });
    let made = made.await;
    assert!(made.contains("All 16384 slots covered"), "{made}");
    let began = Instant::now();
    while !nodes[..3].iter().all(Node::may_be_lost) {
        assert!(began.elapsed() < 120 * SECOND, "the replicas do not come");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Some(nodes)
}

/// Off the threads that move the proxies' bytes.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn cache(nodes: &[Node]) -> Numbers {
    let mut urls = nodes.iter().map(|node| format!("redis://{}", node.address()).into());
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

/// Eight tasks that read, write and judge what they see, until they are told to stop; how often they asked.
struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<u64>>,
}

impl Load {
    fn start(caches: [&Numbers; 2], backend: &Arc<Backend>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = |task: u64| {
            let cache = caches[usize::from(task % 2 == 1)].clone();
            let (backend, stop) = (Arc::clone(backend), Arc::clone(&stop));
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
        };
        let tasks = (0..8).map(task).collect();
        Self { stop, tasks }
    }

    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut asked = 0;
        for task in self.tasks {
            asked += task.await.unwrap();
        }
        asked
    }
}

/// Under load, `disturb` happens: no caller sees an error or a wrong value, the cluster's tier is whole again within ten seconds
/// of a machine that is not busy, and at the end both processes agree with the backend.
#[expect(clippy::print_stdout, reason = "at length, how long it took is the result")]
async fn disturbed(what: &str, caches: [&Numbers; 2], backend: &Arc<Backend>, disturb: impl AsyncFnOnce()) {
    let load = Load::start(caches, backend);
    tokio::time::sleep(Duration::from_millis(200)).await;
    disturb().await;
    let back = whole(caches[0], backend).await;
    let asked = load.end().await;
    assert!(asked > 100, "{what}: {asked}");
    whole(caches[1], backend).await;
    for cache in caches {
        for key in 0..KEYS {
            cache.memory().remove(&key);
            let there = ask(cache, backend, key).await;
            assert_eq!(there, backend.value(key), "{what}: key {key}, {asked} asked, back {back:?}");
        }
    }
    if std::env::var_os("TIDEMILL_TEST_FULL").is_some() {
        println!("{what}: {asked} asked, whole again after {back:?}");
        assert!(back < 10 * SECOND, "{what}: {back:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_to_a_cluster_is_no_error_and_no_wrong_value() {
    let Some(mut nodes) = cluster().await else { return };
    let (one, other) = (cache(&nodes), cache(&nodes));
    let backend = Arc::new(Backend((0..KEYS).map(|_| AtomicU64::new(0)).collect()));
    whole(&one, &backend).await;
    whole(&other, &backend).await;
    let rounds = if std::env::var_os("TIDEMILL_TEST_FULL").is_some() { 3 } else { 1 };
    for round in 0..rounds {
        let caches = [&one, &other];
        let (from, to) = (round % 3, (round + 1) % 3);
        disturbed("slots move", caches, &backend, async || move_slots(&nodes, from, to).await).await;
        let lost = nodes.iter().position(Node::may_be_lost).unwrap();
        disturbed("a server is frozen", caches, &backend, async || {
            nodes[lost].server.freeze(true);
            tokio::time::sleep(4 * SECOND).await;
            nodes[lost].server.freeze(false);
        })
        .await;
        let cut = nodes.iter().rposition(|node| node.says(&["role"]).starts_with("master")).unwrap();
        disturbed("the network is cut", caches, &backend, async || {
            nodes[cut].proxy.cut(true);
            tokio::time::sleep(2 * SECOND).await;
            nodes[cut].proxy.cut(false);
        })
        .await;
    }
    let began = Instant::now();
    let lost = loop {
        if let Some(lost) = nodes.iter().position(Node::may_be_lost) {
            break lost;
        }
        assert!(began.elapsed() < 120 * SECOND, "no replica is there");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    disturbed("a master is killed", [&one, &other], &backend, async || {
        nodes[lost].server.kill();
        tokio::time::sleep(Duration::from_millis(300)).await;
    })
    .await;
}

/// Some hundred slots with their keys, from a master to another, as operators do it; those who ask do not know.
async fn move_slots(nodes: &[Node], from: usize, to: usize) {
    let masters: Vec<&Node> =
        nodes.iter().filter(|node| node.says(&["role"]).starts_with("master")).collect();
    let [from, to] = [from, to].map(|at| masters[at].says(&["cluster", "myid"]).trim().to_owned());
    let address = masters[0].address();
    let moved = blocking(move || {
        let words = ["--cluster", "reshard", &address, "--cluster-from", &from, "--cluster-to", &to];
        redis_cli(&[&words[..], &["--cluster-slots", "400", "--cluster-yes"]].concat())
    });
    let moved = moved.await;
    assert!(moved.contains("Moving slot") && !moved.contains("ERR"), "{moved}");
}
