//! Parses the arguments, runs, and turns the outcome into an exit code.

use std::process::ExitCode;

use tidemill_worker_pool::CountingAllocator;

/// So that the suite can say what a thousand objects did to the heap.
#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator::system();

fn main() -> ExitCode {
    tidemill_bench::start(std::env::args_os(), std::env::vars())
}
