//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tidemill_shell::entry::LogArgs;

/// Watches a host and its services live, keeps their history, judges, alerts and tunes.
#[derive(Debug, Parser)]
#[command(name = "tidemill-monitor", version, propagate_version = true, after_help = EXAMPLES)]
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
    /// Watch, keep, judge and serve, until a signal; without --config this host alone
    Run(Box<Run>),
    /// Show a monitor, a collector or this machine on the terminal
    Top(Top),
    /// Check a configuration, the folder, the port, the targets and the tuner
    Check(Check),
    /// Compare this machine's settings with what collecting and storing data wants; print each fix, apply on request
    Doctor(Doctor),
    /// Write history_YYYYMMDD_HHMMSS.json from a running monitor or from a data folder
    Export(Export),
    /// Copy everything kept, verify the copy, and remove old copies
    Backup(Configured),
    /// Verify a backup and bring it back into an empty data folder
    Restore(Restore),
    /// Print a configuration to start from
    ConfigInit,
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Default, Args)]
pub struct Configured {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of everything kept; overrides monitor.data
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// `run`.
#[derive(Clone, Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct Run {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub configured: Configured,
    /// Settings that stand above the file and the environment.
    #[command(flatten)]
    pub settings: Settings,
    /// Write the effective configuration to this file and end
    #[arg(long, value_name = "FILE")]
    pub save_config: Option<PathBuf>,
}

/// Flags of single settings.
#[derive(Clone, Debug, Default, Args)]
pub struct Settings {
    /// How often everything is asked that says nothing else, 1 to 60 seconds; overrides monitor.interval
    #[arg(long, value_name = "SECONDS")]
    pub interval: Option<String>,
    /// Memory used, in percent, from which the host is poor; overrides monitor.memory_threshold
    #[arg(long, value_name = "PERCENT")]
    pub memory_threshold: Option<String>,
    /// Processor used, in percent, from which the host is poor; overrides monitor.cpu_threshold
    #[arg(long, value_name = "PERCENT")]
    pub cpu_threshold: Option<String>,
    /// Response time, in milliseconds, from which a target is poor; overrides monitor.response_threshold
    #[arg(long, value_name = "MS")]
    pub response_threshold: Option<String>,
    /// Move no knob of any target; overrides monitor.auto_tuning
    #[arg(long)]
    pub no_auto_tuning: bool,
    /// How much is told of this host: summary, or full for all that a node_exporter tells; overrides monitor.host_detail
    #[arg(long, value_name = "DETAIL")]
    pub host_detail: Option<String>,
    /// Serve on this port, default 8080; overrides monitor.port
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Serve on this address, with or without a port; overrides monitor.listen and monitor.port
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
}

/// `top`.
#[derive(Clone, Debug, Args)]
#[command(after_help = TOP_EXAMPLES)]
pub struct Top {
    /// A monitor's address, or a Prometheus endpoint that ends with /metrics; default the monitor on port 8080 of this
    /// machine, or the machine itself when none runs
    pub url: Option<String>,
    /// Seconds between two looks, 1 to 60
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub interval: u64,
    /// Print one line and end
    #[arg(long)]
    pub once: bool,
}

/// `check`.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub configured: Configured,
    /// Settings that stand above the file and the environment.
    #[command(flatten)]
    pub settings: Settings,
    /// Print every value and where it came from
    #[arg(long)]
    pub effective: bool,
}

/// `export`.
#[derive(Clone, Debug, Args)]
pub struct Export {
    /// A running monitor; without it the data folder is read, which no monitor may have open
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Folder of everything kept
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub data: PathBuf,
    /// The last so many hours
    #[arg(long, value_name = "N", default_value_t = 24.0)]
    pub hours: f64,
    /// At most so many points a series
    #[arg(long, value_name = "N", default_value_t = 1440)]
    pub points: usize,
    /// Folder that the file is written to
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub to: PathBuf,
}

/// `restore`.
#[derive(Clone, Debug, Args)]
pub struct Restore {
    /// The backup's folder, or the folder of backups, of which the newest is taken
    pub backup: PathBuf,
    /// Folder that it is brought back into
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub data: PathBuf,
}

/// `doctor`.
#[derive(Clone, Debug, Args)]
#[command(after_help = DOCTOR_EXAMPLES)]
pub struct Doctor {
    /// Where data is or will be kept: its file system is looked at
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub data: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Ask for each fix, and write those that are agreed to; what was there is kept in --undo-file
    #[arg(long, conflicts_with_all = ["json", "undo"])]
    pub apply: bool,
    /// With --apply: agree to every fix without being asked
    #[arg(long, requires = "apply")]
    pub yes: bool,
    /// Write back what --apply changed, as the file says
    #[arg(long, conflicts_with = "json")]
    pub undo: bool,
    /// Where --apply keeps what was there
    #[arg(long, value_name = "FILE", default_value = "tidemill-doctor-undo.json")]
    pub undo_file: PathBuf,
    /// Look at a tree that stands for / (an image, a container's root)
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  tidemill-monitor run                              this host on http://127.0.0.1:8080
  tidemill-monitor top                              the same on the terminal
  tidemill-monitor config-init > monitor.toml       a configuration to start from
  tidemill-monitor check --config monitor.toml      folder, port, targets, tuner
  tidemill-monitor run --config monitor.toml --interval 5
  tidemill-monitor backup --data data
  tidemill-monitor doctor                           what to change on this machine, why, by which commands

Exit codes: 0 well, 1 something is left, 2 bad arguments, configuration or input.";

const RUN_EXAMPLES: &str = "\
Examples:
  tidemill-monitor run --interval 5 --port 8080
  tidemill-monitor run --config monitor.toml --memory-threshold 85 --no-auto-tuning
  tidemill-monitor run --interval 5 --cpu-threshold 60 --save-config monitor.toml
  tidemill-monitor run --host-detail full       instead of a node_exporter: /metrics tells the same names

Weakest first: the file, MONITORING_INTERVAL, AUTO_TUNING_ENABLED, MEMORY_THRESHOLD, CPU_THRESHOLD and
RESPONSE_TIME_THRESHOLD, then TIDEMILL_MONITOR__INTERVAL and the like for every field, then flags.";

const TOP_EXAMPLES: &str = "\
Examples:
  tidemill-monitor top                                 the monitor of this machine, or the machine itself
  tidemill-monitor top http://mill:8080/ops            a monitor elsewhere, below its prefix
  tidemill-monitor top http://mill:8000/metrics        a collector, asked directly
  tidemill-monitor top --interval 2 | tee top.log      lines, where there is no terminal

Keys: q quit, space hold, r now, + - faster and slower, ? keys. NO_COLOR is honoured.";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  tidemill-monitor doctor --data /srv/tidemill
  sudo tidemill-monitor doctor --apply --yes --undo-file before.json
  sudo tidemill-monitor doctor --undo --undo-file before.json

Without --apply and --undo nothing is written. --apply lasts until the next restart; the printed commands show how to
keep it. Settings of /etc and mounts are only printed.";
