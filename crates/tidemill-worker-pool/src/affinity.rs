//! Threads that stay on their core, and let others go first.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Where the threads under the workers run. A worker is a task and moves between threads, so that it is the runtime's
/// threads that are pinned; a pool of its own cores has a runtime of its own.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tidemill_worker_pool::Affinity;
///
/// let cores = Affinity::allowed()?;
/// let affinity = Affinity { cores: cores[..1].to_vec(), nice: 5 };
/// let mut builder = tokio::runtime::Builder::new_multi_thread();
/// affinity.apply(builder.worker_threads(1).enable_time())?;
/// let runtime = builder.build()?;
/// let here = runtime.block_on(async { tokio::spawn(async { Affinity::allowed() }).await })??;
/// assert_eq!(here, cores[..1]);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Affinity {
    /// Cores by the system's number; the runtime's first thread gets the first, and so on, again from the start when
    /// there are more threads, those for blocking work included. Default none: no thread is pinned.
    pub cores: Vec<usize>,
    /// Nice level of the threads, 0 to 19: the higher, the more others go first. Default 0: as the process is.
    pub nice: i32,
}

impl Affinity {
    /// Pins and slows each thread that a runtime will start. It takes the builder's one `on_thread_start` for itself.
    /// A thread that the system refuses to move (a core was taken away since) runs where it may.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) when a core is not allowed to this process or `nice` is not within 0 to 19.
    pub fn apply(&self, runtime: &mut tokio::runtime::Builder) -> Result<(), Error> {
        if !(0..=19).contains(&self.nice) {
            return Err(Error::config("nice", format!("{} is not within 0 to 19", self.nice)));
        }
        let allowed = Self::allowed()?;
        if let Some(core) = self.cores.iter().find(|core| !allowed.contains(core)) {
            return Err(Error::config(
                "cores",
                format!("{core} is not among those of this process: {allowed:?}"),
            ));
        }
        let (affinity, next) = (self.clone(), AtomicUsize::new(0));
        runtime.on_thread_start(move || {
            if !affinity.cores.is_empty() {
                let turn = next.fetch_add(1, Ordering::Relaxed) % affinity.cores.len();
                // There is nobody to tell, and a thread in the wrong place still works.
                let _ = pin(affinity.cores[turn]);
            }
            if affinity.nice > 0 {
                let _ = setpriority_process(Some(gettid()), affinity.nice);
            }
        });
        Ok(())
    }

    /// Cores that the calling thread may run on, in order.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) when the system does not say.
    pub fn allowed() -> Result<Vec<usize>, Error> {
        let set = sched_getaffinity(None).map_err(|error| Error::config("cores", error.to_string()))?;
        Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
    }
}

fn pin(core: usize) -> rustix::io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set)
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    fn runtime(affinity: &Affinity) -> tokio::runtime::Runtime {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        affinity.apply(builder.worker_threads(1)).unwrap();
        builder.build().unwrap()
    }

    #[test]
    fn threads_have_their_core_and_nice_level_and_the_caller_keeps_its_own() {
        let cores = Affinity::allowed().unwrap();
        let before = getpriority_process(Some(gettid())).unwrap();
        let last = *cores.last().unwrap();
        let runtime = runtime(&Affinity { cores: vec![last], nice: 19 });
        let seen = runtime
            .spawn(async { (Affinity::allowed().unwrap(), getpriority_process(Some(gettid())).unwrap()) });
        assert_eq!(runtime.block_on(seen).unwrap(), (vec![last], 19));
        assert_eq!(Affinity::allowed().unwrap(), cores);
        assert_eq!(getpriority_process(Some(gettid())).unwrap(), before);
    }

    #[test]
    fn what_cannot_be_is_said_before() {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let error = Affinity { cores: vec![CpuSet::MAX_CPU], nice: 0 }.apply(&mut builder).unwrap_err();
        assert!(error.to_string().starts_with("config field `cores`: 1024 is not among"), "{error}");
        assert!(Affinity { cores: Vec::new(), nice: -1 }.apply(&mut builder).is_err());
    }
}
