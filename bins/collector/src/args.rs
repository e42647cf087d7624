//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tidemill_shell::entry::LogArgs;

/// Collects market data from rate-limited APIs, continuously, without a refusal and without losing a row.
#[derive(Debug, Parser)]
#[command(name = "tidemill-collector", version, propagate_version = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How it logs.
    #[command(flatten)]
    pub log: LogArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Collect what is due; without --config from a sandbox inside this process
    Run(Run),
    /// Say what a run would ask for, with which keys and until when; nothing is sent
    Plan(Configured),
    /// Check a configuration, the keys it names, the folder and the port
    Check(Check),
    /// Check every checksum, row and key of the stored data
    Verify(Stored),
    /// Bring the tables of [storage.s3] back into an empty data folder; the writer before is refused from then on
    Restore(Configured),
    /// Say what is stored and how fresh it is
    Status(Stored),
    /// Print a configuration to start from
    ConfigInit,
    /// Serve a rate-limited market data API to test clients against
    Sandbox(Sandbox),
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Args)]
pub struct Configured {
    /// Configuration file (TOML); without it the sandbox's configuration is used
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of everything kept; overrides collector.data
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// `run`.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub configured: Configured,
    /// One pass, then exit: 0 complete, 1 incomplete
    #[arg(long)]
    pub once: bool,
    /// Serve /health, /metrics and /api/v2 here; overrides collector.listen
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Write the summary of the last pass as JSON
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// off: hold nothing back, to see what the provider does then
    #[arg(long, value_name = "on|off", default_value = "on")]
    pub limiter: Limiter,
    /// No setting changes by itself; overrides tuning.enabled
    #[arg(long)]
    pub no_auto_tuning: bool,
    /// Neither progress nor report
    #[arg(long, short)]
    pub quiet: bool,
}

/// Whether requests are held back.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Limiter {
    /// As the limits say.
    On,
    /// Not at all.
    Off,
}

/// `check`.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub configured: Configured,
    /// Print every value and where it came from
    #[arg(long)]
    pub effective: bool,
}

/// `verify` and `status`.
#[derive(Clone, Debug, Args)]
pub struct Stored {
    /// Folder of everything kept
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub data: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `sandbox`.
#[derive(Clone, Debug, Args)]
pub struct Sandbox {
    /// Where to serve
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:18091")]
    pub listen: SocketAddr,
    /// The sandbox's own configuration (TOML): symbols, keys, quota, latency, faults, seed
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Symbols served; overrides the file
    #[arg(long, value_name = "N")]
    pub symbols: Option<usize>,
}

const EXAMPLES: &str = "\
Examples:
  tidemill-collector run --once                      real bars of 1000 symbols from the built-in sandbox into data/
  tidemill-collector config-init > collector.toml    a configuration to start from
  tidemill-collector plan --config collector.toml    calls, keys and finish time, before any call
  tidemill-collector run --config collector.toml --listen 127.0.0.1:8000
  tidemill-collector verify --data data

Exit codes: 0 complete, 1 incomplete, 2 bad arguments or configuration.";
