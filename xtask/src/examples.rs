//! Builds every example and runs those that end by themselves.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{Package, TargetKind};

use crate::graph::Room;
use crate::process;
use crate::workspace::Workspace;

/// An example that takes longer is not quick: it names itself in `[package.metadata.examples-not-run]`.
const LIMIT: Duration = Duration::from_secs(120);

struct Example {
    name: String,
    program: PathBuf,
    features: Vec<String>,
}

/// `examples` of every crate, and the binaries of the packages under `examples/`.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let examples = find(workspace);
    build(workspace, &examples)?;
    let scratch = tempfile::tempdir()?;
    for example in &examples {
        let took = run_one(example, scratch.path()).with_context(|| format!("example {}", example.name))?;
        println!("example {:<40}{:>6.1} s", example.name, took.as_secs_f64());
    }
    println!("examples: {} built and run", examples.len());
    Ok(())
}

fn find(workspace: &Workspace) -> Vec<Example> {
    let debug = workspace.target().join("debug");
    let mut examples = Vec::new();
    for package in workspace.packages() {
        let not_run = not_run(package);
        let room = Room::of(workspace.folder(package));
        for target in &package.targets {
            let folder = match room {
                _ if target.kind.contains(&TargetKind::Example) => debug.join("examples"),
                Room::Examples if target.kind.contains(&TargetKind::Bin) => debug.clone(),
                _ => continue,
            };
            if let Some(reason) = not_run.get(&target.name) {
                println!("example {} is built, not run: {reason}", target.name);
                continue;
            }
            let features =
                target.required_features.iter().map(|feature| format!("{}/{feature}", package.name));
            let program = folder.join(&target.name);
            examples.push(Example { name: target.name.clone(), program, features: features.collect() });
        }
    }
    examples
}

/// `[package.metadata.examples-not-run]`: name = "reason".
fn not_run(package: &Package) -> BTreeMap<String, String> {
    let table = package.metadata.get("examples-not-run").cloned().unwrap_or_default();
    serde_json::from_value(table).unwrap_or_default()
}

fn build(workspace: &Workspace, examples: &[Example]) -> Result<()> {
    let features: Vec<&str> = examples.iter().flat_map(|e| &e.features).map(String::as_str).collect();
    let mut command = workspace.cargo(["build", "--quiet", "--workspace", "--examples", "--bins"]);
    if !features.is_empty() {
        command.args(["--features", &features.join(",")]);
    }
    process::run(&mut command)
}

fn run_one(example: &Example, scratch: &std::path::Path) -> Result<Duration> {
    let start = Instant::now();
    let output = scratch.join(format!("{}.out", example.name));
    let file = std::fs::File::create(&output)?;
    let mut child = Command::new(&example.program)
        .current_dir(scratch)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("cannot start {}", example.program.display()))?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            bail!("did not end within {} s", LIMIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    if !status.success() {
        eprint!("{}", std::fs::read_to_string(&output).unwrap_or_default());
        bail!("ended with {status}");
    }
    Ok(start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_example_fails_and_a_good_one_does_not() {
        let scratch = tempfile::tempdir().unwrap();
        let example =
            |program: &str| Example { name: program.into(), program: program.into(), features: Vec::new() };
        assert!(run_one(&example("true"), scratch.path()).is_ok());
        assert!(run_one(&example("false"), scratch.path()).is_err());
        assert!(run_one(&example("no-such-program-of-ours"), scratch.path()).is_err());
    }
}
