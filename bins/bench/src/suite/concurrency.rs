//! 1, 5, 10, 20 and 50 tasks at once on the worker pool, each of which asks a provider.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use tidemill_sandbox::{Faults, Latency};
use tidemill_worker_pool::{Config, Job, JobContext, JobError, Pool};

use super::figure::{Figure, Part};
use super::provider;

const LEVELS: [usize; 5] = [1, 5, 10, 20, 50];
/// What the guide's task sleeps.
const LATENCY: Duration = Duration::from_millis(100);

pub(super) fn part() -> Result<Part> {
    let figures = provider::runtime()?.block_on(async {
        let sandbox = provider::start(Latency::Fixed { delay: LATENCY }, Faults::none()).await?;
        let mut figures = Vec::new();
        for tasks in LEVELS {
            let took = at_once(sandbox.addr(), tasks, tasks).await?;
            let ideal = 1.0 / LATENCY.as_secs_f64() * tasks as f64;
            figures.push(
                Figure::rate(format!("{tasks} at once"), tasks as f64 / took.as_secs_f64(), "1/s")
                    .graded(0.8 * ideal, 0.5 * ideal),
            );
        }
        provider::end(sandbox).await;
        anyhow::Ok(figures)
    })?;
    Ok(Part {
        name: "concurrency".into(),
        what: format!("tasks that ask the sandbox, which takes {} ms", LATENCY.as_millis()),
        figures,
    })
}

/// So many requests by so many workers; how long all of them took.
pub(super) async fn at_once(address: SocketAddr, tasks: usize, workers: usize) -> Result<Duration> {
    let config =
        Config { workers, max_workers: workers.max(Config::default().max_workers), ..Config::default() };
    let pool = Pool::builder(config).build()?;
    let begun = Instant::now();
    let mut handles = Vec::with_capacity(tasks);
    for symbol in provider::symbols(tasks) {
        let job = Job::new(move |_: JobContext| async move {
            provider::ask(address, symbol).await.map(|answer| answer.len()).map_err(JobError::fatal)
        });
        handles.push(pool.submit(job).await?);
    }
    for handle in handles {
        handle.await?;
    }
    let took = begun.elapsed();
    pool.close(Duration::from_secs(1)).await;
    Ok(took)
}
