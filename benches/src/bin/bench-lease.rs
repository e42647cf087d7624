//! What a lease costs: acquire, renew, release on each store, and the question before each act.
//!
//! CPU time of this process; PostgreSQL is measured where `TIDEMILL_TEST_POSTGRES` holds a connection string, without what
//! the server itself spends.

#![expect(clippy::print_stdout, reason = "a benchmark says what it leaves out")]

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use tidemill_benches::{Better, Clock, Rounds, Row, Samples, UnitKind};
use tidemill_lease::{
    Clock as OwnerClock, Config, Held, Leases, Memory, Name, Owner, Postgres, PostgresConfig, Sqlite,
    SqliteConfig, Store,
};
use tokio::runtime::{Builder, Runtime};

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let dir = tempfile::tempdir()?;
    let memory = Arc::new(Memory::default());
    store(&runtime, "memory", memory, 2_000, 15)?;
    let sqlite = Arc::new(Sqlite::open(dir.path().join("leases.db"), SqliteConfig::default())?);
    store(&runtime, "sqlite", sqlite, 40, 7)?;
    match std::env::var("TIDEMILL_TEST_POSTGRES") {
        Ok(address) => {
            let postgres = runtime.block_on(Postgres::connect(&address, PostgresConfig::default()))?;
            store(&runtime, "postgres", Arc::new(postgres), 40, 7)?;
        }
        Err(_) => println!("PostgreSQL is not measured: TIDEMILL_TEST_POSTGRES holds no connection string"),
    }
    guard(&runtime)
}

fn store(
    runtime: &Runtime,
    which: &str,
    store: Arc<dyn Store>,
    operations: u64,
    rounds: u32,
) -> Result<(), Box<dyn Error>> {
    let config = Config { term: Duration::from_secs(600), ..Config::default() };
    let leases = Leases::builder(config, store, Owner::try_new("bench")?).build()?;
    let name = Name::try_new("key/1")?;
    let payload = [7; 1200];
    // A payload as a limiter has it: 75 stamps of 16 bytes.
    let held = runtime.block_on(leases.acquire(&name))?;
    let rounds = Rounds::from_args(rounds).clock(Clock::ProcessCpu);
    let renew = rounds.single(operations, || {
        runtime.block_on(async {
            for _ in 0..operations {
                done(leases.renew(&held, Some(&payload)).await);
            }
        });
    });
    row(which, "renew", &renew)?;
    let both = rounds.single(operations, || {
        runtime.block_on(async {
            for _ in 0..operations {
                let held: Held = done(leases.acquire(&name).await);
                done(leases.release(&held, Some(&payload)).await);
            }
        });
    });
    row(which, "acquire and release", &both)?;
    let read = rounds.single(operations, || {
        runtime.block_on(async {
            for _ in 0..operations {
                black_box(done(leases.read(&name).await));
            }
        });
    });
    row(which, "read", &read)
}

fn guard(runtime: &Runtime) -> Result<(), Box<dyn Error>> {
    const OPERATIONS: u64 = 200_000;
    let leases =
        Leases::builder(Config::default(), Arc::new(Memory::default()), Owner::try_new("bench")?).build()?;
    let held = runtime.block_on(leases.acquire(&Name::try_new("key/1")?))?;
    let rounds = Rounds::from_args(15).clock(Clock::ProcessCpu);
    let asked = rounds.single(OPERATIONS, || {
        for _ in 0..OPERATIONS {
            black_box(held.may_act(leases.now()));
        }
    });
    let row = Row::new("lease", "may act, clock included", "ns", UnitKind::Cpu, Better::Lower);
    row.ours(&asked).goal(100.0).emit()?;
    let now = OwnerClock::boottime().now();
    let alone = rounds.single(OPERATIONS, || {
        for _ in 0..OPERATIONS {
            black_box(held.may_act(black_box(now)));
        }
    });
    Row::new("lease", "may act", "ns", UnitKind::Cpu, Better::Lower).ours(&alone).goal(5.0).emit()?;
    Ok(())
}

fn row(which: &str, what: &str, samples: &Samples) -> Result<(), Box<dyn Error>> {
    let case = format!("{which}, {what}");
    Row::new("lease", &case, "us", UnitKind::Cpu, Better::Lower).ours(&samples.scaled(1e-3)).emit()?;
    Ok(())
}

/// A benchmark that fails measures nothing.
fn done<T>(result: Result<T, tidemill_lease::Error>) -> T {
    result.unwrap_or_else(|error| unreachable!("{error}"))
}
