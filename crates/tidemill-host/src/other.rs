//! Systems other than Linux: processor, memory and process by `sysinfo`; the rest they cannot tell.

use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, System as Source};

use crate::config::Config;
use crate::reading::{MemoryLevels, Reading};

#[derive(Debug)]
pub(crate) struct System {
    source: Option<Source>,
    pid: Option<Pid>,
}

impl System {
    pub(crate) fn new(_: Config) -> Self {
        Self { source: Source::new().ok(), pid: sysinfo::get_current_pid().ok() }
    }

    pub(crate) fn read(&mut self) -> Reading {
        let Some(source) = &mut self.source else { return Reading::default() };
        source.refresh_cpu_usage();
        source.refresh_memory_specifics(MemoryRefreshKind::everything());
        let memory = MemoryLevels {
            total: source.total_memory(),
            available: source.available_memory(),
            swap_total: source.total_swap(),
            swap_free: source.free_swap(),
        };
        let mut reading = Reading {
            cpu_percent: Some(f64::from(source.global_cpu_usage())),
            load: Source::load_average().ok().map(|load| [load.one, load.five, load.fifteen]),
            memory: (memory.total > 0).then_some(memory),
            ..Reading::default()
        };
        if let Some(pid) = self.pid {
            let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
            source.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, what);
            if let Some(process) = source.process(pid) {
                reading.process_cpu_seconds = Some(process.accumulated_cpu_time() as f64 / 1000.0);
                reading.rss_bytes = Some(process.memory());
            }
        }
        reading
    }
}
