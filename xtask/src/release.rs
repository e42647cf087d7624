//! Publishing: the order, what must be true before, and the commands.

use anyhow::{Result, bail};

use crate::graph::{Graph, Room};
use crate::process;
use crate::workspace::Workspace;

/// What to do about a release.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Task {
    /// Prints the crates in the order they are published
    Plan,
    /// Versions, changelogs and a dry run of `cargo package`
    Check,
    /// Publishes every crate in order; without --execute it only prints the commands
    Publish {
        /// Really publish
        #[arg(long)]
        execute: bool,
    },
}

/// A crate about to be published.
#[derive(Debug)]
struct Candidate {
    name: String,
    version: String,
    folder: String,
    description: bool,
    /// Path dependencies without a version requirement, and their names.
    unversioned: Vec<String>,
}

/// `cargo xtask release`.
pub(crate) fn run(workspace: &Workspace, task: &Task) -> Result<()> {
    let candidates = candidates(workspace)?;
    match task {
        Task::Plan => {
            for (position, candidate) in candidates.iter().enumerate() {
                println!("{:>3}  {} {}", position + 1, candidate.name, candidate.version);
            }
            Ok(())
        }
        Task::Check => check(workspace, &candidates, false),
        Task::Publish { execute } => {
            if *execute {
                check(workspace, &candidates, true)?;
            }
            publish(workspace, &candidates, *execute)
        }
    }
}

/// The publishable members, each after what it needs.
fn candidates(workspace: &Workspace) -> Result<Vec<Candidate>> {
    let graph = Graph::from_metadata(&workspace.metadata);
    let order = graph.topological().map_err(anyhow::Error::msg)?;
    let packages = workspace.packages();
    let mut candidates = Vec::new();
    for member in order {
        let Some(package) = packages.iter().find(|package| package.name == member.name) else { continue };
        let publishable = package.publish.as_ref().is_none_or(|registries| !registries.is_empty());
        if !publishable || member.room == Room::Xtask {
            continue;
        }
        let unversioned = package.dependencies.iter().filter(|dependency| {
            dependency.path.is_some()
                && dependency.req.to_string() == "*"
                && dependency.kind != cargo_metadata::DependencyKind::Development
        });
        candidates.push(Candidate {
            name: member.name.clone(),
            version: package.version.to_string(),
            folder: member.folder.clone(),
            description: package.description.is_some() && package.license.is_some(),
            unversioned: unversioned.map(|dependency| dependency.name.clone()).collect(),
        });
    }
    Ok(candidates)
}

/// `strict` asks for a changelog entry under the version itself.
fn check(workspace: &Workspace, candidates: &[Candidate], strict: bool) -> Result<()> {
    let version = workspace_version(&std::fs::read_to_string(workspace.path("Cargo.toml"))?)?;
    let mut findings = Vec::new();
    for candidate in candidates {
        let changelog = workspace.path(&candidate.folder).join("CHANGELOG.md");
        let changelog = std::fs::read_to_string(changelog).unwrap_or_default();
        findings.extend(faults(candidate, &version, &changelog, strict));
    }
    findings.iter().for_each(|finding| eprintln!("release: {finding}"));
    if !findings.is_empty() {
        bail!("{} faults stand before a release", findings.len());
    }
    package(workspace, candidates)?;
    println!("release: {} crates of version {version} can be packaged", candidates.len());
    Ok(())
}

fn workspace_version(manifest: &str) -> Result<String> {
    let manifest: toml::Table = manifest.parse()?;
    let version = manifest.get("workspace").and_then(|w| w.get("package")?.get("version")?.as_str());
    version.map(str::to_owned).ok_or_else(|| anyhow::anyhow!("Cargo.toml has no workspace.package.version"))
}

/// What keeps one crate from being published.
fn faults(candidate: &Candidate, version: &str, changelog: &str, strict: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let name = &candidate.name;
    if candidate.version != version {
        faults.push(format!("{name} has version {}, the workspace {version}", candidate.version));
    }
    if !candidate.description {
        faults.push(format!("{name} has no description or no licence"));
    }
    for dependency in &candidate.unversioned {
        faults.push(format!("{name} needs {dependency} by path alone: a published crate needs a version"));
    }
    let released = entries(changelog, version);
    if strict && released == 0 {
        faults.push(format!("{name}: CHANGELOG.md has no entry under ## {version}"));
    } else if released + entries(changelog, "Unreleased") == 0 {
        faults.push(format!("{name}: CHANGELOG.md has no entry under ## Unreleased or ## {version}"));
    }
    faults
}

/// Lines with text under the heading `## TITLE`, which may carry a date.
fn entries(changelog: &str, title: &str) -> usize {
    let is_heading = |line: &&str| {
        let heading = line.strip_prefix("## ").map(|heading| heading.trim_start_matches('['));
        heading.is_some_and(|heading| {
            heading.strip_prefix(title).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', ']']))
        })
    };
    let after = changelog.lines().skip_while(|line| !is_heading(line)).skip(1);
    after.take_while(|line| !line.starts_with("## ")).filter(|line| !line.trim().is_empty()).count()
}

/// One `cargo package` over all of them, which lets them find one another before they are published.
fn package(workspace: &Workspace, candidates: &[Candidate]) -> Result<()> {
    let mut command = workspace.cargo(["package", "--quiet", "--no-verify", "--allow-dirty"]);
    for candidate in candidates {
        let files = process::read(&mut workspace.cargo([
            "package",
            "--list",
            "--allow-dirty",
            "--package",
            &candidate.name,
        ]))?;
        for needed in ["README.md", "CHANGELOG.md", "src/lib.rs"] {
            if !files.lines().any(|file| file == needed) {
                bail!("the package of {} would have no {needed}", candidate.name);
            }
        }
        command.args(["--package", &candidate.name]);
    }
    process::run(&mut command)
}

fn publish(workspace: &Workspace, candidates: &[Candidate], execute: bool) -> Result<()> {
    for candidate in candidates {
        let mut command = workspace.cargo(["publish", "--package", &candidate.name]);
        if execute {
            // Cargo waits until the registry shows the crate, so the next one finds it.
            process::run(&mut command)?;
        } else {
            println!("{}", process::line(&command));
        }
    }
    if !execute {
        println!("nothing was published; add --execute");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate() -> Candidate {
        Candidate {
            name: "tidemill-a".into(),
            version: "0.2.0".into(),
            folder: "crates/tidemill-a".into(),
            description: true,
            unversioned: Vec::new(),
        }
    }

    const CHANGELOG: &str = "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-11-20\n\n- First.\n\n## 0.1.0\n";

    #[test]
    fn a_ready_crate_has_no_fault() {
        assert_eq!(faults(&candidate(), "0.2.0", CHANGELOG, true), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_found() {
        let cases = [
            (Candidate { version: "0.1.0".into(), ..candidate() }, CHANGELOG, "has version 0.1.0"),
            (Candidate { description: false, ..candidate() }, CHANGELOG, "no description"),
            (Candidate { unversioned: vec!["tidemill-b".into()], ..candidate() }, CHANGELOG, "by path alone"),
            (candidate(), "# Changelog\n\n## Unreleased\n", "CHANGELOG.md has no entry"),
            (candidate(), "## 0.2.01\n- Other.\n", "CHANGELOG.md has no entry"),
        ];
        for (candidate, changelog, words) in cases {
            let found = faults(&candidate, "0.2.0", changelog, false);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(words), "{found:?}");
        }
    }

    #[test]
    fn publishing_needs_the_version_in_the_changelog() {
        let unreleased = "## Unreleased\n\n- First.\n";
        assert!(faults(&candidate(), "0.2.0", unreleased, false).is_empty());
        assert_eq!(faults(&candidate(), "0.2.0", unreleased, true).len(), 1);
    }

    #[test]
    fn the_order_keeps_needs_first_and_leaves_private_packages_out() {
        let workspace = Workspace::load().unwrap();
        let names: Vec<String> = candidates(&workspace).unwrap().into_iter().map(|c| c.name).collect();
        let position = |name: &str| names.iter().position(|other| other == name);
        assert!(position("tidemill-journal") < position("tidemill-storage"), "{names:?}");
        assert!(position("tidemill-journal").is_some());
        for private in ["xtask", "tidemill-collector", "tidemill-benches", "tidemill-measure"] {
            assert_eq!(position(private), None, "{private}");
        }
    }
}
