//! Runs one workspace command and turns its error into an exit code.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its terminal")]

mod arch;
mod bench;
mod bench_table;
mod ci;
mod cli;
mod docs;
mod examples;
mod graph;
mod loom;
mod process;
mod release;
mod scenario;
mod servers;
mod source;
mod tally;
mod test;
mod tidy;
mod workspace;

fn main() -> std::process::ExitCode {
    cli::main()
}
