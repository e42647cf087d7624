//! What the collector costs on an open port: 2000 symbols of 100 bars each from a real nginx, by the shipped program.
//!
//! `cargo xtask bench collector` starts the server and says where it is; with `--rivals` dlt and, where it exists beside
//! this checkout, the guide's own pipeline ask the same server for the same symbols.

use std::error::Error;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use tidemill_benches::{Better, Rounds, Row, Samples, UnitKind};

/// What one run came to.
struct Run {
    rows: f64,
    elapsed_s: f64,
    cpu_s: f64,
    rss_mib: f64,
}

/// As this program's first argument: run the rest as a command and say on standard error what it used. A process of its
/// own, since the largest of all children of this one would be the compiler.
const MEASURED: &str = "--measured";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == MEASURED) {
        return measured(args);
    }
    let base_url = variable("TIDEMILL_TEST_PROVIDER_NGINX_OPEN")?;
    let symbols = PathBuf::from(variable("TIDEMILL_TEST_PROVIDER_SYMBOLS")?);
    let program = program()?;
    // A run is a whole process; the first pays for cold files and is left out.
    let rounds = Rounds::from_args(5).count();
    let runs = (0..=rounds).map(|_| run(&program, &base_url, &symbols)).collect::<Result<Vec<_>, _>>()?;
    let of = |value: fn(&Run) -> f64| -> Samples { runs[1..].iter().map(value).collect() };
    let cpu = of(|run| run.cpu_s * 1e6 / run.rows);
    let speed = of(|run| run.rows / run.elapsed_s);
    for (rival, cpu_goal, speed_goal) in [("dlt", Some(0.05), Some(8.0)), ("guide", None, None)] {
        let row =
            Row::new("collector", "open port, CPU a row", "us", UnitKind::Cpu, Better::Lower).rival(rival);
        goal(row.ours(&cpu), cpu_goal).emit()?;
        let row =
            Row::new("collector", "open port, speed", "rows/s", UnitKind::Wall, Better::Higher).rival(rival);
        goal(row.ours(&speed), speed_goal).emit()?;
    }
    let memory = of(|run| run.rss_mib);
    Row::new("collector", "open port, resident at most", "MiB", UnitKind::Count, Better::Lower)
        .ours(&memory)
        .goal(64.0)
        .emit()?;
    Ok(ExitCode::SUCCESS)
}

fn goal(row: Row, goal: Option<f64>) -> Row {
    match goal {
        Some(goal) => row.goal(goal),
        None => row,
    }
}

fn variable(name: &str) -> Result<String, Box<dyn Error>> {
    std::env::var(name)
        .map_err(|_| format!("{name} is not set; start this by `cargo xtask bench collector`").into())
}

/// Builds the shipped program beside this one.
fn program() -> Result<PathBuf, Box<dyn Error>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--package", "tidemill-collector"])
        .status()?;
    if !built.success() {
        return Err("the collector does not build".into());
    }
    let here = std::env::current_exe()?;
    Ok(here.with_file_name("tidemill-collector"))
}

fn run(program: &Path, base_url: &str, symbols: &Path) -> Result<Run, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let config = dir.path().join("collector.toml");
    let text = format!(
        "[[provider]]\nname = \"open\"\nadapter = \"alpha-vantage\"\nbase_url = {base_url:?}\nkeys = [\"k1\"]\n\
         [[dataset]]\nname = \"us_daily\"\nprovider = \"open\"\nsymbols_file = {symbols:?}\n"
    );
    std::fs::write(&config, text)?;
    let (data, out) = (dir.path().join("data"), dir.path().join("summary.json"));
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg(MEASURED)
        .arg(program)
        .args(["run", "--once", "--quiet", "--config"])
        .arg(&config)
        .arg("--data")
        .arg(&data)
        .arg("--summary")
        .arg(&out);
    // What tells this benchmark where its server is is no setting of the program.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDEMILL_")) {
        command.env_remove(name);
    }
    let output = command.stderr(Stdio::piped()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("the collector ended with {}: {said}", output.status).into());
    }
    let used =
        said.lines().last().and_then(|line| line.split_once(' ')).ok_or("what the run used is missing")?;
    let summary: serde_json::Value = serde_json::from_slice(&std::fs::read(&out)?)?;
    let number = |name: &str| summary[name].as_f64().ok_or_else(|| format!("the summary has no {name}"));
    Ok(Run {
        rows: number("rows_stored")?,
        elapsed_s: number("elapsed_s")?,
        cpu_s: used.0.parse::<f64>()? / 1e6,
        rss_mib: used.1.parse::<f64>()? / 1024.0,
    })
}

/// Runs one command; the last line on standard error is its processor time in microseconds, start and end included, and
/// its largest resident size in KiB.
fn measured(mut args: impl Iterator<Item = OsString>) -> Result<ExitCode, Box<dyn Error>> {
    let program = args.next().ok_or("a command is missing")?;
    let status = Command::new(program).args(args).stdout(Stdio::null()).status()?;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = usage.user_time() + usage.system_time();
    writeln!(std::io::stderr(), "\n{} {}", cpu.num_microseconds(), usage.max_rss())?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
