//! Two processes share one API key through an SQLite file: one is killed, the other follows with its stamps.
//!
//! `cargo run -p tidemill-lease --example share_a_key --features sqlite` starts both; `share_a_key FILE NAME REQUESTS`
//! is one of them.

#![expect(clippy::print_stdout, reason = "an example talks")]

use std::error::Error;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidemill_lease::{Config, Event, Handover, Leases, Name, Owner, Sqlite, SqliteConfig, Standing};

const TERM: Duration = Duration::from_secs(1);

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match &args[..] {
        [file, who, requests] => runtime.block_on(work(file, who, requests.parse()?)),
        _ => runtime.block_on(both()),
    }
}

/// One process: waits for the key, uses it while the guard lets it, gives it back.
async fn work(file: &str, who: &str, requests: u32) -> Done {
    let store = Sqlite::open(file, SqliteConfig::default())?;
    let owner = Owner::try_new(format!("{who} {}", std::process::id()))?;
    // One request in the air at most: what may arrive late if we are stopped right before it.
    let config = Config { reserve: 1, ..Config::with_term(TERM) };
    let leases = Leases::builder(config, Arc::new(store), owner).build()?;

    let told = who.to_owned();
    let seed = u64::from(std::process::id());
    let keeper = leases.keep(Name::try_new("key/1")?, seed, move |event| match event {
        Event::Gained(held) => {
            println!("{told}: mine at epoch {}, {}", held.epoch(), history(held.handover()))
        }
        Event::Lost(epoch) => println!("{told}: lost epoch {epoch}"),
        Event::Missed(error) => println!("{told}: {error}"),
        _ => {}
    });

    let mut sent = 0;
    while sent < requests {
        // A limiter would count all its slots as taken until `held.clear_at(window)` unless the handover is clean.
        if keeper.held().is_some_and(|held| held.may_act(leases.now())) {
            sent += 1;
            println!("{who}: request {sent}");
            keeper.set_payload(format!("{who} sent {sent}").into_bytes());
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let report = keeper.close(TERM).await;
    println!("{who}: given back: {}", report.released);
    Ok(())
}

fn history(handover: &Handover) -> String {
    match handover {
        Handover::First => "nobody had it before".into(),
        Handover::Clean { .. } => "given back".into(),
        other => format!(
            "taken over: what came before counts for {:.1?} of a minute",
            other.guard(Duration::from_secs(60))
        ),
    }
}

/// Both processes, and a kill.
async fn both() -> Done {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("leases.db");
    let start = |who: &str, requests: u32| -> std::io::Result<Ended> {
        let program = std::env::current_exe()?;
        Command::new(program).arg(&file).arg(who).arg(requests.to_string()).spawn().map(Ended)
    };
    let store = Arc::new(Sqlite::open(&file, SqliteConfig::default())?);
    let leases = Leases::builder(Config::default(), store, Owner::try_new("reader")?).build()?;
    let key = Name::try_new("key/1")?;
    let begun = Instant::now();

    let mut ada = start("ada", 1000)?;
    while leases.read(&key).await?.is_none_or(|lease| lease.payload.is_empty()) {
        patience(begun).await?;
    }
    let mut bob = start("bob", 3)?;
    tokio::time::sleep(TERM).await;
    ada.0.kill()?;
    println!("ada is killed");
    while !matches!(leases.read(&key).await?.map(|lease| lease.standing), Some(Standing::Released { .. })) {
        patience(begun).await?;
    }
    bob.0.wait()?;

    let lease = leases.read(&key).await?.ok_or("the lease is there")?;
    println!("epoch {}, last word: {}", lease.epoch, String::from_utf8_lossy(&lease.payload));
    for former in &lease.unconfirmed {
        // We killed it, so we know that it sends nothing more.
        leases.confirm(&key, former.epoch).await?;
        println!("{} is confirmed as gone", former.owner);
    }
    Ok(())
}

async fn patience(begun: Instant) -> Done {
    tokio::time::sleep(Duration::from_millis(50)).await;
    if begun.elapsed() > Duration::from_secs(60) { Err("nothing happens".into()) } else { Ok(()) }
}

/// Nobody survives the example.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
