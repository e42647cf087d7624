//! A slow provider beside a fast one on four workers: `cargo run -p tidemill-worker-pool --example two_providers`.

#![expect(clippy::print_stdout, reason = "an example talks")]

use std::time::Duration;

use tidemill_worker_pool::{Config, Error, Job, JobContext, JobError, Pool, Retry};
use tokio::time::sleep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let pool = Pool::builder(Config { workers: 4, queue: 500, ..Config::default() }).build()?;
    let call = |ms: u64| {
        Job::new(move |job: JobContext| async move {
            sleep(Duration::from_millis(ms)).await;
            // A tenth fails at first; the second attempt is some time later, by full jitter.
            if job.id().is_multiple_of(10) && job.attempt() == 1 {
                Err(JobError::retriable("busy"))
            } else {
                Ok(ms)
            }
        })
        .retry(Retry::STANDARD)
    };
    for _ in 0..10 {
        pool.submit(call(500).group("slow")).await?.detach();
        for _ in 0..10 {
            pool.submit(call(5).group("fast")).await?.detach();
        }
    }
    sleep(Duration::from_secs(1)).await;
    pool.resize(8)?;
    let report = pool.close(Duration::from_secs(30)).await;
    println!("{} ended while it closed, {} given back", report.ran, report.returned.len());
    for (name, group) in pool.stats().groups.iter().filter(|(name, _)| *name != "default") {
        let total = group.priorities.total();
        println!(
            "{name}: {} done, {} of them again, waited {:?} in all",
            total.done, total.retried, total.wait
        );
    }
    Ok(())
}
