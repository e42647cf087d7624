//! The disk tier: what a value costs to put and to get, and how many bytes it takes.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use tidemill_cache::{Disk, DiskConfig, Read, Record, Tier as _};
use tidemill_measure::disk::{self, Subject};
use tidemill_measure::{Better, Row, UnitKind};
use tokio::runtime::Runtime;

struct Ours {
    runtime: Runtime,
    disk: Disk,
}

impl Subject for Ours {
    fn put_all(&mut self, values: &[(Vec<u8>, Vec<u8>)]) {
        self.runtime.block_on(async {
            for (key, value) in values {
                let life = Some(Duration::from_secs(3600));
                let bytes = value.clone();
                let record =
                    Record { bytes, age: Duration::ZERO, life, own: false, tags: Vec::new(), generation: 0 };
                self.disk.write(key, record, None).await.ok();
            }
            self.disk.close(Duration::from_secs(60)).await.ok();
        });
    }

    fn get_all(&mut self, keys: &[Vec<u8>]) -> usize {
        self.runtime.block_on(async {
            let mut found = 0;
            for key in keys {
                if let Ok(Read::Found(record)) = self.disk.read(key, false).await {
                    found += usize::from(!std::hint::black_box(record.bytes).is_empty());
                }
            }
            found
        })
    }

    fn bytes(&self) -> u64 {
        self.disk.stats().bytes
    }
}

fn ours(dir: &Path) -> Result<Box<dyn Subject>, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let config = DiskConfig { dir: dir.join("ours"), capacity: 1 << 30, ..DiskConfig::default() };
    Ok(Box::new(Ours { runtime, disk: Disk::open(&config)? }))
}

pub(crate) fn run(rounds: u32) -> Result<(), Box<dyn Error>> {
    let [put, get, bytes] = disk::rounds(rounds, ours)?;
    let rows = [
        ("disk: put of a kilobyte", "ns", UnitKind::Cpu, put, 1.0),
        ("disk: get of a kilobyte", "ns", UnitKind::Cpu, get, 0.2),
        ("disk: bytes of a kilobyte", "B", UnitKind::Count, bytes, 0.3),
    ];
    for (case, unit, kind, samples, goal) in rows {
        let row = Row::new("cache", case, unit, kind, Better::Lower).ours(&samples);
        row.clone().rival("foyer").goal(goal).emit()?;
        row.rival("fjall").emit()?;
    }
    Ok(())
}
