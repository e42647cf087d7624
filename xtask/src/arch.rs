//! The dependency rules of the house, checked on cargo's metadata.

use anyhow::{Result, bail};

use crate::graph::{Graph, Package, Room};
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

/// Library to library edges that are wanted; `X -> X-macros` is allowed besides.
const LIBRARY_EDGES: &[(&str, &str)] =
    &[("tidemill-storage", "tidemill-journal"), ("tidemill-cache", "tidemill-journal")];

/// Whom we measure ourselves against; they live in `benches/rivals` with a lockfile of their own.
const RIVALS: &[&str] = &[
    "apalis",
    "deadpool-runtime",
    "drill",
    "goose",
    "governor",
    "leaky-bucket",
    "measured",
    "metrics-exporter-prometheus",
    "prometheus",
    "prometheus-client",
    "ratelimit",
];

/// Names under which everything ends up in one place.
const DRAWERS: &[&str] = &["common", "utils", "util", "types", "helpers", "core", "shared", "misc"];

/// The executables' shared part; the only package of `bins` that others may use.
const SHELL: &str = "tidemill-shell";

/// `cargo xtask arch`.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let graph = Graph::from_metadata(&workspace.metadata);
    let mut findings = check(&graph);
    findings.extend(locked_rivals(&std::fs::read_to_string(workspace.path("Cargo.lock"))?)?);
    if findings.is_empty() {
        println!("arch: {} packages, every edge is allowed", graph.packages.len());
        return Ok(());
    }
    findings.iter().for_each(|finding| eprintln!("arch: {finding}"));
    bail!("{} broken dependency rules", findings.len())
}

/// Every broken rule, as a sentence that says what to change.
fn check(graph: &Graph) -> Vec<String> {
    graph.packages.iter().flat_map(|package| check_package(graph, package)).collect()
}

fn check_package(graph: &Graph, package: &Package) -> Vec<String> {
    let mut findings = Vec::new();
    let name = &package.name;
    match package.room {
        Room::Elsewhere => findings.push(format!(
            "{name} stands in {}: packages live in crates, bins, benches, examples or xtask",
            package.folder
        )),
        Room::Rivals => findings.push(format!(
            "{name} is a member of the workspace: benches/rivals has its own workspace and lockfile"
        )),
        Room::Library if !is_macros(name) && package.folder != format!("crates/{name}") => {
            findings.push(format!("{name} stands in {}: the folder has the package's name", package.folder));
        }
        _ => {}
    }
    if let Some(drawer) = name.split('-').find(|word| DRAWERS.contains(word)) {
        findings
            .push(format!("{name}: a package called `{drawer}` collects everything; name it by its noun"));
    }
    for edge in &package.edges {
        if edge.to == "anyhow" && package.room == Room::Library {
            findings.push(format!("{name} uses anyhow: a library has its own opaque Error"));
        }
        if RIVALS.contains(&edge.to.as_str()) {
            findings.push(format!("{name} depends on {}: rivals belong into benches/rivals", edge.to));
        }
        if let Some(target) = graph.member(&edge.to).filter(|target| target.name != *name)
            && !allowed(package, target)
        {
            findings.push(format!(
                "{name} -> {} ({}-dependency): {}",
                edge.to,
                edge.kind,
                reason(package.room)
            ));
        }
    }
    findings
}

fn allowed(from: &Package, to: &Package) -> bool {
    match (from.room, to.room) {
        (Room::Library, Room::Library) => {
            LIBRARY_EDGES.contains(&(&from.name, &to.name)) || to.name == format!("{}-macros", from.name)
        }
        (Room::Binary | Room::Benches | Room::Examples, Room::Library) => true,
        (Room::Binary, Room::Binary) => to.name == SHELL,
        // Benches and examples may start an executable's library; nobody may need benches or examples.
        (Room::Benches | Room::Examples, Room::Binary) => true,
        (Room::Benches, Room::Benches) => true,
        _ => false,
    }
}

fn reason(room: Room) -> &'static str {
    match room {
        Room::Library => "a library has no edge to another workspace package; compose them in bins",
        Room::Binary => "an executable uses libraries and tidemill-shell only",
        Room::Xtask => "xtask has no workspace edge; make it a binary of benches that xtask starts",
        _ => "this edge is not in the list of arch.rs",
    }
}

fn is_macros(name: &str) -> bool {
    name.ends_with("-macros")
}

/// Rivals that came into our lockfile through somebody else's dependencies.
fn locked_rivals(lockfile: &str) -> Result<Vec<String>> {
    let lock: toml::Table = lockfile.parse()?;
    let packages = lock.get("package").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let names = packages.iter().filter_map(|package| package.get("name")?.as_str());
    Ok(names
        .filter(|name| RIVALS.contains(name))
        .map(|name| format!("Cargo.lock holds {name}: rivals belong into benches/rivals"))
        .collect())
}
