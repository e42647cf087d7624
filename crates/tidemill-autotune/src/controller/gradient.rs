//! As much at once as does not queue: concurrency from the ratio of the latency without load to the latency now.

use std::collections::VecDeque;
use std::time::Duration;

use crate::controller::{Control, Fresh};
use crate::decision::number;
use crate::evidence::median;
use crate::signal::Signals;

/// Readings between two probes.
const PERIOD: u32 = 60;
/// Readings of a probe; the last two count, since a limit may be felt late.
const PROBE: u32 = 5;
/// What a probe goes down to.
const PROBE_SHARE: f64 = 0.75;
/// Probes whose median is the latency without load.
const PROBES: usize = 3;
/// A latency that many times the base, for [`ALARM`] readings, is probed at once.
const SLOW: f64 = 1.5;
/// How many.
const ALARM: u32 = 6;
/// Room for a queue, as a share of the limit: what keeps the far side busy.
const QUEUE: f64 = 0.08;
/// Weight of the newest reading in the latency, and of the newest opinion in the limit.
const SMOOTHING: f64 = 0.25;

/// Gradient2 of Netflix' concurrency-limits, with its drift mended.
///
/// The limit follows `limit × base / latency + queue`. There, `base` is a long average of the latency itself, so under lasting
/// load it creeps up, and the limit with it (concurrency-limits#134). Here `base` is what probes see: every 60 readings five of
/// them go down to 75 % of the limit, below any queue, and the median of the last three probes is the latency without load.
/// When the latency rises by half a probe comes at once; if less load makes it no faster, no queue is what makes it slow, the
/// limit is what it was before, and the base is what the probe saw: a server that gets three times slower is believed within
/// a dozen readings. A latency that falls below the base is believed without a probe.
///
/// Probes cost `5 / 65` of the time at 75 %: 1.5 % of the throughput where the limit is 8 % above the knee.
#[derive(Clone, Debug)]
pub struct Gradient {
    latency: Fresh,
    smooth: Option<f64>,
    base: Option<f64>,
    probes: VecDeque<f64>,
    limit: Option<f64>,
    /// Readings since the last probe ended.
    since: u32,
    slow: u32,
    /// The limit before the latency rose.
    before: f64,
    probe: Option<Probe>,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    left: u32,
    before: f64,
    sum: f64,
}

impl Gradient {
    /// Follows the mean latency of each interval.
    #[must_use]
    pub fn new(latency: &str) -> Self {
        Self {
            latency: Fresh::new(latency),
            smooth: None,
            base: None,
            probes: VecDeque::new(),
            limit: None,
            since: 0,
            slow: 0,
            before: 0.0,
            probe: None,
        }
    }

    /// One reading of a probe; the limit after it.
    fn probed(&mut self, mut probe: Probe, latency: f64, limit: f64) -> f64 {
        probe.left -= 1;
        if probe.left < 2 {
            probe.sum += latency / 2.0;
        }
        self.probe = (probe.left > 0).then_some(probe);
        if self.probe.is_some() {
            return limit * PROBE_SHARE;
        }
        (self.since, self.slow) = (0, 0);
        let base = self.base.unwrap_or(probe.sum);
        let no_queue = probe.sum > 0.93 * probe.before;
        if no_queue && probe.sum > SLOW * base {
            self.probes.clear();
            self.limit = Some(self.before.max(limit));
        }
        if self.probes.len() == PROBES {
            self.probes.pop_front();
        }
        self.probes.push_back(probe.sum);
        self.base = Some(median(&mut self.probes.iter().copied().collect::<Vec<_>>()));
        self.smooth = Some(probe.sum);
        self.limit.unwrap_or(limit)
    }
}

impl Control for Gradient {
    fn name(&self) -> &'static str {
        "gradient controller"
    }

    fn step(&mut self, _now: Duration, signals: &Signals, value: f64) -> Option<f64> {
        let latency = self.latency.take(signals).filter(|latency| *latency > 0.0)?;
        let limit = *self.limit.get_or_insert(value);
        if let Some(probe) = self.probe {
            return Some(self.probed(probe, latency, limit));
        }
        // What the knob's bounds cut off, or a person set, is the limit.
        let limit = if (value - limit).abs() > 1.0 { value } else { limit };
        if self.since < PROBE && self.base.is_some() && !self.probes.is_empty() {
            // Still the probe's latency, for a plant that answers late.
            self.since += 1;
            return Some(limit);
        }
        let smooth = self.smooth.map_or(latency, |smooth| smooth + SMOOTHING * (latency - smooth));
        let base = self.base.map_or(smooth, |base| if smooth < 0.9 * base { smooth } else { base });
        if base < self.base.unwrap_or(base) {
            self.probes.clear();
        }
        (self.smooth, self.base) = (Some(smooth), Some(base));
        self.since += 1;
        self.slow = if smooth > SLOW * base { self.slow + 1 } else { 0 };
        if self.slow == 0 {
            self.before = limit;
        }
        if self.since >= PERIOD || self.slow >= ALARM && self.since > ALARM {
            self.probe = Some(Probe { left: PROBE, before: smooth, sum: 0.0 });
            self.limit = Some(limit);
            return Some(limit * PROBE_SHARE);
        }
        let gradient = (base / smooth).clamp(0.5, 1.0);
        let next = if gradient > 0.98 {
            limit + (limit * QUEUE).max(0.5)
        } else {
            limit + SMOOTHING * (limit * (gradient - 1.0) + (limit * QUEUE).max(0.5))
        };
        self.limit = Some(next);
        Some(next)
    }

    fn evidence(&self) -> String {
        let [latency, base] = [self.smooth, self.base].map(|value| number(value.unwrap_or(0.0)));
        format!("{} = {latency}, without load {base}", self.latency.signal)
    }
}
