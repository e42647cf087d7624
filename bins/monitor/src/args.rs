//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tidemill_shell::logs::Format;

/// Looks at a machine and says how to set it.
#[derive(Debug, Parser)]
#[command(name = "tidemill-monitor", version, propagate_version = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What is logged: error, warn, info, debug, trace, off, or directives such as info,hyper=warn
    #[arg(long, global = true, default_value = "warn", env = "TIDEMILL_LOG", value_name = "LEVEL")]
    pub log: String,
    /// Logs as text, or as lines of JSON
    #[arg(long, global = true, default_value = "text", value_name = "FORMAT")]
    pub log_format: Format,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compare this machine's settings with what collecting and storing data wants; print each fix, apply on request
    Doctor(Doctor),
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
  tidemill-monitor doctor                    what to change, why, at what risk, by which commands
  sudo tidemill-monitor doctor --apply       ask for each, and do it

Exit code: 0 nothing to advise, 1 advice is left, 2 bad input.";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  tidemill-monitor doctor --data /srv/tidemill
  sudo tidemill-monitor doctor --apply --yes --undo-file before.json
  sudo tidemill-monitor doctor --undo --undo-file before.json

Without --apply and --undo nothing is written. --apply lasts until the next restart; the printed commands show how to
keep it. Settings of /etc and mounts are only printed.";
