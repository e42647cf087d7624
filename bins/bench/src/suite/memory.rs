//! 1000 objects of 1000 numbers: the heap before, at the peak, and after they are gone.

use anyhow::Result;
use tidemill_worker_pool::MemoryMonitor;

use super::figure::{Figure, Part};

const OBJECTS: usize = 1000;
const NUMBERS: u64 = 1000;

pub(super) fn part() -> Result<Part> {
    let (sum, used) = MemoryMonitor::new(MemoryMonitor::THRESHOLD).run(|| {
        let objects: Vec<Vec<u64>> = (0..OBJECTS).map(|_| (0..NUMBERS).collect()).collect();
        objects.iter().flatten().sum::<u64>()
    });
    anyhow::ensure!(sum == OBJECTS as u64 * NUMBERS * (NUMBERS - 1) / 2, "the objects were not made");
    let mut part = Part {
        name: "memory".into(),
        what: format!("{OBJECTS} objects of {NUMBERS} numbers, counted by the allocator"),
        ..Part::default()
    };
    if used.is_counted {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        part.figures = vec![
            Figure::cost("before", megabytes(used.before), "MB"),
            Figure::cost("at the peak", megabytes(used.peak), "MB"),
            Figure::cost("after", megabytes(used.after), "MB"),
            Figure::cost("grown", megabytes(used.peak - used.before), "MB"),
            Figure::rate("given back", megabytes(used.peak.saturating_sub(used.after)), "MB"),
            Figure::cost("left behind", megabytes(used.after.saturating_sub(used.before)), "MB")
                .graded(0.1, 1.0),
        ];
    }
    Ok(part)
}
