//! What was read of a target and of this host, under the names that rules use.

use std::collections::BTreeMap;

use super::config::Target;
use crate::series::{Reading, Round};

/// Metrics and the signals they are: of this host, and computed of a target.
const OF_HOST: [(&str, &str); 4] = [
    ("system_cpu_percent", "cpu.percent"),
    ("system_memory_percent", "memory.percent"),
    ("system_disk_wait_percent", "disk.wait_percent"),
    ("system_network_percent", "network.percent"),
];
const OF_TARGET: [(&str, &str); 4] = [
    ("response_ms", "response.ms"),
    ("error_percent", "errors.percent"),
    ("hit_percent", "cache.hit_percent"),
    ("requests_per_second", "requests"),
];

/// The newest reading of each signal of one target, until they are taken.
#[derive(Clone, Debug, Default)]
pub struct Readings(BTreeMap<String, f64>);

impl Readings {
    /// Takes what a round says about `target`. `derived` was computed of the round.
    pub fn take(&mut self, target: &Target, round: &Round, derived: &[Reading]) {
        let own = *round.target == *target.name;
        let of_host = &*round.target == "host" && target.here;
        if !(own || of_host) {
            return;
        }
        for reading in round.readings.iter().chain(derived) {
            let name = &*reading.series.name;
            let known =
                OF_HOST.iter().chain(OF_TARGET.iter().filter(|_| own)).find(|(metric, _)| *metric == name);
            if let Some((_, signal)) = known {
                self.0.insert((*signal).to_owned(), reading.value);
            }
        }
        if own {
            for signal in &target.signal {
                let meant = |reading: &&Reading| {
                    let labels = &signal.labels;
                    *reading.series.name == *signal.metric
                        && labels.iter().all(|(name, value)| reading.series.label(name) == Some(value))
                };
                let values: Vec<f64> =
                    round.readings.iter().filter(meant).map(|reading| reading.value).collect();
                if !values.is_empty() {
                    self.0.insert(signal.name.clone(), values.iter().sum());
                }
            }
        }
    }

    /// What was read since the last time: nothing counts twice.
    pub fn drain(&mut self) -> BTreeMap<String, f64> {
        std::mem::take(&mut self.0)
    }
}
