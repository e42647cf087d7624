//! The rhythm of the sources: rules a compiler does not know, each a function from text to findings.

use anyhow::{Result, bail};

use crate::graph::Room;
use crate::source::SourceFile;
use crate::workspace::Workspace;

mod conventions;
mod items;
mod length;
mod package;
mod text;
mod whereabouts;

/// One place where a rule is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// One-based; 0 when the whole file or folder is meant.
    pub(crate) line: usize,
    pub(crate) says: String,
    /// A warning is printed and does not fail.
    pub(crate) warning: bool,
}

impl Finding {
    pub(crate) fn new(path: &str, line: usize, says: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, says: says.into(), warning: false }
    }

    fn warning(mut self) -> Self {
        self.warning = true;
        self
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line = if self.line == 0 { String::new() } else { format!(":{}", self.line) };
        write!(f, "{}{line}: {}", self.path, self.says)
    }
}

/// `cargo xtask tidy`.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let sources = workspace.sources()?;
    let mut findings: Vec<Finding> = sources.iter().flat_map(check_file).collect();
    let files: Vec<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let mut crates = Vec::new();
    for package in workspace.packages() {
        let folder = workspace.folder(package);
        if matches!(Room::of(folder), Room::Library | Room::Binary) {
            findings.extend(package::check(folder, &files));
            crates.push(folder);
        }
    }
    if let Some(map) = sources.iter().find(|source| source.path == "docs/ARCHITECTURE.md") {
        findings.extend(whereabouts::check(&map.text, &files, &crates));
    }
    report(&findings, sources.len())
}

fn report(findings: &[Finding], files: usize) -> Result<()> {
    for finding in findings {
        eprintln!("{}: {finding}", if finding.warning { "warning" } else { "tidy" });
    }
    let broken = findings.iter().filter(|finding| !finding.warning).count();
    if broken > 0 {
        bail!("{broken} places are not tidy");
    }
    println!("tidy: {files} files, {} warnings", findings.len());
    Ok(())
}

/// The rules that need one file only.
fn check_file(file: &SourceFile) -> Vec<Finding> {
    let mut findings = text::check(file);
    if file.is_rust() {
        findings.extend(length::check(file));
        findings.extend(items::check(file));
        findings.extend(conventions::check(file));
    }
    findings
}

#[cfg(test)]
fn file(path: &str, text: &str) -> SourceFile {
    SourceFile { path: path.to_owned(), text: text.to_owned() }
}
