//! The workspace as a small graph: packages, the rooms they stand in, their edges.

use std::collections::BTreeSet;

use cargo_metadata::{DependencyKind, Metadata};

/// Which part of the house a package stands in; each has rules of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Library,
    Binary,
    Benches,
    Examples,
    Xtask,
    Rivals,
    Elsewhere,
}

impl Room {
    /// By the folder, relative to the root.
    pub(crate) fn of(folder: &str) -> Self {
        match folder.split('/').collect::<Vec<_>>().as_slice() {
            ["crates", _] | ["crates", _, "macros"] => Room::Library,
            ["bins", _] => Room::Binary,
            ["benches", "rivals", ..] => Room::Rivals,
            ["benches", ..] => Room::Benches,
            ["examples", ..] => Room::Examples,
            ["xtask"] => Room::Xtask,
            _ => Room::Elsewhere,
        }
    }
}

/// One dependency, dev- and build-dependencies included.
#[derive(Debug, Clone)]
pub(crate) struct Edge {
    pub(crate) to: String,
    pub(crate) kind: &'static str,
}

/// One member of the workspace.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) folder: String,
    pub(crate) room: Room,
    pub(crate) edges: Vec<Edge>,
}

/// All members.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    pub(crate) packages: Vec<Package>,
}

impl Graph {
    pub(crate) fn from_metadata(metadata: &Metadata) -> Self {
        let mut packages: Vec<Package> =
            metadata.workspace_packages().into_iter().map(|package| member(metadata, package)).collect();
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Self { packages }
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// Members in an order in which each stands after what it needs, dev-dependencies left out; an error names a
    /// circle.
    pub(crate) fn topological(&self) -> Result<Vec<&Package>, String> {
        let mut done: BTreeSet<&str> = BTreeSet::new();
        let mut order = Vec::new();
        while order.len() < self.packages.len() {
            let next = self.packages.iter().find(|package| {
                !done.contains(package.name.as_str())
                    && package.edges.iter().all(|edge| {
                        edge.kind == "dev"
                            || done.contains(edge.to.as_str())
                            || self.member(&edge.to).is_none()
                    })
            });
            let Some(next) = next else {
                let left = self.packages.iter().map(|package| package.name.as_str());
                let left: Vec<&str> = left.filter(|name| !done.contains(name)).collect();
                return Err(format!("these packages need each other in a circle: {}", left.join(", ")));
            };
            done.insert(&next.name);
            order.push(next);
        }
        Ok(order)
    }
}

fn member(metadata: &Metadata, package: &cargo_metadata::Package) -> Package {
    let folder = package.manifest_path.parent().unwrap_or(&package.manifest_path);
    let folder = folder.strip_prefix(&metadata.workspace_root).unwrap_or(folder).as_str().to_owned();
    let edges = package.dependencies.iter().map(|dependency| Edge {
        to: dependency.name.clone(),
        kind: match dependency.kind {
            DependencyKind::Development => "dev",
            DependencyKind::Build => "build",
            _ => "normal",
        },
    });
    Package { name: package.name.to_string(), room: Room::of(&folder), folder, edges: edges.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, edges: &[(&str, &'static str)]) -> Package {
        let edges = edges.iter().map(|(to, kind)| Edge { to: (*to).to_owned(), kind }).collect();
        Package { name: name.into(), folder: format!("crates/{name}"), room: Room::Library, edges }
    }

    #[test]
    fn what_is_needed_comes_first() {
        let graph = Graph {
            packages: vec![
                package("app", &[("storage", "normal"), ("serde", "normal")]),
                package("journal", &[("app", "dev")]),
                package("storage", &[("journal", "normal")]),
            ],
        };
        let order: Vec<&str> =
            graph.topological().unwrap().into_iter().map(|package| package.name.as_str()).collect();
        assert_eq!(order, ["journal", "storage", "app"]);
    }

    #[test]
    fn a_circle_is_named() {
        let graph =
            Graph { packages: vec![package("a", &[("b", "normal")]), package("b", &[("a", "build")])] };
        assert!(graph.topological().unwrap_err().contains("a, b"));
    }
}
