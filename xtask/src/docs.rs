//! What documents name must exist: links, commands, decision records; and rustdoc must not warn.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::process;
use crate::source::SourceFile;
use crate::tidy::Finding;
use crate::workspace::Workspace;
use crate::{bench_table, cli};

/// Subcommands of cargo itself that a README may use.
const CARGO: &[&str] =
    &["add", "bench", "build", "check", "clippy", "doc", "fmt", "install", "new", "publish", "run", "test"];

/// Rustdoc of the workspace, where a warning is an error.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let mut command = workspace.cargo(["doc", "--workspace", "--no-deps"]);
    process::run(command.env("RUSTDOCFLAGS", "-D warnings"))
}

/// `cargo xtask docs --check`.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let files: BTreeSet<String> = workspace.files()?.into_iter().collect();
    let sources = workspace.sources()?;
    let documents: Vec<&SourceFile> = sources.iter().filter(|file| file.path.ends_with(".md")).collect();
    let mut findings: Vec<Finding> = documents.iter().flat_map(|file| links(file, &files)).collect();
    let aliases = aliases(workspace)?;
    for file in documents.iter().filter(|file| file.file_name() == "README.md") {
        findings.extend(commands(file, &aliases, &cli::names()));
    }
    let index = documents.iter().find(|file| file.path == "docs/adr/README.md");
    let records: Vec<&str> = files.iter().map(String::as_str).collect();
    findings.extend(decisions(&records, index.map(|file| file.text.as_str()).unwrap_or_default()));
    findings.iter().for_each(|finding| eprintln!("docs: {finding}"));
    if !findings.is_empty() {
        bail!("{} documents name what does not exist", findings.len());
    }
    bench_table::check(workspace)?;
    println!("docs: {} documents name only what exists", documents.len());
    Ok(())
}

/// Relative links whose target is no file or folder of the workspace.
fn links(file: &SourceFile, files: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut fenced = false;
    for (index, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for target in targets(line) {
            let path = target.split(['#', '?']).next().unwrap_or(target);
            if path.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            if !resolves(&file.path, path, files) {
                findings.push(Finding::new(
                    &file.path,
                    index + 1,
                    format!("the link {target} leads nowhere"),
                ));
            }
        }
    }
    findings
}

/// Targets of `[text](target)` and of `[name]: target`, outside code spans.
fn targets(line: &str) -> Vec<&str> {
    let prose: Vec<&str> = line.split('`').step_by(2).collect();
    let mut targets = Vec::new();
    // A code span inside the brackets splits `](` from its text, never the target itself.
    for part in prose {
        for rest in part.split("](").skip(1) {
            targets.extend(rest.split([')', ' ']).next().map(|target| target.trim_matches(['<', '>'])));
        }
    }
    if let Some((name, target)) = line.split_once("]: ")
        && name.starts_with('[')
        && !name.starts_with("[^")
    {
        targets.extend(target.split_whitespace().next());
    }
    targets
}

fn resolves(from: &str, target: &str, files: &BTreeSet<String>) -> bool {
    let mut path = Path::new(from).parent().unwrap_or(Path::new("")).to_path_buf();
    for component in Path::new(target).components() {
        match component {
            Component::ParentDir if !path.pop() => return false,
            Component::Normal(name) => path.push(name),
            Component::RootDir | Component::Prefix(_) => return false,
            Component::ParentDir | Component::CurDir => {}
        }
    }
    exists(&path, files)
}

fn exists(path: &PathBuf, files: &BTreeSet<String>) -> bool {
    path.as_os_str().is_empty() || files.iter().any(|file| Path::new(file).starts_with(path))
}

/// Cargo aliases, each with the package it runs; one that names no member is left out.
fn aliases(workspace: &Workspace) -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(workspace.path(".cargo/config.toml")).context(".cargo/config.toml")?;
    let config: toml::Table = text.parse()?;
    let aliases: BTreeMap<String, String> =
        config.get("alias").cloned().map(toml::Value::try_into).transpose()?.unwrap_or_default();
    let members: Vec<String> = workspace.packages().iter().map(|package| package.name.to_string()).collect();
    Ok(working(&aliases, &members))
}

fn working(aliases: &BTreeMap<String, String>, members: &[String]) -> BTreeSet<String> {
    let runs_a_member = |command: &str| {
        let package = command.split_whitespace().skip_while(|word| *word != "--package").nth(1);
        package.is_none_or(|package| members.iter().any(|member| member == package))
    };
    aliases.iter().filter(|(_, command)| runs_a_member(command)).map(|(name, _)| name.clone()).collect()
}

/// `$ cargo …` lines of `console` blocks that no alias, cargo or xtask answers.
fn commands(file: &SourceFile, aliases: &BTreeSet<String>, tasks: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut console = false;
    for (index, line) in file.text.lines().enumerate() {
        if let Some(tag) = line.trim().strip_prefix("```") {
            console = !console && tag.trim() == "console";
        }
        let Some(words) = line.trim().strip_prefix("$ cargo ").filter(|_| console) else { continue };
        let words: Vec<&str> = words.split_whitespace().collect();
        let says = match words.as_slice() {
            ["xtask", task, ..] if !tasks.iter().any(|known| known == task) => {
                format!("`cargo xtask {task}` does not exist")
            }
            [name, ..] if !aliases.contains(*name) && !CARGO.contains(name) => {
                format!("`cargo {name}` does not exist")
            }
            _ => continue,
        };
        findings.push(Finding::new(&file.path, index + 1, says));
    }
    findings
}

/// Decision records whose number is taken twice or which the index does not list.
fn decisions(files: &[&str], index: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut numbers = BTreeMap::new();
    for path in files {
        let Some(name) = path.strip_prefix("docs/adr/").filter(|name| *name != "README.md") else { continue };
        let number = name.split('-').next().unwrap_or_default();
        if number.len() != 4 || !number.bytes().all(|b| b.is_ascii_digit()) {
            findings.push(Finding::new(path, 0, "a record is called NNNN-title.md"));
        } else if let Some(other) = numbers.insert(number, name) {
            findings.push(Finding::new(path, 0, format!("has the number of {other}")));
        }
        if !index.contains(name) {
            findings.push(Finding::new(path, 0, "is not listed in docs/adr/README.md"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.into(), text: text.into() }
    }

    fn files() -> BTreeSet<String> {
        ["README.md", "docs/A.md", "crates/a/src/lib.rs"].map(str::to_owned).into()
    }

    #[test]
    fn links_that_resolve_are_fine() {
        let text = "[a](docs/A.md#part) [b](crates/a/) [c](https://x.y/z) [d](#here) ![e](./docs/A.md)\n\
            `[x](no.md)`\n```\n[y](no.md)\n```\n[ref]: docs/A.md\n[`code`](docs/A.md)\n";
        assert_eq!(links(&document("README.md", text), &files()), []);
        assert_eq!(links(&document("docs/A.md", "[up](../README.md)\n"), &files()), []);
    }

    #[test]
    fn links_that_lead_nowhere_are_found_with_their_line() {
        for bad in
            ["[a](docs/B.md)", "[a](/README.md)", "[a](../README.md)", "[ref]: gone.md", "[`code`](gone.rs)"]
        {
            let findings = links(&document("README.md", &format!("# T\n{bad}\n")), &files());
            assert_eq!(findings.len(), 1, "{bad}: {findings:?}");
            assert_eq!(findings[0].line, 2);
        }
    }

    #[test]
    fn quoted_commands_must_exist() {
        let aliases = BTreeSet::from(["collector".to_owned(), "xtask".to_owned()]);
        let tasks = ["test".to_owned()];
        let check = |line: &str| {
            commands(&document("README.md", &format!("```console\n{line}\n```\n")), &aliases, &tasks).len()
        };
        assert_eq!(check("$ cargo collector run --once"), 0);
        assert_eq!(check("$ cargo xtask test"), 0);
        assert_eq!(check("$ cargo test -p x"), 0);
        assert_eq!(check("cargo nothing: output, not a command"), 0);
        assert_eq!(check("$ cargo monitor run"), 1);
        assert_eq!(check("$ cargo xtask dance"), 1);
        let other = document("README.md", "```text\n$ cargo monitor\n```\n$ cargo monitor\n");
        assert_eq!(commands(&other, &aliases, &tasks), []);
    }

    #[test]
    fn an_alias_of_a_package_that_is_not_there_does_not_work() {
        let aliases =
            [("collector", "run --package tidemill-collector --"), ("monitor", "run --package gone --")];
        let aliases = aliases.map(|(name, command)| (name.to_owned(), command.to_owned())).into();
        let working = working(&aliases, &["tidemill-collector".to_owned()]);
        assert_eq!(working, BTreeSet::from(["collector".to_owned()]));
    }

    #[test]
    fn decision_records_have_their_own_number_and_a_line_in_the_index() {
        let index = "- [0001](0001-layers.md)\n- [0002](0002-errors.md)\n";
        assert_eq!(decisions(&["docs/adr/0001-layers.md", "docs/adr/README.md"], index), []);
        let twice = decisions(&["docs/adr/0001-layers.md", "docs/adr/0001-x.md"], "0001-layers.md 0001-x.md");
        assert_eq!(twice.len(), 1);
        assert_eq!(decisions(&["docs/adr/0003-time.md"], index).len(), 1);
        assert_eq!(decisions(&["docs/adr/notes.md"], "notes.md").len(), 1);
    }
}
