//! Each dependency rule, with a graph that keeps it and one that breaks it.

use serde_json::{Value, json};

use super::*;
use crate::graph::Edge;

fn package(folder: &str, name: &str, edges: &[&str]) -> Package {
    let edges = edges.iter().map(|to| Edge { to: (*to).to_owned(), kind: "normal" }).collect();
    Package { name: name.into(), folder: folder.into(), room: Room::of(folder), edges }
}

fn library(name: &str, edges: &[&str]) -> Package {
    package(&format!("crates/{name}"), name, edges)
}

fn house() -> Graph {
    Graph {
        packages: vec![
            library("tidemill-journal", &["thiserror"]),
            library("tidemill-storage", &["tidemill-journal", "parquet"]),
            library("tidemill-metrics", &[]),
            package("bins/shell", "tidemill-shell", &["anyhow", "clap"]),
            package(
                "bins/collector",
                "tidemill-collector",
                &["tidemill-shell", "tidemill-storage", "anyhow"],
            ),
            package("benches", "tidemill-benches", &["tidemill-storage", "tidemill-measure"]),
            package("benches/measure", "tidemill-measure", &["serde"]),
            package("xtask", "xtask", &["anyhow", "clap"]),
        ],
    }
}

/// The one finding after `change`, which must contain `words`.
fn breaks(change: impl FnOnce(&mut Graph), words: &str) {
    let mut graph = house();
    change(&mut graph);
    let findings = check(&graph);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].contains(words), "{findings:?}");
}

fn add(graph: &mut Graph, from: &str, to: &str, kind: &'static str) {
    let package = graph.packages.iter_mut().find(|package| package.name == from).unwrap();
    package.edges.push(Edge { to: to.into(), kind });
}

#[test]
fn the_house_as_designed_is_allowed() {
    assert_eq!(check(&house()), Vec::<String>::new());
}

#[test]
fn an_injected_library_edge_fails_whatever_its_kind() {
    for kind in ["normal", "dev", "build"] {
        breaks(
            |graph| add(graph, "tidemill-metrics", "tidemill-journal", kind),
            "tidemill-metrics -> tidemill-journal",
        );
    }
}

#[test]
fn the_allowlist_has_a_direction() {
    breaks(|graph| add(graph, "tidemill-journal", "tidemill-storage", "normal"), "compose them in bins");
}

#[test]
fn a_crate_may_use_its_own_macros_and_nobody_elses() {
    let mut graph = house();
    graph.packages.push(library("tidemill-metrics-macros", &[]));
    add(&mut graph, "tidemill-metrics", "tidemill-metrics-macros", "normal");
    assert_eq!(check(&graph), Vec::<String>::new());
    add(&mut graph, "tidemill-journal", "tidemill-metrics-macros", "normal");
    assert_eq!(check(&graph).len(), 1);
}

#[test]
fn libraries_do_not_reach_up() {
    breaks(|graph| add(graph, "tidemill-metrics", "tidemill-shell", "dev"), "tidemill-shell");
    breaks(|graph| add(graph, "tidemill-metrics", "tidemill-benches", "dev"), "tidemill-benches");
}

#[test]
fn executables_share_the_shell_only() {
    breaks(|graph| add(graph, "tidemill-shell", "tidemill-collector", "normal"), "tidemill-shell only");
}

#[test]
fn xtask_stands_alone() {
    breaks(|graph| add(graph, "xtask", "tidemill-measure", "normal"), "xtask has no workspace edge");
}

#[test]
fn anyhow_stays_out_of_libraries() {
    breaks(|graph| add(graph, "tidemill-metrics", "anyhow", "dev"), "opaque Error");
}

#[test]
fn rivals_stay_outside() {
    breaks(|graph| add(graph, "tidemill-benches", "governor", "normal"), "benches/rivals");
    breaks(|graph| graph.packages.push(package("benches/rivals", "rivals", &[])), "own workspace");
    let lock = "[[package]]\nname = \"governor\"\nversion = \"0.10.4\"\n";
    assert_eq!(locked_rivals(lock).unwrap().len(), 1);
    assert!(locked_rivals("[[package]]\nname = \"serde\"\n").unwrap().is_empty());
}

#[test]
fn drawers_and_wrong_folders_are_named() {
    breaks(|graph| graph.packages.push(library("tidemill-common", &[])), "`common`");
    breaks(|graph| graph.packages.push(package("crates/alert", "tidemill-alert", &[])), "package's name");
    breaks(|graph| graph.packages.push(package("tools/x", "x", &[])), "packages live in");
}

/// The same, on what cargo itself says about this workspace, with one edge written into it.
#[test]
fn an_edge_doctored_into_real_metadata_fails() {
    let mut command = cargo_metadata::MetadataCommand::new().no_deps().cargo_command();
    let text = crate::process::read(&mut command).unwrap();
    let mut json: Value = serde_json::from_str(&text).unwrap();
    let before = check(&Graph::from_metadata(&serde_json::from_value(json.clone()).unwrap()));
    assert_eq!(before, Vec::<String>::new(), "the workspace itself keeps the rules");

    let metrics = json["packages"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|package| package["name"] == "tidemill-metrics")
        .unwrap();
    metrics["dependencies"].as_array_mut().unwrap().push(json!({
        "name": "tidemill-rate-limit", "source": null, "req": "^0.1.0", "kind": "dev", "rename": null,
        "optional": false, "uses_default_features": true, "features": [], "target": null, "registry": null,
    }));
    let after = check(&Graph::from_metadata(&serde_json::from_value(json).unwrap()));
    assert_eq!(after.len(), 1, "{after:?}");
    assert!(after[0].starts_with("tidemill-metrics -> tidemill-rate-limit (dev-dependency)"), "{after:?}");
}
