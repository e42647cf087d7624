//! How many workers: a first size from the machine, and steps up or down from what is seen. Somebody else resizes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::duration;

/// Bounds and thresholds of the size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sizing {
    /// The fewest workers. Default 4.
    pub min: usize,
    /// The most. Default 16.
    pub max: usize,
    /// Memory a worker may need, in bytes. Default 2 GiB.
    pub worker_bytes: u64,
    /// Time between two steps. Default `"60s"`.
    #[serde(with = "duration")]
    pub every: Duration,
}

/// What is seen of the pool and the machine; percentages are 0-100, and `None` is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Workers now.
    pub workers: usize,
    /// The share of them that hold a job, 0 to 1: [`Stats::busy`](crate::Stats::busy).
    pub busy: f64,
    /// Jobs that wait.
    pub waiting: usize,
    /// Processor use of the machine.
    pub cpu_percent: Option<f64>,
    /// Memory use of the machine.
    pub memory_percent: Option<f64>,
}

/// Decides on steps; remembers only when the last one was.
#[derive(Clone, Debug)]
pub struct Sizer {
    sizing: Sizing,
    last: Option<Duration>,
}

impl Default for Sizing {
    fn default() -> Self {
        Self { min: 4, max: 16, worker_bytes: 2 << 30, every: Duration::from_secs(60) }
    }
}

impl Sizing {
    /// The first size: the least of the cores, the workers that fit into `memory_bytes`, and the requests that the quota
    /// allows at once (`None`: no quota); times 0.8 when the processor, and again when the memory, is used above 70 %.
    #[must_use]
    pub fn initial(&self, cores: usize, memory_bytes: u64, quota: Option<usize>, load: &Load) -> usize {
        let fit = usize::try_from(memory_bytes / self.worker_bytes.max(1)).unwrap_or(usize::MAX);
        let full = |percent: Option<f64>| percent.is_some_and(|percent| percent > 70.0);
        let loaded = u32::from(full(load.cpu_percent)) + u32::from(full(load.memory_percent));
        let mut size = cores.min(fit).min(quota.unwrap_or(usize::MAX)).min(self.max);
        for _ in 0..loaded {
            size = size * 4 / 5;
        }
        self.clamp(size)
    }

    fn clamp(&self, size: usize) -> usize {
        size.min(self.max).max(self.min).max(1)
    }
}

impl Sizer {
    /// Has decided nothing yet.
    #[must_use]
    pub fn new(sizing: Sizing) -> Self {
        Self { sizing, last: None }
    }

    /// The size to change to, or `None`: no step within `every` of the last one. Of these rules the first that holds
    /// counts. Processor or memory above 80 %: one less. More than 50 waiting and processor below 70 %: two more. At
    /// least 80 % of the workers busy and something waiting: one more. Fewer than 10 waiting and processor below 30 %,
    /// or at most 30 % busy: one less. A figure that is not known hinders no step up and causes no step down.
    pub fn decide(&mut self, now: Duration, load: &Load) -> Option<usize> {
        if self.last.is_some_and(|last| now.saturating_sub(last) < self.sizing.every) {
            return None;
        }
        let above = |percent: Option<f64>, bound: f64| percent.is_some_and(|percent| percent > bound);
        let below = |percent: Option<f64>, bound: f64| percent.is_some_and(|percent| percent < bound);
        let workers = load.workers;
        let wanted = if above(load.cpu_percent, 80.0) || above(load.memory_percent, 80.0) {
            workers.saturating_sub(1)
        } else if load.waiting > 50 && !above(load.cpu_percent, 70.0) {
            workers + 2
        } else if load.busy >= 0.8 && load.waiting > 0 {
            workers + 1
        } else if (load.waiting < 10 && below(load.cpu_percent, 30.0) && load.busy < 0.8) || load.busy <= 0.3
        {
            workers.saturating_sub(1)
        } else {
            workers
        };
        let wanted = self.sizing.clamp(wanted);
        if wanted == workers {
            return None;
        }
        self.last = Some(now);
        Some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn load(workers: usize, busy: f64, waiting: usize, cpu: f64, memory: f64) -> Load {
        Load { workers, busy, waiting, cpu_percent: Some(cpu), memory_percent: Some(memory) }
    }

    #[test]
    fn the_first_size_is_what_is_scarcest() {
        let sizing = Sizing { min: 1, ..Sizing::default() };
        let idle = Load::default();
        assert_eq!(sizing.initial(8, 64 << 30, None, &idle), 8, "cores");
        assert_eq!(sizing.initial(8, 6 << 30, None, &idle), 3, "memory");
        assert_eq!(sizing.initial(8, 64 << 30, Some(2), &idle), 2, "quota");
        assert_eq!(sizing.initial(99, 640 << 30, None, &idle), 16, "the bound");
        assert_eq!(sizing.initial(10, 64 << 30, None, &load(0, 0.0, 0, 71.0, 10.0)), 8);
        assert_eq!(sizing.initial(10, 64 << 30, None, &load(0, 0.0, 0, 71.0, 71.0)), 6);
        assert_eq!(sizing.initial(0, 0, Some(0), &idle), 1);
    }

    #[test]
    fn each_rule_takes_its_step() {
        let step = |load: Load| Sizer::new(Sizing::default()).decide(MINUTE, &load);
        assert_eq!(step(load(8, 1.0, 90, 81.0, 10.0)), Some(7), "processor full");
        assert_eq!(step(load(8, 1.0, 90, 10.0, 81.0)), Some(7), "memory full");
        assert_eq!(step(load(8, 1.0, 51, 69.0, 60.0)), Some(10), "many wait");
        assert_eq!(step(load(8, 0.8, 1, 75.0, 60.0)), Some(9), "busy");
        assert_eq!(step(load(8, 0.5, 9, 29.0, 60.0)), Some(7), "little to do");
        assert_eq!(step(load(8, 0.3, 9, 50.0, 60.0)), Some(7), "idle workers");
        assert_eq!(step(load(8, 0.5, 9, 50.0, 60.0)), None, "just right");
        assert_eq!(step(load(16, 1.0, 90, 10.0, 10.0)), None, "at the most");
        assert_eq!(step(load(4, 0.0, 0, 10.0, 10.0)), None, "at the fewest");
        assert_eq!(
            step(Load { workers: 8, busy: 1.0, waiting: 60, ..Load::default() }),
            Some(10),
            "host not known"
        );
    }

    #[test]
    fn steps_keep_their_distance() {
        let mut sizer = Sizer::new(Sizing::default());
        let busy = load(4, 1.0, 90, 10.0, 10.0);
        assert_eq!(sizer.decide(MINUTE, &busy), Some(6));
        assert_eq!(sizer.decide(2 * MINUTE - Duration::from_millis(1), &busy), None);
        assert_eq!(sizer.decide(2 * MINUTE, &busy), Some(6));
    }

    proptest! {
        #[test]
        fn the_bounds_hold_whatever_is_seen(
            workers in 0..40_usize, busy in any::<f64>(), waiting in any::<usize>(),
            cpu in prop::option::of(any::<f64>()), memory in prop::option::of(any::<f64>()),
        ) {
            let load = Load { workers, busy, waiting, cpu_percent: cpu, memory_percent: memory };
            if let Some(size) = Sizer::new(Sizing::default()).decide(MINUTE, &load) {
                prop_assert!((4..=16).contains(&size));
            }
            prop_assert!((4..=16).contains(&Sizing::default().initial(workers, waiting as u64, None, &load)));
        }
    }
}
