//! Simulators and soak runs: binaries of the benches package, started by their area's name.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use cargo_metadata::TargetKind;

use crate::bench;
use crate::process;
use crate::servers::{self, Running};
use crate::workspace::Workspace;

/// The package that holds `bench-*`, `sim-*` and `soak-*`.
const BENCHES: &str = "tidemill-benches";

/// `cargo xtask sim AREA`.
pub(crate) fn sim(workspace: &Workspace, area: &str, json: Option<&Path>) -> Result<()> {
    let mut command = binary(workspace, "sim", area)?;
    let rows = bench::rows_of(&mut command)?;
    bench::finish(workspace, rows, json)
}

/// Soak runs that are tests of a package at full length.
struct AtLength {
    area: &'static str,
    package: &'static str,
    /// The modules of its tests.
    modules: &'static [&'static str],
    /// How often a process is killed, unless the command line says.
    kills: u32,
}

const AT_LENGTH: &[AtLength] = &[
    AtLength {
        area: "cache",
        package: "tidemill-cache",
        modules: &["disk_kill::", "write_kill::", "redis::", "redis_cluster::", "model::", "load::"],
        kills: 1000,
    },
    AtLength { area: "collector", package: "tidemill-collector", modules: &["kill::"], kills: 100 },
    AtLength { area: "providers", package: "tidemill-collector", modules: &["providers::"], kills: 100 },
    AtLength { area: "readers", package: "tidemill-collector", modules: &["readers::"], kills: 100 },
    AtLength { area: "task-queue", package: "tidemill-task-queue", modules: &["kill::"], kills: 100 },
    AtLength { area: "tuning", package: "tidemill-collector", modules: &["tuning::"], kills: 100 },
];

/// Soak runs before which a crate's own tests run at full length: the area, and the crate.
const ALSO: &[(&str, &str)] = &[("storage", "tidemill-storage")];

/// `cargo xtask soak AREA`.
pub(crate) fn soak(workspace: &Workspace, area: &str, kills: Option<u32>, args: &[String]) -> Result<()> {
    if let Some(soak) = AT_LENGTH.iter().find(|soak| soak.area == area) {
        // Those of the cache start their own, for they kill and freeze them.
        let servers = if area == "cache" { Running::none() } else { servers::for_tests(workspace)? };
        let mut command =
            workspace.cargo(["test", "--release", "--package", soak.package, "--test", "it", "--"]);
        // They wait for their servers most of the time: side by side, each with keys of its own.
        let threads = if area == "providers" { "--test-threads=16" } else { "--test-threads=2" };
        command.args(soak.modules).args(["--nocapture", threads]).envs(servers.variables());
        let kills = kills.unwrap_or(soak.kills);
        command.env("TIDEMILL_TEST_FULL", "1").env("TIDEMILL_TEST_KILLS", kills.to_string());
        return process::run(&mut command);
    }
    let only = only(args)?;
    if let Some((_, package)) = ALSO.iter().find(|(name, _)| *name == area && only != Some(Part::Kills)) {
        let mut command = workspace.cargo(["test", "--release", "--package", package, "--test", "it"]);
        process::run(command.env("TIDEMILL_TEST_FULL", "1"))?;
    }
    if only == Some(Part::Tests) {
        return Ok(());
    }
    let mut command = binary(workspace, "soak", area)?;
    if let Some(kills) = kills {
        command.args(["--kills", &kills.to_string()]);
    }
    if area == "dataset-readers" {
        let pythons = servers::python::new_and_old(workspace).map_err(anyhow::Error::msg)?;
        command.env(servers::python::VARIABLE, pythons);
    }
    command.args(args);
    process::run(&mut command)
}

/// A part of a soak run, by `-- --only PART`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The crate's own tests at full length.
    Tests,
    /// The binary that kills.
    Kills,
}

fn only(args: &[String]) -> Result<Option<Part>> {
    let Some(at) = args.iter().position(|arg| arg == "--only") else { return Ok(None) };
    match args.get(at + 1).map(String::as_str) {
        Some("tests") => Ok(Some(Part::Tests)),
        Some("kills") => Ok(Some(Part::Kills)),
        _ => bail!("--only is followed by `tests` (the crate's own, at full length) or `kills`"),
    }
}

/// `cargo run --release` of the binary KIND-AREA; an error lists the areas there are.
pub(crate) fn binary(workspace: &Workspace, kind: &str, area: &str) -> Result<Command> {
    let names: Vec<&str> = workspace
        .packages()
        .into_iter()
        .filter(|package| package.name == BENCHES)
        .flat_map(|package| &package.targets)
        .filter(|target| target.kind.contains(&TargetKind::Bin))
        .map(|target| target.name.as_str())
        .collect();
    let name = choose(&names, kind, area)?;
    Ok(workspace.cargo(["run", "--quiet", "--release", "--package", BENCHES, "--bin", &name, "--"]))
}

fn choose(names: &[&str], kind: &str, area: &str) -> Result<String> {
    let name = format!("{kind}-{}", area.strip_prefix("tidemill-").unwrap_or(area));
    if names.contains(&name.as_str()) {
        return Ok(name);
    }
    let areas: Vec<&str> =
        names.iter().filter_map(|name| name.strip_prefix(kind)?.strip_prefix('-')).collect();
    if areas.is_empty() {
        bail!("no {kind} exists yet: it would be benches/src/bin/{name}.rs");
    }
    bail!("no {kind} for `{area}`; there are: {}", areas.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] = &["bench-cache", "bench-rate-limit", "sim-rate-limit"];

    #[test]
    fn an_area_is_a_crates_short_or_full_name() {
        assert_eq!(choose(NAMES, "bench", "rate-limit").unwrap(), "bench-rate-limit");
        assert_eq!(choose(NAMES, "sim", "tidemill-rate-limit").unwrap(), "sim-rate-limit");
    }

    #[test]
    fn a_part_is_run_alone() {
        let of = |args: &[&str]| only(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["--kills", "3"]).unwrap(), None);
        assert_eq!(of(&["--only", "kills"]).unwrap(), Some(Part::Kills));
        assert_eq!(of(&["--only", "tests"]).unwrap(), Some(Part::Tests));
        assert!(of(&["--only"]).unwrap_err().to_string().contains("`kills`"));
    }

    #[test]
    fn an_unknown_area_lists_what_exists() {
        let error = choose(NAMES, "bench", "metrics").unwrap_err().to_string();
        assert!(error.contains("cache, rate-limit"), "{error}");
        let error = choose(NAMES, "soak", "storage").unwrap_err().to_string();
        assert!(error.contains("benches/src/bin/soak-storage.rs"), "{error}");
    }
}
