//! `cargo xtask test`: all tests, with the real servers they talk to.

use std::io::BufReader;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::process;
use crate::servers::{self, Running};
use crate::source::SourceFile;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// Starts the servers, runs `cargo test`, stops the servers, prints the totals on a line of their own.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    let running = servers::for_tests(workspace)?;
    let skipped = skipped(&workspace.sources()?, &running);
    let outcome = cargo_test(workspace, args, &running);
    for (server, why) in &running.missing {
        eprintln!("\nSKIPPED: {server} is missing: {why}");
    }
    for line in &skipped {
        eprintln!("SKIPPED: {line}");
    }
    drop(running);
    let (tally, status) = outcome?;
    println!("{tally}");
    match status {
        None => Ok(()),
        Some(status) => bail!("cargo test ended with {status}"),
    }
}

fn cargo_test(workspace: &Workspace, args: &[String], running: &Running) -> Result<(Tally, Option<String>)> {
    let mut command = workspace.cargo(["test", "--no-fail-fast"]);
    // `-p CRATE` and `-pCRATE` choose packages themselves.
    if !args.iter().any(|arg| arg.starts_with("-p") || arg.starts_with("--package") || arg == "--workspace") {
        command.arg("--workspace");
    }
    command.args(args).envs(running.variables()).stdout(Stdio::piped());
    eprintln!("$ {}", process::line(&command));
    stream(&mut command)
}

/// The tally, and how the command ended when it ended badly.
fn stream(command: &mut Command) -> Result<(Tally, Option<String>)> {
    let mut child = command.spawn().with_context(|| format!("cannot start {}", process::line(command)))?;
    let stdout = child.stdout.take().context("its stdout is not ours")?;
    let mut tally = Tally::stream(BufReader::new(stdout), std::io::stdout().lock())?;
    let status = child.wait()?;
    if status.success() {
        return Ok((tally, None));
    }
    // A test binary that aborts, or code that does not compile, prints no result line: it still failed.
    tally.failed = tally.failed.max(1);
    Ok((tally, Some(status.to_string())))
}

/// The places that read a variable which nobody set, because its server is missing.
fn skipped(sources: &[SourceFile], running: &Running) -> Vec<String> {
    let mut places = Vec::new();
    let tests = sources.iter().filter(|file| file.is_rust() && !file.path.starts_with("xtask/"));
    for file in tests {
        let mut function = "";
        for (index, line) in file.text.lines().enumerate() {
            if let Some((_, rest)) = line.split_once("fn ") {
                function = rest.split(['(', '<']).next().unwrap_or(rest);
            }
            let unset = running.missing_variables.iter().find(|name| line.contains(name.as_str()));
            if let Some(name) = unset {
                places.push(format!("{}:{} {function} needs {name}", file.path, index + 1));
            }
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_need_a_missing_server_are_listed() {
        let mut running = Running::none();
        running.missing_variables.push("TIDEMILL_TEST_PROVIDER_NGINX_NOTE".to_owned());
        let text = "//! A.\n#[test]\nfn note_is_learnt() {\n    let base = var(\"TIDEMILL_TEST_PROVIDER_NGINX_NOTE\");\n}\n\
            fn other() { var(\"TIDEMILL_TEST_PYTHON\") }\n";
        let file = SourceFile { path: "bins/a/tests/it/real.rs".into(), text: text.into() };
        let places = skipped(&[file], &running);
        assert_eq!(
            places,
            ["bins/a/tests/it/real.rs:4 note_is_learnt needs TIDEMILL_TEST_PROVIDER_NGINX_NOTE"]
        );
    }

    #[test]
    fn an_end_without_a_result_line_is_a_failure() {
        let mut command = Command::new("git");
        command.arg("no-such-command").stdout(Stdio::piped()).stderr(Stdio::null());
        let (tally, status) = stream(&mut command).unwrap();
        assert_eq!(tally.failed, 1);
        assert!(status.is_some());
    }
}
