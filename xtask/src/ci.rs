//! Everything a change must pass, cheapest first, with the seconds each step took.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;
use crate::{arch, docs, examples, process, test, tidy};

/// A named step.
struct Step<'a> {
    name: &'static str,
    run: Box<dyn FnMut() -> Result<()> + 'a>,
}

fn step<'a>(name: &'static str, run: impl FnMut() -> Result<()> + 'a) -> Step<'a> {
    Step { name, run: Box::new(run) }
}

/// `cargo xtask ci`.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let steps = vec![
        step("fmt", || process::run(&mut workspace.cargo(["fmt", "--all", "--check"]))),
        step("tidy", || tidy::run(workspace)),
        step("arch", || arch::run(workspace)),
        step("clippy", || clippy(workspace)),
        step("docs", || docs::check(workspace).and_then(|()| docs::build(workspace))),
        step("tests", || test::run(workspace, &[])),
        step("examples", || examples::run(workspace)),
    ];
    let (seconds, outcome) = run_steps(steps);
    println!("\n{}", table(&seconds));
    outcome
}

fn clippy(workspace: &Workspace) -> Result<()> {
    process::run(&mut workspace.cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// Runs until one fails; says how long each took, the failed one included.
fn run_steps(steps: Vec<Step<'_>>) -> (Vec<(&'static str, Duration)>, Result<()>) {
    let mut seconds = Vec::new();
    for mut step in steps {
        eprintln!("\n== {}", step.name);
        let start = Instant::now();
        let outcome = (step.run)();
        seconds.push((step.name, start.elapsed()));
        if let Err(error) = outcome {
            return (seconds, Err(error).with_context(|| format!("ci stopped at the step `{}`", step.name)));
        }
    }
    (seconds, Ok(()))
}

fn table(seconds: &[(&str, Duration)]) -> String {
    let total: Duration = seconds.iter().map(|(_, took)| *took).sum();
    let rows = seconds.iter().copied().chain([("total", total)]);
    rows.map(|(name, took)| format!("{name:<10}{:>8.1} s", took.as_secs_f64())).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use anyhow::bail;

    use super::*;

    #[test]
    fn the_first_failure_stops_and_is_named() {
        let ran = RefCell::new(Vec::new());
        let steps = vec![
            step("fmt", || {
                ran.borrow_mut().push("fmt");
                Ok(())
            }),
            step("tidy", || bail!("untidy")),
            step("tests", || {
                ran.borrow_mut().push("tests");
                Ok(())
            }),
        ];
        let (seconds, outcome) = run_steps(steps);
        assert_eq!(*ran.borrow(), ["fmt"]);
        let text = format!("{:#}", outcome.unwrap_err());
        assert!(text.contains("`tidy`") && text.contains("untidy"), "{text}");
        assert_eq!(seconds.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["fmt", "tidy"]);
    }

    #[test]
    fn the_table_ends_with_the_sum() {
        let text = table(&[("fmt", Duration::from_millis(1500)), ("tidy", Duration::from_millis(500))]);
        assert!(text.ends_with("total          2.0 s"), "{text}");
    }
}
