//! Systems other than Linux: processor, memory and process by `sysinfo`; the rest they cannot tell.

use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, System as Source};

use crate::config::Config;
use crate::reading::{MemoryLevels, Reading};

#[derive(Debug)]
pub(crate) struct System {
    source: Source,
    pid: Option<Pid>,
}

impl System {
    pub(crate) fn new(_: Config) -> Self {
        Self { source: Source::new(), pid: sysinfo::get_current_pid().ok() }
    }

    pub(crate) fn read(&mut self) -> Reading {
        let source = &mut self.source;
        source.refresh_cpu_usage();
        source.refresh_memory_specifics(MemoryRefreshKind::everything());
        let memory = MemoryLevels {
            total: source.total_memory(),
            available: source.available_memory(),
            swap_total: source.total_swap(),
            swap_free: source.free_swap(),
        };
        let load = Source::load_average();
        let mut reading = Reading {
            cpu_percent: Some(f64::from(source.global_cpu_usage())),
            load: cfg!(unix).then_some([load.one, load.five, load.fifteen]),
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
