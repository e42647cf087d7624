//! `cargo xtask loom`: the loom tests, which try every interleaving of the few atomics and locks that need it.

use anyhow::{Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// Runs the loom tests of every crate that has some; each says how many interleavings it tried. It builds into a folder of
/// its own, as the flag changes every crate.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let packages = workspace.packages();
    let modelled =
        packages.iter().filter(|package| package.dependencies.iter().any(|other| other.name == "loom"));
    let names: Vec<&str> = modelled.map(|package| package.name.as_str()).collect();
    if names.is_empty() {
        bail!("no crate depends on loom");
    }
    for name in names {
        let mut command =
            workspace.cargo(["test", "--release", "--lib", "--package", name, "loom", "--", "--nocapture"]);
        // A control's panic needs no trace.
        command
            .env("RUST_BACKTRACE", "0")
            .env("RUSTFLAGS", "--cfg loom")
            .env("CARGO_TARGET_DIR", workspace.target().join("loom"));
        process::run(&mut command)?;
    }
    Ok(())
}
