//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tidemill_shell::entry::LogArgs;

use crate::report::Reports;

/// Loads a server and says what it can bear, with figures that stand on a busy machine.
#[derive(Debug, Parser)]
#[command(name = "tidemill-bench", version, propagate_version = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How it logs.
    #[command(flatten)]
    pub log: LogArgs,
    /// Neither progress nor report on the screen; files are written
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// 10 users for 60 s, after a rise in ten steps
    Load(Load),
    /// 100 users after 60 s, then 5 more every 30 s up to twice as many, or until 10 % fail
    Stress(Load),
    /// 10 users for 30 s, three times as many for 10 s, 10 again for 30 s
    Spike(Load),
    /// Sizes from 1 KB to 1 MB; the time may grow no faster than size^1.2
    Volume(Load),
    /// 100 users for 24 hours; neither p99 nor the server's memory may drift
    Endurance(Load),
    /// 1000 users, ten new ones a second, then a minute of all
    Users(Load),
    /// The largest rate that keeps the promises
    Search(Search),
    /// A scenario from a file (TOML)
    Run(Run),
    /// B against A in interleaved turns: two addresses, two commands, or two scenarios
    Compare(Compare),
    /// When stored runs changed
    History(History),
    /// Write a stored JSON document again, as a page, Markdown, JUnit or text
    Report(Report),
    /// What our own parts do on this machine, graded
    Suite(Suite),
    /// Print a scenario to start from
    ConfigInit,
}

/// A preset against an address.
#[derive(Clone, Debug, Args)]
pub struct Load {
    /// The address: http://HOST:PORT/PATH, https, ws, wss or tcp://HOST:PORT
    pub url: String,
    /// So many users instead of the preset's; each waits for his answer
    #[arg(long, value_name = "N", conflicts_with = "rate")]
    pub users: Option<f64>,
    /// So many requests a second instead of users; none waits for another's answer
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,
    /// The whole run in so much time; every part of the preset is stretched alike
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub time: Option<Duration>,
    /// What and how to ask.
    #[command(flatten)]
    pub request: Request,
    /// What must be kept.
    #[command(flatten)]
    pub promises: Promises,
    /// What is allowed.
    #[command(flatten)]
    pub safety: Safety,
    /// Where reports go.
    #[command(flatten)]
    pub reports: Reports,
}

/// What and how to ask.
#[derive(Clone, Debug, Default, Args)]
pub struct Request {
    /// Connections of the open model
    #[arg(long, value_name = "N", help_heading = "Requests")]
    pub connections: Option<usize>,
    /// Threads that send, each with its own share of the load
    #[arg(long, value_name = "N", help_heading = "Requests")]
    pub threads: Option<usize>,
    /// From sending to the last byte of an answer
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Requests")]
    pub timeout: Option<Duration>,
    /// Sent at the start and not counted
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Requests")]
    pub warm_up: Option<Duration>,
    /// Pause of a user between an answer and the next request
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Requests")]
    pub think: Option<Duration>,
    /// GET, POST, ...
    #[arg(long, value_name = "NAME", help_heading = "Requests")]
    pub method: Option<String>,
    /// A request header, "Name: value"; several are possible
    #[arg(long, short = 'H', value_name = "HEADER", help_heading = "Requests")]
    pub header: Vec<String>,
    /// The body to send
    #[arg(long, value_name = "TEXT", help_heading = "Requests")]
    pub body: Option<String>,
    /// A text that every answer's body must contain
    #[arg(long, value_name = "TEXT", help_heading = "Requests")]
    pub expect: Option<String>,
    /// Speak HTTP/2
    #[arg(long, help_heading = "Requests")]
    pub http2: bool,
    /// What is sampled of the server: auto finds who listens on the port here; off; a pid; the address of a Prometheus page
    #[arg(long, value_name = "auto|off|PID|URL", help_heading = "Requests")]
    pub server: Option<String>,
    /// Seed of everything random
    #[arg(long, value_name = "N", help_heading = "Requests")]
    pub seed: Option<u64>,
}

/// What must be kept.
#[derive(Clone, Debug, Default, Args)]
pub struct Promises {
    /// What must hold in the end, such as "response.p99<250ms" or "errors<1%"; several are possible
    #[arg(long, value_name = "PROMISE", help_heading = "Promises")]
    pub pass: Vec<String>,
    /// What ends the run early, such as "errors=10% over 5s"; several are possible
    #[arg(long, value_name = "RULE", help_heading = "Promises")]
    pub stop: Vec<String>,
    /// The targets of a service: mean < 200 ms, p95 < 500, p99 < 1000, errors < 0.1 %, > 100 a second; with a sampled
    /// server also processor < 70 % and memory < 80 %
    #[arg(long, help_heading = "Promises")]
    pub targets: bool,
}

/// What is allowed.
#[derive(Clone, Debug, Args)]
pub struct Safety {
    /// A host that is not this machine and that you may load; several are possible
    #[arg(long, value_name = "HOST", help_heading = "Safety")]
    pub i_own_this_target: Vec<String>,
    /// A plan that asks for more requests a second is refused
    #[arg(long, value_name = "N", default_value_t = 50_000.0, help_heading = "Safety")]
    pub max_rate: f64,
    /// A plan that lasts longer is refused
    #[arg(long, value_name = "TIME", default_value = "25h", value_parser = duration, help_heading = "Safety")]
    pub max_time: Duration,
}

/// `search`.
#[derive(Clone, Debug, Args)]
pub struct Search {
    /// The address
    pub url: String,
    /// The lowest rate of interest, a second
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    pub low: f64,
    /// The highest rate of interest, a second
    #[arg(long, value_name = "N", default_value_t = 20_000.0)]
    pub high: f64,
    /// How close, in percent of the result
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    pub tolerance: f64,
    /// The most probes
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub probes: u32,
    /// How long each probe is counted
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub probe_time: Duration,
    /// What and how to ask.
    #[command(flatten)]
    pub request: Request,
    /// What must be kept; without any: p99 < 1 s, errors < 0.1 %.
    #[command(flatten)]
    pub promises: Promises,
    /// What is allowed.
    #[command(flatten)]
    pub safety: Safety,
    /// Where reports go.
    #[command(flatten)]
    pub reports: Reports,
}

/// `run`.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// The scenario (TOML); environment variables TIDEMILL_LOAD__TIMEOUT=5s and so on override it
    pub scenario: PathBuf,
    /// Only read and check it
    #[arg(long)]
    pub check: bool,
    /// Overrides a field, such as load.timeout=5s; several are possible
    #[arg(long, value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
    /// What must be kept, beside what the scenario asks for.
    #[command(flatten)]
    pub promises: Promises,
    /// What is allowed.
    #[command(flatten)]
    pub safety: Safety,
    /// Where reports go.
    #[command(flatten)]
    pub reports: Reports,
}

/// `compare`.
#[derive(Clone, Debug, Args)]
pub struct Compare {
    /// What was before: an address, a scenario (.toml), a command that serves on {port}, or a command to be timed
    pub a: String,
    /// What is now, of the same kind
    pub b: String,
    /// Pairs; each is two turns of A and two of B, in the order A B B A
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub pairs: usize,
    /// How long a turn is
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub turn: Duration,
    /// The figure that decides: response.p50, response.mean, response.p99, rate, ...; for timed commands cpu or wall
    #[arg(long, value_name = "FIGURE")]
    pub metric: Option<String>,
    /// A change up to so many percent does not matter
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    pub margin: f64,
    /// How sure the interval is, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 95.0)]
    pub level: f64,
    /// So many users in each turn; each waits for his answer
    #[arg(long, value_name = "N", default_value_t = 8.0, conflicts_with = "rate")]
    pub users: f64,
    /// So many requests a second instead
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,
    /// Where a command that serves on {port} answers
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:{port}/")]
    pub url: String,
    /// What A and B are called
    #[arg(long, value_name = "A,B", value_delimiter = ',', num_args = 1)]
    pub names: Vec<String>,
    /// What and how to ask.
    #[command(flatten)]
    pub request: Request,
    /// What is allowed.
    #[command(flatten)]
    pub safety: Safety,
    /// Where reports go.
    #[command(flatten)]
    pub reports: Reports,
}

/// `history`.
#[derive(Clone, Debug, Args)]
pub struct History {
    /// Folders and files written by --store and --json
    #[arg(default_value = "runs")]
    pub stored: Vec<PathBuf>,
    /// The figures looked at; several are possible
    #[arg(long, value_name = "FIGURE", default_values_t = ["response.p50".to_owned(), "response.p99".to_owned(), "rate".to_owned()])]
    pub metric: Vec<String>,
    /// Only scenarios of this name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// How often a history without a change may be called one, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    pub alarms: f64,
    /// Where reports go.
    #[command(flatten)]
    pub reports: Reports,
}

/// `report`.
#[derive(Clone, Debug, Args)]
pub struct Report {
    /// A document written by --json or --store
    pub file: PathBuf,
    /// Where reports go; without any the report is printed.
    #[command(flatten)]
    pub reports: Reports,
}

/// `suite`.
#[derive(Clone, Debug, Args)]
pub struct Suite {
    /// The JSON document of an earlier run; what got noticeably worse ends with 6
    #[arg(long, value_name = "FILE")]
    pub earlier: Option<PathBuf>,
    /// A change up to so many percent is not spoken of
    #[arg(long, value_name = "PERCENT", default_value_t = 20.0)]
    pub noticeable: f64,
    /// Only these parts: api, data, storage, memory, concurrency, before-after
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Where reports go.
    #[command(flatten)]
    pub reports: Reports,
}

/// A duration as people write it.
fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write a number and ms, s, m or h, as 30s"))
}

const EXAMPLES: &str = "\
Examples:
  tidemill-bench load http://127.0.0.1:8080/ --rate 500 --targets --html report.html
  tidemill-bench search http://127.0.0.1:8080/ --pass 'response.p99<100ms'
  tidemill-bench run scenario.toml --json run.json --store runs
  tidemill-bench compare --pairs 10 http://127.0.0.1:8080/ http://127.0.0.1:8081/
  tidemill-bench compare 'old-server --port {port}' 'new-server --port {port}'
  tidemill-bench compare 'sort.old data' 'sort.new data'
  tidemill-bench history runs
  tidemill-bench suite --json suite.json

Exit codes: 0 pass, 2 bad input, 3 a promise was broken, 4 INVALID: the figures cannot be trusted, 5 stopped by a signal
or a stop rule, 6 worse than before.";
