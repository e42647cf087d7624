//! How many tasks stand where.

use super::tables::{Row, Tables};
use crate::record::State;
use crate::store::Overview;

impl Tables {
    pub(super) fn overview(&self) -> Overview {
        let mut overview = Overview::default();
        for Row { record, .. } in self.tasks.values() {
            if record.state.is_finished() {
                continue;
            }
            let depth = overview.queues.entry(record.queue.clone()).or_default();
            match record.state {
                State::Ready => {
                    depth.ready[record.priority.index()] += 1;
                    let oldest = depth.oldest_ready.map_or(record.run_at, |old| old.min(record.run_at));
                    depth.oldest_ready = Some(oldest);
                }
                State::Delayed => depth.delayed += 1,
                _ => depth.running += 1,
            }
        }
        for queue in &self.paused {
            overview.queues.entry(queue.clone()).or_default().paused = true;
        }
        overview.limits = self.limits.iter().map(|(group, (limit, _))| (group.clone(), *limit)).collect();
        overview
    }
}
