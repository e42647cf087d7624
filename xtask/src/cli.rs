//! The command line: what can be asked, and who answers.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::workspace::Workspace;
use crate::{arch, bench, bench_table, ci, docs, loom, release, scenario, servers, test, tidy};

/// The workspace's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Everything a change must pass, cheapest first; stops at the first failure
    Ci,
    /// All tests, with the real servers they need; what follows `--` goes to `cargo test`
    Test {
        /// Arguments of `cargo test`: a filter, or `-p CRATE`
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// The dependency rules of the house
    Arch,
    /// The rhythm of the sources
    Tidy,
    /// Rustdoc without a warning; with --check links, commands and decision records only
    Docs {
        /// Only check that what the documents name exists
        #[arg(long)]
        check: bool,
    },
    /// Runs bench-AREA, AREA being a crate's short name (rate-limit)
    Bench(bench::Options),
    /// Writes the rows kept in docs/bench into the table of docs/BENCHMARKS.md; with --check only compares
    BenchTable {
        /// Only say whether the table is that of the rows
        #[arg(long)]
        check: bool,
    },
    /// Runs the simulator sim-AREA
    Sim {
        /// A crate's short name
        area: String,
        /// Where to write its rows
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Runs the soak test soak-AREA
    Soak {
        /// A crate's short name
        area: String,
        /// How many times to kill the process under test
        #[arg(long)]
        kills: Option<u32>,
        /// Arguments of the soak test itself; `--only tests` or `--only kills` runs one part of `soak storage`
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// The loom tests: every interleaving of the few atomics and locks that need it
    Loom,
    /// The real servers the tests talk to
    #[command(subcommand)]
    Servers(servers::Task),
    /// Publishing, in the order of the dependencies
    #[command(subcommand)]
    Release(release::Task),
}

/// Parses, runs, says what went wrong.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    match Workspace::load().and_then(|workspace| run(cli.command, &workspace)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task, workspace: &Workspace) -> anyhow::Result<()> {
    match task {
        Task::Ci => ci::run(workspace),
        Task::Test { args } => test::run(workspace, &args),
        Task::Arch => arch::run(workspace),
        Task::Tidy => tidy::run(workspace),
        Task::Docs { check: true } => docs::check(workspace),
        Task::Docs { check: false } => docs::build(workspace),
        Task::Bench(options) => bench::run(workspace, &options),
        Task::BenchTable { check: true } => bench_table::check(workspace),
        Task::BenchTable { check: false } => bench_table::write(workspace),
        Task::Sim { area, json } => scenario::sim(workspace, &area, json.as_deref()),
        Task::Soak { area, kills, args } => scenario::soak(workspace, &area, kills, &args),
        Task::Loom => loom::run(workspace),
        Task::Servers(task) => servers::run(workspace, &task),
        Task::Release(task) => release::run(workspace, &task),
    }
}

/// The names of the commands, for the documents that quote them.
pub(crate) fn names() -> Vec<String> {
    Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_test_filter_may_look_like_a_flag() {
        let cli = Cli::try_parse_from(["xtask", "test", "--", "-p", "tidemill-storage", "crash"]).unwrap();
        assert!(matches!(cli.command, Task::Test { args } if args == ["-p", "tidemill-storage", "crash"]));
    }
}
