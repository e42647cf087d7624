//! The table of the platform's guide, before and after, on our parts. A second there is 20 ms here.
//!
//! *Before* is what the guide's services did: one thing after the other. *After* is the worker pool. What is graded is
//! the share that is left of the time, against the share in the guide's table; both grow with the clock, so the
//! shorter second changes neither.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tidemill_sandbox::{FaultKind, Faults, Latency};
use tidemill_worker_pool::{Config, Job, JobContext, JobError, Pool, Retry};

use super::concurrency::at_once;
use super::figure::{Figure, Part};
use super::provider;

/// What a second of the guide is here.
const SECOND: Duration = Duration::from_millis(20);
/// Provider faults in the retry row; the guide's own rate of failed tasks.
const FAULTS: f64 = 0.15;
const RETRIED: usize = 200;

/// A row: what is done, how many requests, at how many workers after, and the guide's seconds before and after.
struct Row(&'static str, usize, usize, f64, f64);

const ROWS: [Row; 4] = [
    Row("scheduler job of 50 requests", 50, 8, 50.0, 10.0),
    Row("API answer made of 6 requests", 6, 6, 1.2, 0.3),
    Row("price query of 10 symbols", 10, 8, 15.0, 3.0),
    Row("task of 20 analyses", 20, 8, 120.0, 30.0),
];

pub(super) fn part() -> Result<Part> {
    provider::runtime()?.block_on(async {
        let sandbox = provider::start(Latency::Fixed { delay: SECOND }, Faults::none()).await?;
        let mut figures = Vec::new();
        for row in &ROWS {
            figures.extend(times(sandbox.addr(), row).await?);
        }
        figures.extend(throughput(sandbox.addr()).await?);
        provider::end(sandbox).await;
        figures.push(retries().await?);
        anyhow::Ok(Part {
            name: "before-after".into(),
            what: "the guide's table: one after the other, then on the worker pool; a second is 20 ms".into(),
            figures,
        })
    })
}

async fn times(
    address: SocketAddr,
    Row(what, requests, workers, before, after): &Row,
) -> Result<[Figure; 3]> {
    let one_by_one = at_once(address, *requests, 1).await?.as_secs_f64();
    let pooled = at_once(address, *requests, *workers).await?.as_secs_f64();
    let left = 100.0 * pooled / one_by_one;
    let asked = 100.0 * after / before;
    Ok([
        Figure::cost(format!("{what}: before"), one_by_one, "s"),
        Figure::cost(format!("{what}: after"), pooled, "s"),
        Figure::cost(format!("{what}: left of the time"), left, "%").graded(asked * 1.02, asked * 1.25),
    ])
}

/// 10 connections, then 50: requests a second.
async fn throughput(address: SocketAddr) -> Result<[Figure; 3]> {
    let before = 200.0 / at_once(address, 200, 10).await?.as_secs_f64();
    let after = 1000.0 / at_once(address, 1000, 50).await?.as_secs_f64();
    Ok([
        Figure::rate("10 connections", before, "1/s").graded(50.0, 50.0),
        Figure::rate("50 connections", after, "1/s").graded(200.0, 200.0),
        Figure::rate("throughput, after over before", after / before, "times").graded(4.0, 2.0),
    ])
}

/// The share of tasks that succeed although a provider fails, with three retries each.
async fn retries() -> Result<Figure> {
    let faults = Faults::none().with_probability(FaultKind::InternalError, FAULTS);
    let sandbox = provider::start(Latency::None, faults).await?;
    let address = sandbox.addr();
    let pool = Pool::builder(Config { workers: 8, ..Config::default() }).build()?;
    let retry = Retry { max: 3, base: Duration::from_millis(2), cap: Duration::from_millis(20) };
    let mut handles = Vec::with_capacity(RETRIED);
    for symbol in provider::symbols(RETRIED) {
        let job = Job::new(move |_: JobContext| async move {
            provider::ask(address, symbol).await.map(|answer| answer.len()).map_err(JobError::retriable)
        });
        handles.push(pool.submit(job.retry(retry)).await?);
    }
    let mut good = 0;
    for handle in handles {
        good += usize::from(handle.result().await.is_ok());
    }
    pool.close(Duration::from_secs(1)).await;
    provider::end(sandbox).await;
    let success = 100.0 * good as f64 / RETRIED as f64;
    Ok(Figure::rate("retries: tasks that succeed", success, "%").graded(95.0, 90.0))
}
