//! The Redis tier on a server of our own: coherence, one load over processes, a killed and a frozen server.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidemill_cache::{Cache, Config, ErrorKind, Json, Memory, Namespace, Redis, RedisConfig};

use crate::SECOND;
use crate::redis_server::Server;

type Prices = Cache<u64, String>;

fn cache(url: &str, prefix: &str) -> Prices {
    cache_of(RedisConfig { url: url.to_owned().into(), prefix: prefix.to_owned(), ..RedisConfig::default() })
}

fn cache_of(redis: RedisConfig) -> Prices {
    let redis = RedisConfig { timeout: Duration::from_secs(5), ..redis };
    // Patient, for a test machine may be busy.
    let config =
        Config { tier_timeout: 5 * SECOND, tier_rest: Duration::from_millis(50), ..Config::default() };
    let memory = Memory::builder(config)
        .tags(|key: &u64, _: &String, tags| tags.add(if *key < 10 { "low" } else { "high" }));
    Cache::builder(memory).codec(Json).tier(Redis::connect(&redis).unwrap()).build().unwrap()
}

async fn ask(cache: &Prices, key: u64, value: &str, loads: &Arc<AtomicU64>) -> String {
    let (loads, value) = (Arc::clone(loads), value.to_owned());
    let load = move |_| async move {
        loads.fetch_add(1, Ordering::Relaxed);
        Ok::<_, io::Error>(value)
    };
    cache.get_or_load(&key, load).await.unwrap()
}

async fn eventually(what: &str, mut test: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !test().await {
        assert!(began.elapsed() < 60 * SECOND, "{what} does not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Until its tier answers.
async fn up(cache: &Prices) {
    eventually("the connection", async || {
        let before = cache.stats().tiers[0];
        cache.insert(0, "up".to_owned()).await;
        cache.stats().tiers[0].writes > before.writes
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_tier_is_shared_and_survives_what_servers_do() {
    let Some(mut server) = Server::start() else { return };
    let url = server.url();
    what_one_loads_the_other_finds(&url).await;
    a_change_reaches_the_other(&url).await;
    tags_reach_the_other(&url).await;
    namespaces_reach_the_other(&url).await;
    patterns_reach_the_other(&url).await;
    a_removal_ends_anothers_load(&url).await;
    what_counts_for_nobody_is_replaced(&url).await;
    four_processes_load_once(&url).await;
    reads_do_without_a_connection_of_their_own(&url).await;
    a_frozen_server_costs_time_and_no_error(&server).await;
    a_killed_server_is_no_error(&mut server).await;
}

async fn what_one_loads_the_other_finds(url: &str) {
    let (one, other, loads) = (cache(url, "a:"), cache(url, "a:"), Arc::default());
    up(&one).await;
    up(&other).await;
    assert_eq!(ask(&one, 1, "a", &loads).await, "a");
    assert_eq!(ask(&other, 1, "b", &loads).await, "a");
    assert_eq!(loads.load(Ordering::Relaxed), 1);
}

async fn a_change_reaches_the_other(url: &str) {
    let (one, other, loads) = (cache(url, "b:"), cache(url, "b:"), Arc::default());
    up(&one).await;
    up(&other).await;
    ask(&one, 1, "old", &loads).await;
    eventually("the old value", async || other.get(&1).await.as_deref() == Some("old")).await;
    one.insert(1, "new".to_owned()).await;
    eventually("the push", async || other.get(&1).await.as_deref() == Some("new")).await;
    one.remove(&1).await;
    eventually("the push", async || other.get(&1).await.is_none()).await;
}

async fn tags_reach_the_other(url: &str) {
    let (one, other, loads) = (cache(url, "c:"), cache(url, "c:"), Arc::default());
    up(&one).await;
    up(&other).await;
    for key in [1, 11] {
        ask(&one, key, "old", &loads).await;
        ask(&other, key, "old", &loads).await;
    }
    one.invalidate_tag("low").await;
    assert_eq!(one.get(&1).await, None);
    eventually("the push", async || other.get(&1).await.is_none()).await;
    assert_eq!(other.get(&11).await.as_deref(), Some("old"));
    assert_eq!(ask(&other, 1, "new", &loads).await, "new");
    eventually("the new value", async || one.get(&1).await.as_deref() == Some("new")).await;
    one.invalidate_all().await;
    eventually("the push", async || other.get(&11).await.is_none()).await;
}

const LOW: Namespace = Namespace::new("low");
const HIGH: Namespace = Namespace::new("high");
const ODD: Namespace = Namespace::new("odd");

async fn namespaces_reach_the_other(url: &str) {
    let cache = || -> Prices {
        let memory = Memory::builder(Config { tier_timeout: 5 * SECOND, ..Config::default() });
        let memory =
            memory.tags(|_: &u64, _: &String, tags| tags.add("low")).namespaces([LOW, HIGH], |key, _| {
                if *key == 5 { ODD } else { [LOW, HIGH][usize::from(*key > 9)] }
            });
        let redis =
            RedisConfig { url: url.to_owned().into(), prefix: "n:".to_owned(), ..RedisConfig::default() };
        Cache::builder(memory).codec(Json).tier(Redis::connect(&redis).unwrap()).build().unwrap()
    };
    let (one, other, loads) = (cache(), cache(), Arc::default());
    up(&one).await;
    up(&other).await;
    for key in [1, 11] {
        ask(&one, key, "old", &loads).await;
        assert_eq!(ask(&other, key, "?", &loads).await, "old");
    }
    one.invalidate_namespace(LOW).await.unwrap();
    assert_eq!(one.get(&1).await, None);
    eventually("the push", async || other.get(&1).await.is_none()).await;
    assert_eq!(other.get(&11).await.as_deref(), Some("old"), "a tag of the same name is another thing");
    assert_eq!(ask(&other, 1, "new", &loads).await, "new");
    ask(&one, 5, "nobody's", &loads).await;
    assert_eq!(one.get(&5).await, None, "of no namespace that was declared");
    let error = one.invalidate_namespace(ODD).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("low, high"), "{error}");
}

async fn patterns_reach_the_other(url: &str) {
    // A prefix that would be a pattern itself.
    let (one, other) = (cache(url, "p[a]*:"), cache(url, "p[a]*:"));
    up(&one).await;
    up(&other).await;
    for key in 1000..2000 {
        one.insert(key, "old".to_owned()).await;
    }
    for key in [1000, 1100, 1199] {
        eventually("the value", async || other.get(&key).await.is_some()).await;
    }
    one.remove_matching("11??").await.unwrap();
    for key in [1100, 1199] {
        assert!(one.get(&key).await.is_none());
        eventually("the push", async || other.get(&key).await.is_none()).await;
    }
    assert!(one.get(&1000).await.is_some() && other.get(&1000).await.is_some());
}

async fn a_removal_ends_anothers_load(url: &str) {
    let (one, other, loads) = (cache(url, "d:"), cache(url, "d:"), Arc::default());
    up(&one).await;
    up(&other).await;
    let (begun, go) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let slow = {
        let (one, begun, go) = (one.clone(), Arc::clone(&begun), Arc::clone(&go));
        tokio::spawn(async move {
            let load = move |_| async move {
                begun.notify_one();
                go.notified().await;
                Ok::<_, io::Error>("old".to_owned())
            };
            one.get_or_load(&1, load).await.unwrap()
        })
    };
    begun.notified().await;
    other.remove(&1).await;
    go.notify_one();
    assert_eq!(slow.await.unwrap(), "old");
    assert_eq!(one.stats().tiers[0].writes_refused, 1);
    assert_eq!(ask(&other, 1, "new", &loads).await, "new");
}

async fn what_counts_for_nobody_is_replaced(url: &str) {
    let (one, loads) = (cache(url, "e:"), Arc::default());
    up(&one).await;
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let () = redis::cmd("SET").arg("e:1").arg("somebody else's").query_async(&mut connection).await.unwrap();
    assert_eq!(ask(&one, 1, "a", &loads).await, "a");
    one.memory().remove(&1);
    assert_eq!(ask(&one, 1, "b", &loads).await, "a", "it was written");
}

/// The connections of caches that only read, by their numbers.
async fn readers(url: &str) -> Vec<u64> {
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let list: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut connection).await.unwrap();
    let ours = list.lines().filter(|line| line.contains("name=tidemill-cache-reads"));
    ours.map(|line| line["id=".len()..].split(' ').next().unwrap().parse().unwrap()).collect()
}

/// It is cut again and again while eight tasks read, and one user may not have it at all: nobody sees a failure or another's value.
async fn reads_do_without_a_connection_of_their_own(url: &str) {
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let rule = ["limited", "on", ">secret", "~*", "&*", "+@all", "-info"];
    let () = redis::cmd("ACL").arg("SETUSER").arg(&rule).query_async(&mut connection).await.unwrap();
    eventually("the end of earlier caches", async || readers(url).await.is_empty()).await;
    let limited = cache(&url.replace("//", "//limited:secret@"), "r:");
    up(&limited).await;
    assert!(readers(url).await.is_empty(), "it does not know which server it would be");
    let one = cache(url, "r:");
    up(&one).await;
    eventually("its own connection", async || !readers(url).await.is_empty()).await;
    // Not key 0, whose removal both owe since they had no connection. The pushes come in the order of the changes.
    limited.insert(99, "old".to_owned()).await;
    for key in 1..100 {
        one.insert(key, format!("of {key}")).await;
    }
    eventually("the last push", async || limited.memory().get(&99).is_none()).await;
    let before = [&one, &limited].map(|cache| cache.stats().tiers[0]);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let tasks: Vec<_> = (0..8_u64)
        .map(|task| {
            let cache = if task % 4 == 0 { limited.clone() } else { one.clone() };
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let (mut key, loads) = (task, Arc::default());
                while !stop.load(Ordering::Relaxed) {
                    key = 1 + (key * 7 + 3) % 99;
                    cache.memory().remove(&key);
                    assert_eq!(ask(&cache, key, "loaded", &loads).await, format!("of {key}"));
                }
            })
        })
        .collect();
    let mut seen = Vec::new();
    for _ in 0..5 {
        eventually("another connection", async || readers(url).await.iter().any(|id| !seen.contains(id)))
            .await;
        for id in readers(url).await {
            let kill = redis::cmd("CLIENT").arg("KILL").arg("ID").arg(id).to_owned();
            let _: u64 = kill.query_async(&mut connection).await.unwrap();
            seen.push(id);
        }
    }
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    for (cache, before) in [&one, &limited].into_iter().zip(before) {
        let now = cache.stats().tiers[0];
        assert!(now.hits > before.hits, "{now:?}");
        assert_eq!((now.failures, now.misses), (before.failures, before.misses), "{now:?}");
    }
}

/// A thousand callers in each of four processes, on one cold key.
async fn four_processes_load_once(url: &str) {
    for round in 0..3 {
        let prefix = format!("f{round}:");
        let children: Vec<_> = (0..4)
            .map(|_| {
                let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
                command.args(["redis::one_of_four_processes", "--exact", "--nocapture"]);
                command.env("TIDEMILL_TEST_CHILD_URL", url).env("TIDEMILL_TEST_CHILD_PREFIX", &prefix);
                command.stdout(std::process::Stdio::piped()).spawn().unwrap()
            })
            .collect();
        let mut loads = 0;
        for child in children {
            let output = child.wait_with_output().await.unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success(), "{text}");
            let line = text.lines().find_map(|line| line.split_once("LOADS=")).unwrap();
            loads += line.1.trim().parse::<u64>().unwrap();
        }
        assert_eq!(loads, 1, "in round {round}");
    }
}

/// A process that the test above starts; alone it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_four_processes() {
    let variable = |name: &str| std::env::var(name).ok();
    let Some(url) = variable("TIDEMILL_TEST_CHILD_URL") else { return };
    let cache = cache(&url, &variable("TIDEMILL_TEST_CHILD_PREFIX").unwrap());
    up(&cache).await;
    let loads: Arc<AtomicU64> = Arc::default();
    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            let (cache, loads) = (cache.clone(), Arc::clone(&loads));
            tokio::spawn(async move {
                let load = move |_| async move {
                    loads.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    Ok::<_, io::Error>("a".to_owned())
                };
                cache.get_or_load(&42, load).await.unwrap()
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), "a");
    }
    println!("LOADS={}", loads.load(Ordering::Relaxed));
}

async fn a_frozen_server_costs_time_and_no_error(server: &Server) {
    let redis = RedisConfig {
        url: server.url().into(),
        prefix: "g:".to_owned(),
        timeout: Duration::from_millis(100),
        ..RedisConfig::default()
    };
    let config = Config { tier_timeout: Duration::from_millis(100), ..Config::default() };
    let one: Prices =
        Cache::builder(config).codec(Json).tier(Redis::connect(&redis).unwrap()).build().unwrap();
    up(&one).await;
    let loads = Arc::default();
    server.freeze(true);
    for key in 100..120 {
        assert_eq!(ask(&one, key, "a", &loads).await, "a");
    }
    assert!(one.stats().tiers[0].failures >= 1);
    server.freeze(false);
    up(&one).await;
}

/// While it is away both load for themselves; when it is back they agree again.
async fn a_killed_server_is_no_error(server: &mut Server) {
    let (one, other, loads) = (cache(&server.url(), "h:"), cache(&server.url(), "h:"), Arc::default());
    up(&one).await;
    up(&other).await;
    ask(&one, 1, "old", &loads).await;
    assert_eq!(ask(&other, 1, "?", &loads).await, "old");
    server.kill();
    eventually("the loss", async || other.memory().get(&1).is_none()).await;
    assert_eq!(ask(&one, 2, "a", &loads).await, "a");
    one.remove(&1).await;
    server.restart();
    up(&one).await;
    up(&other).await;
    assert_eq!(ask(&one, 1, "new", &loads).await, "new");
    eventually("agreement", async || ask(&other, 1, "new", &loads).await == "new").await;
}

#[tokio::test]
async fn an_address_that_is_none_is_not_quoted() {
    let config = RedisConfig { url: "http://user:secret@host".to_owned().into(), ..RedisConfig::default() };
    assert!(!format!("{config:?}").contains("secret"));
    assert!(!serde_json::to_string(&config).unwrap().contains("secret"));
    let error = Redis::connect(&config).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_and_tls_are_asked_for_and_given() {
    let certificate = |dir: &Path| {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    };
    let arguments = |dir: &Path, port: u16| {
        certificate(dir);
        let text = format!(
            "--port 0 --tls-port {port} --tls-cert-file cert.pem --tls-key-file key.pem --tls-ca-cert-file cert.pem \
             --tls-auth-clients no --requirepass open-sesame"
        );
        text.split(' ').map(str::to_owned).collect()
    };
    let Some(server) = Server::start_with(arguments) else { return };
    let config = |password: &str, ca: Option<PathBuf>| {
        let url = format!("rediss://:{password}@localhost:{}", server.port());
        RedisConfig { url: url.into(), ca, ..RedisConfig::default() }
    };
    let ca = Some(server.dir().join("cert.pem"));
    let good = cache_of(config("open-sesame", ca.clone()));
    up(&good).await;
    for (refused, why) in [(config("guess", ca), "password"), (config("open-sesame", None), "certificate")] {
        assert!(!format!("{refused:?}").contains("sesame"));
        let (bad, loads) = (cache_of(refused), Arc::default());
        assert_eq!(ask(&bad, 0, "loaded", &loads).await, "loaded", "no error to callers for a wrong {why}");
        assert_eq!(bad.stats().tiers[0].hits, 0, "{why}");
    }
    let none = RedisConfig { ca: Some("no-such-file".into()), ..config("open-sesame", None) };
    let said = Redis::connect(&none).map(drop).unwrap_err();
    assert!(said.kind() == ErrorKind::Config && !said.to_string().contains("sesame"), "{said}");
}
