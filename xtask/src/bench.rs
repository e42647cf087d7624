//! `cargo xtask bench AREA`: runs our benchmark, the rivals' beside it, and joins their rows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::process;
use crate::scenario;
use crate::servers::{self, Running};
use crate::workspace::Workspace;

/// Areas whose benchmark asks real servers.
const SERVED: &[&str] = &["collector"];

/// Areas whose rivals are run by a Python.
const BY_PYTHON: &[&str] = &["collector", "storage"];

/// Names a folder in which one side leaves data for the other.
const SHARED: &str = "TIDEMILL_BENCH_DIR";

/// Areas whose benchmark asks PostgreSQL.
const ON_DATABASE: &[&str] = &["lease", "task-queue"];

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A crate's short name: rate-limit
    area: String,
    /// Also run the rivals' binary of benches/rivals, in turns with ours (A B B A)
    #[arg(long)]
    rivals: bool,
    /// Where to write the rows, as a JSON list
    #[arg(long)]
    json: Option<PathBuf>,
    /// Measured rounds within each process, instead of the benchmark's own number
    #[arg(long)]
    rounds: Option<u32>,
}

/// A row as the binaries print it (ADR 0006); xtask has no edge to their library, so the shape stands here again
/// and a field too many or too few is an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) area: String,
    pub(crate) case: String,
    pub(crate) rival: String,
    pub(crate) unit: String,
    pub(crate) unit_kind: String,
    pub(crate) ours: Option<f64>,
    pub(crate) theirs: Option<f64>,
    pub(crate) ratio: Option<f64>,
    pub(crate) goal: Option<f64>,
    pub(crate) better: String,
    pub(crate) met: Option<bool>,
    pub(crate) rounds: u64,
    pub(crate) spread: Option<f64>,
    pub(crate) commit: String,
    pub(crate) machine: String,
}

/// `cargo xtask bench`.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut ours = scenario::binary(workspace, "bench", &options.area)?;
    let mut theirs = rival(workspace, &options.area);
    // Dropped at the end, which stops the servers.
    let servers = if SERVED.contains(&options.area.as_str()) {
        servers::with_symbols(workspace, 2000)?
    } else if ON_DATABASE.contains(&options.area.as_str()) {
        servers::database(workspace)?
    } else {
        Running::none()
    };
    let shared = workspace.target().join("bench").join(&options.area);
    for command in [&mut ours, &mut theirs] {
        command.envs(servers.variables()).env(SHARED, &shared);
    }
    if options.rivals && BY_PYTHON.contains(&options.area.as_str()) {
        let python = servers::python::rivals(workspace).map_err(anyhow::Error::msg)?;
        theirs.env(servers::python::RIVALS_VARIABLE, python);
    }
    if let Some(rounds) = options.rounds {
        for command in [&mut ours, &mut theirs] {
            command.args(["--rounds", &rounds.to_string()]);
        }
    }
    let mut rows = rows_of(&mut ours)?;
    if options.rivals {
        // A B B A: a machine that gets slower on the way slows both sides alike.
        rows.extend(rows_of(&mut theirs)?);
        rows.extend(rows_of(&mut theirs)?);
        rows.extend(rows_of(&mut ours)?);
    }
    finish(workspace, rows, options.json.as_deref())
}

fn rival(workspace: &Workspace, area: &str) -> Command {
    let name = format!("rival-{}", area.strip_prefix("tidemill-").unwrap_or(area));
    let mut command = process::cargo(["run", "--quiet", "--release", "--locked", "--bin", &name, "--"]);
    command.current_dir(workspace.path("benches/rivals"));
    command
}

/// Runs a binary; lines that begin with a brace are rows, all others are shown.
pub(crate) fn rows_of(command: &mut Command) -> Result<Vec<Row>> {
    eprintln!("$ {}", process::line(command));
    let output = command.stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8(output.stdout).context("the benchmark's output is not UTF-8")?;
    let (rows, prose): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('{'));
    prose.iter().for_each(|line| println!("{line}"));
    if !output.status.success() {
        // What was measured before it failed is not lost with it.
        rows.iter().for_each(|row| println!("{row}"));
        bail!(
            "{} ended with {}; the rows before that are printed above",
            process::line(command),
            output.status
        );
    }
    rows.iter().map(|row| serde_json::from_str(row).with_context(|| format!("not a row: {row}"))).collect()
}

/// Joins, stamps, prints and writes. An unmet goal is shown, not an error: the table is the result.
pub(crate) fn finish(workspace: &Workspace, rows: Vec<Row>, json: Option<&Path>) -> Result<()> {
    let (commit, machine) = (commit(workspace)?, machine());
    let mut rows = join(rows);
    for row in &mut rows {
        row.commit.clone_from(&commit);
        row.machine.clone_from(&machine);
    }
    println!("{}", table(&rows));
    if let Some(path) = json {
        std::fs::write(path, serde_json::to_string_pretty(&rows)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// One row per (area, case, rival), in the order of first appearance: medians of each side over the processes.
fn join(rows: Vec<Row>) -> Vec<Row> {
    let mut order = Vec::new();
    let mut groups: BTreeMap<(String, String, String), Vec<Row>> = BTreeMap::new();
    for row in rows {
        let key = (row.area.clone(), row.case.clone(), row.rival.clone());
        if !groups.contains_key(&key) {
            order.push(key.clone());
        }
        groups.entry(key).or_default().push(row);
    }
    order.iter().filter_map(|key| joined(groups.remove(key)?)).collect()
}

fn joined(group: Vec<Row>) -> Option<Row> {
    let mut row = group.first()?.clone();
    row.ours = median(group.iter().filter_map(|row| row.ours));
    row.theirs = median(group.iter().filter_map(|row| row.theirs));
    row.goal = group.iter().find_map(|row| row.goal);
    row.rounds = group.iter().map(|row| row.rounds).sum();
    row.spread = group.iter().filter_map(|row| row.spread).reduce(f64::max);
    row.ratio = match (row.ours, row.theirs) {
        (Some(ours), Some(theirs)) if theirs != 0.0 => Some(ours / theirs),
        _ => None,
    };
    // The goal bounds the ratio against a rival, and our value without one.
    let measured = if row.rival == "none" { row.ours } else { row.ratio };
    row.met = measured
        .zip(row.goal)
        .map(|(value, goal)| if row.better == "higher" { value >= goal } else { value <= goal });
    Some(row)
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

fn table(rows: &[Row]) -> String {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), significant);
    let head =
        ["case", "rival", "unit", "ours", "theirs", "ratio", "goal", "spread", "met"].map(str::to_owned);
    let mut lines = vec![head];
    for row in rows {
        let met = row.met.map_or("-", |met| if met { "yes" } else { "NO" });
        let unit = format!("{} ({})", row.unit, row.unit_kind);
        lines.push([
            row.case.clone(),
            row.rival.clone(),
            unit,
            number(row.ours),
            number(row.theirs),
            number(row.ratio),
            number(row.goal),
            row.spread.map_or("-".to_owned(), |spread| format!("{:.0} %", spread * 100.0)),
            met.to_owned(),
        ]);
    }
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let widths: [usize; 9] = std::array::from_fn(width);
    let show = |line: &[String; 9]| {
        let cells: Vec<String> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    lines.iter().map(show).collect::<Vec<_>>().join("\n")
}

/// Four significant digits.
pub(crate) fn significant(value: f64) -> String {
    let digits = if value == 0.0 { 0 } else { 3 - value.abs().log10().floor() as i32 };
    format!("{value:.*}", usize::try_from(digits.clamp(0, 9)).unwrap_or(0))
}

/// The short commit, marked when the tree differs from it.
fn commit(workspace: &Workspace) -> Result<String> {
    let head = process::read(&mut workspace.git(["rev-parse", "--short=12", "HEAD"]))?;
    let dirty = !process::read(&mut workspace.git(["status", "--porcelain"]))?.trim().is_empty();
    Ok(format!("{}{}", head.trim(), if dirty { "-dirty" } else { "" }))
}

/// Processor, cores, memory and kernel, as far as `/proc` tells.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let kib: f64 = memory.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0.0);
    let kernel = read("/proc/sys/kernel/osrelease");
    let model = field(&read("/proc/cpuinfo"), "model name");
    format!("{model}, {cores} cores, {:.0} GiB, Linux {}", kib / 1_048_576.0, kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(case: &str, rival: &str, ours: Option<f64>, theirs: Option<f64>, goal: Option<f64>) -> Row {
        Row {
            area: "rate-limit".into(),
            case: case.into(),
            rival: rival.into(),
            unit: "ns".into(),
            unit_kind: "cpu".into(),
            ours,
            theirs,
            ratio: None,
            goal,
            better: "lower".into(),
            met: None,
            rounds: 5,
            spread: Some(0.1),
            commit: String::new(),
            machine: String::new(),
        }
    }

    #[test]
    fn both_sides_of_a_case_become_one_judged_row() {
        let rows = vec![
            row("direct", "governor", Some(10.0), None, Some(0.5)),
            row("alone", "none", Some(7.0), None, Some(6.0)),
            row("direct", "governor", None, Some(30.0), None),
            row("direct", "governor", None, Some(50.0), None),
            row("direct", "governor", Some(12.0), None, Some(0.5)),
        ];
        let joined = join(rows);
        assert_eq!(joined.len(), 2);
        assert_eq!(
            (joined[0].ours, joined[0].theirs, joined[0].ratio),
            (Some(11.0), Some(40.0), Some(0.275))
        );
        assert_eq!((joined[0].met, joined[0].rounds), (Some(true), 20));
        assert_eq!(joined[1].met, Some(false), "7 is above the goal of 6");
    }

    #[test]
    fn a_case_without_its_other_side_is_not_met() {
        assert_eq!(join(vec![row("a", "governor", Some(1.0), None, Some(0.5))])[0].met, None);
        assert_eq!(join(vec![row("a", "governor", None, Some(1.0), Some(0.5))])[0].met, None);
    }

    #[test]
    fn an_unmet_goal_is_shown() {
        let text = table(&join(vec![row("alone", "none", Some(7.0), None, Some(6.0))]));
        assert!(text.contains("NO") && text.contains("7.000"), "{text}");
    }

    #[test]
    fn rows_are_told_from_prose_and_checked() {
        let line = serde_json::to_string(&row("a", "none", Some(1.0), None, None)).unwrap();
        let mut command = Command::new("printf");
        assert_eq!(rows_of(command.args(["warming up\n%s\n", &line])).unwrap().len(), 1);
        assert!(rows_of(Command::new("printf").args(["{\"area\": 1}\n"])).is_err());
        assert!(rows_of(&mut Command::new("false")).is_err());
    }
}
