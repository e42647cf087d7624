//! The plans that need no file: load, stress, spike, volume, endurance, users, and the promises of a service.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::{Model, Plan};
use crate::scenario::Volume;
use crate::shape::{Shape, Stage};
use crate::stop::StopRules;
use crate::threshold::Thresholds;

/// A plan by name; its figures are where to start from, every field can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// 60 s: to 10 users within 10 s in 10 steps, then held.
    Load,
    /// To 100 users within 60 s, then 5 more each 30 s up to twice as many, or until 10 % of 5 s fail.
    Stress,
    /// 10 users for 30 s, three times as many for 10 s, 10 again for 30 s.
    Spike,
    /// 10 users, sizes from 1 KB to 1 MB in 6 levels of 10 s; the time may grow no faster than size^1.2.
    Volume,
    /// 100 users for 24 hours; p99 and the server's memory may not drift.
    Endurance,
    /// 1000 users, 10 new ones a second, then a minute of all.
    Users,
}

const SECOND: Duration = Duration::from_secs(1);

impl Preset {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Load, Self::Stress, Self::Spike, Self::Volume, Self::Endurance, Self::Users];

    /// The plan for a URL.
    #[must_use]
    pub fn plan(self, url: &str) -> Plan {
        let mut plan = Plan::new(url, self.shape());
        plan.load.model = Model::Closed;
        plan.name = format!("{self:?}").to_lowercase();
        match self {
            Self::Stress => plan.stop = stop("errors", "10% over 5s"),
            Self::Volume => {
                plan.volume = Some(Volume { start: 1000, factor: 4.0, levels: 6, each: 10 * SECOND });
                plan.pass = promises(&[("volume.exponent", "<1.2"), ("errors", "<1%")]);
            }
            Self::Endurance => {
                plan.pass =
                    promises(&[("errors", "<0.1%"), ("drift.response", "<1.5"), ("drift.memory", "<1.2")]);
                plan.load.think = Duration::from_millis(100);
            }
            Self::Users => {
                plan.load.spawn_rate = 10.0;
                plan.load.think = SECOND;
            }
            Self::Load | Self::Spike => {}
        }
        plan
    }

    fn shape(self) -> Shape {
        match self {
            Self::Load => {
                Shape::Ramp { from: 0.0, to: 10.0, over: 10 * SECOND, steps: 10, hold: 50 * SECOND }
            }
            Self::Stress => {
                let rise = Stage { from: None, to: 100.0, over: 60 * SECOND };
                let steps = (1..=20).map(|step| {
                    let level = 100.0 + 5.0 * f64::from(step);
                    Stage { from: Some(level), to: level, over: 30 * SECOND }
                });
                Shape::Stages { stages: std::iter::once(rise).chain(steps).collect() }
            }
            Self::Spike => Shape::Spike {
                level: 10.0,
                factor: 3.0,
                before: 30 * SECOND,
                during: 10 * SECOND,
                after: 30 * SECOND,
            },
            Self::Volume => Shape::constant(10.0, 60 * SECOND),
            Self::Endurance => Shape::constant(100.0, 24 * 3600 * SECOND),
            Self::Users => Shape::constant(1000.0, 160 * SECOND),
        }
    }
}

impl Thresholds {
    /// What a service is asked to keep: mean < 200 ms, p95 < 500 ms, p99 < 1 s, errors < 0.1 %, more than 100 requests a
    /// second; `with_host` adds processor < 70 % in the mean and < 90 % at most, memory < 80 % and < 95 %, which need a
    /// server on this machine.
    #[must_use]
    pub fn targets(with_host: bool) -> Self {
        let mut targets = promises(&[
            ("response.mean", "<200ms"),
            ("response.p95", "<500ms"),
            ("response.p99", "<1s"),
            ("errors", "<0.1%"),
            ("rate", ">100"),
        ]);
        if with_host {
            let host = promises(&[
                ("host.cpu.mean", "<70%"),
                ("host.cpu.max", "<90%"),
                ("host.memory.mean", "<80%"),
                ("host.memory.max", "<95%"),
            ]);
            targets.0.extend(host.0);
        }
        targets
    }
}

/// Promises whose texts a test has read.
fn promises(texts: &[(&str, &str)]) -> Thresholds {
    let read = |(metric, bound): &(&str, &str)| Some((metric.parse().ok()?, bound.parse().ok()?));
    Thresholds(texts.iter().filter_map(read).collect())
}

fn stop(metric: &str, rule: &str) -> StopRules {
    let mut rules = StopRules::default();
    _ = rules.set(metric, rule);
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_promise_of_a_preset_can_be_read() {
        let counts: Vec<usize> =
            Preset::ALL.iter().map(|preset| preset.plan("http://127.0.0.1").pass.0.len()).collect();
        assert_eq!(counts, [0, 0, 0, 2, 3, 0]);
        assert_eq!(Preset::Stress.plan("http://127.0.0.1").stop.0.len(), 1);
        assert_eq!(Thresholds::targets(true).0.len(), 9);
    }

    #[test]
    fn presets_last_as_long_as_they_say() {
        let seconds: Vec<u64> =
            Preset::ALL.iter().map(|preset| preset.plan("http://127.0.0.1").duration().as_secs()).collect();
        assert_eq!(seconds, [60, 660, 70, 60, 86_400, 160]);
    }
}
