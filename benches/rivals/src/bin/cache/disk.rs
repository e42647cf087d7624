//! Caches on a disk: foyer's block engine, and fjall as a plain store of keys.

use std::error::Error;
use std::path::Path;

use foyer::{
    BlockEngineConfig, DeviceBuilder as _, FsDeviceBuilder, HybridCache, HybridCacheBuilder,
    HybridCachePolicy, PsyncIoEngineConfig,
};
use tidemill_measure::disk::{self, Subject};
use tidemill_measure::{Better, Row, UnitKind};
use tokio::runtime::Runtime;

struct Foyer {
    runtime: Runtime,
    cache: HybridCache<Vec<u8>, Vec<u8>>,
}

impl Subject for Foyer {
    fn put_all(&mut self, values: &[(Vec<u8>, Vec<u8>)]) {
        self.runtime.block_on(async {
            for (at, (key, value)) in values.iter().enumerate() {
                self.cache.insert(key.clone(), value.clone());
                // What its queue has no room for is dropped.
                if at % 4096 == 4095 {
                    self.cache.storage().wait().await;
                }
            }
            self.cache.storage().wait().await;
        });
    }

    fn get_all(&mut self, keys: &[Vec<u8>]) -> usize {
        self.runtime.block_on(async {
            let mut found = 0;
            for key in keys {
                if let Ok(Some(entry)) = self.cache.get(key).await {
                    found += usize::from(!std::hint::black_box(entry.value().clone()).is_empty());
                }
            }
            found
        })
    }

    fn bytes(&self) -> u64 {
        self.cache.statistics().disk_write_bytes() as u64
    }
}

fn foyer(dir: &Path) -> Result<Box<dyn Subject>, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let device = FsDeviceBuilder::new(dir.join("foyer")).with_capacity(1 << 30).build()?;
    let cache = runtime.block_on(async {
        HybridCacheBuilder::new()
            .with_policy(HybridCachePolicy::WriteOnInsertion)
            // Reads are to come from the disk tier, not from memory.
            .memory(1 << 16)
            .with_weighter(|key: &Vec<u8>, value: &Vec<u8>| key.len() + value.len())
            .storage()
            .with_io_engine_config(PsyncIoEngineConfig::new())
            .with_engine_config(BlockEngineConfig::new(device).with_buffer_pool_size(64 << 20))
            .build()
            .await
    })?;
    Ok(Box::new(Foyer { runtime, cache }))
}

struct Fjall {
    database: fjall::Database,
    keyspace: fjall::Keyspace,
}

impl Subject for Fjall {
    fn put_all(&mut self, values: &[(Vec<u8>, Vec<u8>)]) {
        for (key, value) in values {
            self.keyspace.insert(key.as_slice(), value.as_slice()).ok();
        }
        self.database.persist(fjall::PersistMode::SyncData).ok();
        self.keyspace.rotate_memtable_and_wait().ok();
    }

    fn get_all(&mut self, keys: &[Vec<u8>]) -> usize {
        let found = |key: &&Vec<u8>| {
            self.keyspace.get(key.as_slice()).is_ok_and(|value| {
                value.is_some_and(|value| !std::hint::black_box(value.to_vec()).is_empty())
            })
        };
        keys.iter().filter(found).count()
    }

    fn bytes(&self) -> u64 {
        self.keyspace.disk_space()
    }
}

fn fjall(dir: &Path) -> Result<Box<dyn Subject>, Box<dyn Error>> {
    let database = fjall::Database::builder(dir.join("fjall")).open()?;
    let keyspace = database.keyspace("cache", fjall::KeyspaceCreateOptions::default)?;
    Ok(Box::new(Fjall { database, keyspace }))
}

type Make = fn(&Path) -> Result<Box<dyn Subject>, Box<dyn Error>>;

pub(crate) fn run(rounds: u32) -> Result<(), Box<dyn Error>> {
    let rivals: [(&str, Make); 2] = [("foyer", foyer), ("fjall", fjall)];
    for (name, make) in rivals {
        let [put, get, bytes] = disk::rounds(rounds, make)?;
        let rows = [
            ("disk: put of a kilobyte", "ns", UnitKind::Cpu, put),
            ("disk: get of a kilobyte", "ns", UnitKind::Cpu, get),
            ("disk: bytes of a kilobyte", "B", UnitKind::Count, bytes),
        ];
        for (case, unit, kind, samples) in rows {
            Row::new("cache", case, unit, kind, Better::Lower).theirs(&samples).rival(name).emit()?;
        }
    }
    Ok(())
}
