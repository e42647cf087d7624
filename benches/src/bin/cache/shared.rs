//! The shared tier against a Redis server of its own: reads of many tasks beside redis-rs, and how soon a peer forgets.

use std::error::Error;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use tidemill_cache::{Cache, Config, Json, Read, Record, Redis, RedisConfig, Tier as _};
use tidemill_measure::{Better, Clock, Rounds, Row, Samples, UnitKind};
use tokio::runtime::Runtime;

const TASKS: u64 = 64;
/// Of each task.
const READS: u64 = 500;
const CHANGES: u64 = 2000;

pub(crate) fn run(rounds: &Rounds) -> Result<(), Box<dyn Error>> {
    let Some(server) = Server::start()? else {
        writeln!(std::io::stdout(), "SKIPPED: Redis is missing; install Debian's `redis-server`")?;
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    reads(&runtime, &server, rounds)?;
    peers(&runtime, &server)
}

/// 64 tasks read a kilobyte each, again and again.
fn reads(runtime: &Runtime, server: &Server, rounds: &Rounds) -> Result<(), Box<dyn Error>> {
    let (ours, theirs) = runtime.block_on(async {
        let ours = Arc::new(Redis::connect(&server.config())?);
        let theirs = server.client()?.get_multiplexed_async_connection().await?;
        let mut plain = theirs.clone();
        for key in 0..1000_u64 {
            let bytes = vec![b'x'; 1000];
            let life = Some(Duration::from_secs(3600));
            let key_bytes = key.to_string().into_bytes();
            // Until it is connected and knows the server's generations.
            while !matches!(ours.read(&key_bytes, false).await, Ok(Read::Found(_))) {
                let (bytes, generation) = (bytes.clone(), ours.generation());
                let record =
                    Record { bytes, age: Duration::ZERO, life, own: false, tags: vec![], generation };
                if ours.write(&key_bytes, record, None).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            let () = plain.set(format!("plain:{key}"), &bytes).await?;
        }
        Ok::<_, Box<dyn Error>>((ours, theirs))
    })?;
    let by_ours = || runtime.block_on(read_ours(&ours));
    let by_theirs = || runtime.block_on(read_theirs(&theirs));
    for (clock, kind, case) in [
        (Clock::Wall, UnitKind::Wall, "L2: a read of 64 tasks, wall"),
        (Clock::ProcessCpu, UnitKind::Cpu, "L2: a read of 64 tasks, CPU of the client"),
    ] {
        let (ours, theirs) = rounds.clock(clock).pair(TASKS * READS, by_ours, by_theirs);
        let row = Row::new("cache", case, "ns", kind, Better::Lower).rival("redis-rs");
        row.goal(0.5).ours(&ours).theirs(&theirs).emit()?;
    }
    Ok(())
}

async fn read_ours(ours: &Arc<Redis>) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let ours = Arc::clone(ours);
        tasks.spawn(async move {
            for read in 0..READS {
                let key = (task * 7919 + read * 31) % 1000;
                let there = ours.read(key.to_string().as_bytes(), false).await;
                assert!(matches!(there, Ok(Read::Found(_))), "what was written is there");
            }
        });
    }
    tasks.join_all().await;
}

async fn read_theirs(theirs: &MultiplexedConnection) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let mut theirs = theirs.clone();
        tasks.spawn(async move {
            for read in 0..READS {
                let key = (task * 7919 + read * 31) % 1000;
                let there: redis::RedisResult<Vec<u8>> = theirs.get(format!("plain:{key}")).await;
                assert!(there.is_ok_and(|value| value.len() == 1000), "what was written is there");
            }
        });
    }
    tasks.join_all().await;
}

/// From a change in one process to the moment another has forgotten the key, beside a plain SET's round trip, in turns.
fn peers(runtime: &Runtime, server: &Server) -> Result<(), Box<dyn Error>> {
    let (mut forgets, mut sets) = (Vec::new(), Vec::new());
    let stale = runtime.block_on(async {
        let cache = || -> Result<Cache<u64, u64>, Box<dyn Error>> {
            let redis = Redis::connect(&RedisConfig { prefix: "peers:".to_owned(), ..server.config() })?;
            Ok(Cache::builder(Config::default()).codec(Json).tier(redis).build()?)
        };
        let (writer, reader) = (cache()?, cache()?);
        let mut plain = server.client()?.get_multiplexed_async_connection().await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut stale = 0_u64;
        for change in 0..CHANGES {
            writer.insert(1, change).await;
            let seen = reader.get_or_load(&1, |_| async { Ok::<_, std::io::Error>(u64::MAX) }).await?;
            stale += u64::from(seen != change);
            let began = Instant::now();
            let () = plain.set("plain", change).await?;
            sets.push(began.elapsed());
            let began = Instant::now();
            writer.insert(1, change + 1).await;
            while reader.memory().get(&1).is_some() && began.elapsed() < Duration::from_secs(1) {
                tokio::task::yield_now().await;
            }
            forgets.push(began.elapsed());
        }
        Ok::<_, Box<dyn Error>>(stale)
    })?;
    let p99 = |times: &mut Vec<Duration>| -> Samples {
        times.sort_unstable();
        [times[times.len() * 99 / 100].as_nanos() as f64 / 1000.0].into_iter().collect()
    };
    let (forgets, sets) = (p99(&mut forgets), p99(&mut sets));
    let row = Row::new("cache", "a peer forgets, p99 from the change", "us", UnitKind::Wall, Better::Lower);
    row.rival("SET of redis-rs").goal(1.5).ours(&forgets).theirs(&sets).emit()?;
    let stale: Samples = [stale as f64].into_iter().collect();
    let row = Row::new("cache", "stale reads after a peer forgot", "reads", UnitKind::Count, Better::Lower);
    row.goal(0.0).ours(&stale).emit()?;
    Ok(())
}

/// Ended by its own process id.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start() -> Result<Option<Self>, Box<dyn Error>> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        let child = match command.current_dir(std::env::temp_dir()).stdout(Stdio::null()).spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let server = Self { child, port };
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if began.elapsed() > Duration::from_secs(60) {
                return Err("redis-server does not start".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Some(server))
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn config(&self) -> RedisConfig {
        RedisConfig { url: self.url().into(), ..RedisConfig::default() }
    }

    fn client(&self) -> redis::RedisResult<redis::Client> {
        redis::Client::open(self.url())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}
