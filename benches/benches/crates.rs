//! `cargo bench`: the one hot operation of every crate, by criterion. Against rivals: `cargo xtask bench AREA --rivals`.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

criterion_group!(
    crates,
    rate_limit,
    journal,
    storage,
    metrics,
    worker_pool,
    lease,
    host,
    market,
    sandbox,
    load,
    bench
);
criterion_main!(crates);

fn rate_limit(c: &mut Criterion) {
    use tidemill_rate_limit::{Config, Core, Cost, Model, Outcome, Priority};
    let config = Config::per_key(75, Duration::from_millis(2900), Model::SlidingLog);
    let mut core = Core::new(&config, 1).expect("a sound configuration");
    let mut now = Duration::ZERO;
    c.bench_function("rate-limit: acquire and answer, core", |b| {
        b.iter(|| {
            now += Duration::from_millis(40);
            let ticket = core.try_send(now, Cost::ONE, Priority::Normal).expect("a slot is free");
            core.answered(now, ticket, Outcome::OK);
        });
    });
}

fn journal(c: &mut Criterion) {
    use tidemill_storage::journal::{Config, Journal, sim::SimDisk};
    let fresh = || {
        let disk = Arc::new(SimDisk::new());
        let opened = Journal::open(disk, Path::new("/journal"), Config::default(), 0, &mut |_, _| Ok(()));
        opened.expect("a simulated disk takes a journal").0
    };
    let payload = [7_u8; 1000];
    // A simulated disk keeps all in memory, so each hundred frames get a new one.
    c.bench_function("journal: append 100 times 1000 bytes, simulated disk", |b| {
        let append = |mut journal: Journal| {
            for _ in 0..100 {
                journal.append(&[black_box(&payload)], Duration::ZERO).expect("it has room");
            }
            journal
        };
        b.iter_batched(fresh, append, BatchSize::SmallInput);
    });
}

fn storage(c: &mut Criterion) {
    use tidemill_storage::arrow::arrow_array::{Float64Array, Int64Array, RecordBatch};
    use tidemill_storage::arrow::arrow_schema::{DataType, Field, Schema};
    use tidemill_storage::{Changes, Config, Store, TableSpec};
    let dir = tempfile::tempdir().expect("a folder");
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("value", DataType::Float64, false),
    ]));
    let table = TableSpec::new("rows", schema.clone(), ["id"]);
    let store = Store::builder(Config::default()).table(table).open(dir.path()).expect("a store");
    let mut next = 0_i64;
    c.bench_function("storage: commit 1000 rows, durable", |b| {
        b.iter(|| {
            let ids = Int64Array::from_iter_values(next..next + 1000);
            let values = Float64Array::from_iter_values((0..1000).map(f64::from));
            next += 1000;
            let rows = RecordBatch::try_new(schema.clone(), vec![Arc::new(ids), Arc::new(values)]);
            let rows = rows.expect("columns of one length");
            store.commit(Changes::new().upsert("rows", rows)).expect("it is kept")
        });
    });
}

fn metrics(c: &mut Criterion) {
    let (counter, histogram) = (tidemill_metrics::Counter::new(), tidemill_metrics::Histogram::new());
    c.bench_function("metrics: count", |b| b.iter(|| black_box(&counter).inc()));
    c.bench_function("metrics: observe", |b| b.iter(|| black_box(&histogram).observe(black_box(0.0123))));
}

fn worker_pool(c: &mut Criterion) {
    use tidemill_worker_pool::{Config, Job, JobContext, Pool};
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let pool = runtime.block_on(async { Pool::builder(Config::default()).build() }).expect("a pool");
    c.bench_function("worker-pool: submit and await", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let job = Job::new(|_: JobContext| async { Ok(1_u32) });
                pool.submit(job).await.expect("it is accepted").await.expect("it ends")
            })
        });
    });
}

fn lease(c: &mut Criterion) {
    use tidemill_lease::{Config, Leases, Memory, Name, Owner};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let owner = Owner::try_new("bench").expect("a name");
    let config = Config { term: Duration::from_secs(600), ..Config::default() };
    let leases = Leases::builder(config, Arc::new(Memory::default()), owner).build().expect("leases");
    let name = Name::try_new("key/1").expect("a name");
    let held = runtime.block_on(leases.acquire(&name)).expect("it is free");
    c.bench_function("lease: renew in memory", |b| {
        b.iter(|| runtime.block_on(leases.renew(&held, None)).expect("it is ours"));
    });
}

fn host(c: &mut Criterion) {
    let config = tidemill_host::Config { mounts: false, ..Default::default() };
    let mut host = tidemill_host::Host::builder(config).build().expect("this machine can be read");
    let origin = std::time::Instant::now();
    c.bench_function("host: sample without file systems", |b| {
        b.iter(|| host.sample(origin.elapsed()).is_ok())
    });
}

fn market(c: &mut Criterion) {
    use tidemill_market::{Adapter, Answer, Ask, Checks, Format};
    let day = |n: u32| {
        let date = format!("2024-{:02}-{:02}", 1 + n / 28, 1 + n % 28);
        format!(r#""{date}":{{"1. open":"10","2. high":"12","3. low":"9","4. close":"11","5. volume":"5"}}"#)
    };
    let days: Vec<String> = (0..100).map(day).collect();
    let body =
        format!(r#"{{"Meta Data":{{"2. Symbol":"IBM"}},"Time Series (Daily)":{{{}}}}}"#, days.join(","));
    let (adapter, ask) = (Adapter::alpha_vantage(Format::Json), Ask::daily("IBM"));
    let checks = Checks::new(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    c.bench_function("market: read 100 bars", |b| {
        b.iter(|| {
            let answer = Answer { status: 200, content_type: None, body: black_box(body.as_bytes()) };
            adapter.read(&ask, answer, &checks).bars.len()
        });
    });
}

fn sandbox(c: &mut Criterion) {
    use tidemill_sandbox::{Model, QuotaConfig};
    let mut quota = QuotaConfig::new(Model::SlidingLog, 75, Duration::from_secs(60)).build();
    let mut now = Duration::ZERO;
    c.bench_function("sandbox: admit by a sliding log", |b| {
        b.iter(|| {
            now += Duration::from_millis(900);
            quota.admit(now, 1).is_admitted()
        });
    });
}

fn load(c: &mut Criterion) {
    use tidemill_load::Shape;
    let shape = Shape::Ramp {
        from: 0.0,
        to: 1000.0,
        over: Duration::from_secs(60),
        steps: 0,
        hold: Duration::from_secs(60),
    };
    let curve = shape.curve().expect("a sound shape");
    let mut k = 0;
    c.bench_function("load: when arrival k is due", |b| {
        b.iter(|| {
            k = (k + 1) % 80_000;
            curve.due(black_box(k))
        });
    });
}

fn bench(c: &mut Criterion) {
    use tidemill_bench::compare::{Better, Judge, Pair, compare};
    use tidemill_bench::statistics::random::Random;
    let mut random = Random::new(1);
    let mut two = || [10.0 + random.unit(), 10.0 + random.unit()];
    let pairs: Vec<Pair> = (0..10).map(|_| Pair { a: two(), b: two() }).collect();
    c.bench_function("bench: judge ten pairs", |b| {
        b.iter(|| compare(black_box(&pairs), &Judge::new(Better::Lower)))
    });
}
