//! A collector in one file: a sandbox to ask, a limiter that is never refused, workers, columns, a dataset on disk.
//!
//! The five crates do not know each other; what joins them is this file. `tidemill-collector` is the same thing grown up.

#![expect(clippy::print_stdout, reason = "an example says what it did")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use tidemill_market::{Adapter, Answer, Ask, Checks, Class, Format, Reading, Volume};
use tidemill_rate_limit::{Config as Limits, Cost, KeyPool, Model, Outcome, Priority};
use tidemill_sandbox::{Config as SandboxConfig, QuotaConfig, Sandbox};
use tidemill_storage::arrow::arrow_array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use tidemill_storage::arrow::arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use tidemill_storage::{Changes, Config as StoreConfig, Partition, Store, TableSpec};
use tidemill_worker_pool::{Config as Workers, Job, JobContext, JobError, Pool};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const KEYS: [&str; 2] = ["k1", "k2"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // A provider that allows each key 20 requests in any second and counts refused ones too.
    let quota = vec![QuotaConfig::new(tidemill_sandbox::Model::PenalisingLog, 20, Duration::from_secs(1))];
    let provider = Sandbox::builder(SandboxConfig {
        symbols: 60,
        keys: KEYS.map(String::from).to_vec(),
        quota,
        ..SandboxConfig::default()
    })
    .build()?;
    let running = provider.serve(TcpListener::bind("127.0.0.1:0").await?).await?;

    let permits = KeyPool::builder(Limits::per_key(20, Duration::from_secs(1), Model::SlidingLog))
        .key_names(KEYS)
        .build()?;
    let workers = Pool::builder(Workers { workers: 8, max_workers: 8, ..Workers::default() }).build()?;
    let folder = tempfile::tempdir()?;
    let table = TableSpec::new("us_daily", schema(), ["symbol", "ts"])
        .partition(Partition::Year { column: "ts".into() });
    let store = Store::builder(StoreConfig::default()).table(table).open(folder.path())?;

    let mut jobs = Vec::new();
    for symbol in provider.symbols() {
        let (permits, store, addr) = (permits.clone(), store.clone(), running.addr());
        let job = Job::new(move |_: JobContext| {
            let (permits, store, symbol) = (permits.clone(), store.clone(), symbol.clone());
            async move {
                collect(&permits, &store, addr, &symbol)
                    .await
                    .map_err(|error| JobError::fatal(error.to_string()))
            }
        });
        jobs.push(workers.submit(job).await?);
    }
    let mut rows = 0;
    for job in jobs {
        rows += job.await?;
    }
    store.close()?;
    workers.close(Duration::from_secs(5)).await;
    let counted = running.close(Duration::from_secs(1)).await.stats;
    println!(
        "{rows} rows of {} symbols; the server admitted {} requests and refused {}",
        counted.admitted, counted.admitted, counted.refused
    );
    ensure!(counted.refused == 0, "the limiter promises that nothing is refused");
    ensure!(tidemill_storage::verify(folder.path())?.is_sound(), "what is on disk is what was stored");
    Ok(())
}

/// Permit, request, reading, commit.
async fn collect(permits: &KeyPool, store: &Store, addr: std::net::SocketAddr, symbol: &str) -> Result<u64> {
    let adapter = Adapter::alpha_vantage(Format::Json);
    let ask = Ask::daily(symbol);
    let permit = permits.acquire(Cost::ONE, Priority::Normal).await?;
    let request = adapter.request(&ask, Some(KEYS[permit.key().get()]));
    let flight = permit.send()?;
    let body = get(addr, &request.path_and_query).await?;
    let answer = Answer { status: 200, content_type: Some("application/json"), body: &body };
    let reading = adapter.read(&ask, answer, &Checks::new(SystemTime::now()));
    flight.answered(match reading.class {
        Class::Throttled => Outcome::Refused { retry_after: None, limit: None },
        _ => Outcome::OK,
    })?;
    ensure!(
        reading.class.is_ok() && reading.balances(),
        "{symbol}: {:?} {:?}",
        reading.class,
        reading.message
    );
    Ok(store.commit(Changes::new().upsert("us_daily", batch(reading)?))?.table("us_daily").stored)
}

/// One GET; a real program uses a real client.
async fn get(addr: std::net::SocketAddr, path: &str) -> Result<Vec<u8>> {
    let mut socket = TcpStream::connect(addr).await?;
    socket
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("no HTTP answer")?;
    Ok(answer.split_off(head + 4))
}

fn batch(reading: Reading) -> Result<RecordBatch> {
    let bars = reading.bars;
    let Volume::Whole(volume) = bars.volume else { anyhow::bail!("volumes with fractions") };
    let symbols = StringArray::from_iter_values(std::iter::repeat_n(&bars.symbol, volume.len()));
    let prices = [bars.open, bars.high, bars.low, bars.close]
        .map(|price| Arc::new(Float64Array::from(price)) as ArrayRef);
    let ts = TimestampNanosecondArray::from(bars.ts_ns).with_timezone("UTC");
    let mut columns: Vec<ArrayRef> = vec![Arc::new(symbols), Arc::new(ts)];
    columns.extend(prices);
    columns.push(Arc::new(Int64Array::from(volume)));
    Ok(RecordBatch::try_new(schema(), columns)?)
}

fn schema() -> SchemaRef {
    let price = |name| Field::new(name, DataType::Float64, false);
    Arc::new(Schema::new(vec![
        Field::new("symbol", DataType::Utf8, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false),
        price("open"),
        price("high"),
        price("low"),
        price("close"),
        Field::new("volume", DataType::Int64, false),
    ]))
}
