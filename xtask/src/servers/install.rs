//! Finding programs, and installing their Debian packages where that is allowed.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Server;
use crate::process;

/// Debian keeps daemons where a plain user's `PATH` does not look.
const DAEMONS: &[&str] = &["/usr/sbin", "/usr/local/sbin", "/usr/local/bin"];

/// The program's path.
pub(super) fn program(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(DAEMONS.iter().map(PathBuf::from));
    let mut candidates = folders.map(|folder| folder.join(name));
    candidates.find(|file| file.is_file()).ok_or_else(|| format!("no program {name}"))
}

/// Finds the server's programs, installing them when they are missing; says what to do when neither works.
pub(super) fn present(server: &dyn Server) -> Result<(), String> {
    let Err(missing) = server.find() else { return Ok(()) };
    packages(server.packages()).map_err(|why| format!("{missing}; {why}"))?;
    server.find().map(drop)
}

/// Programs that tests start themselves, and the Debian packages that hold them.
pub(super) const PROGRAMS: &[(&str, &str)] = &[
    ("prometheus", "prometheus"),
    ("prometheus-node-exporter", "prometheus-node-exporter"),
    ("prometheus-alertmanager", "prometheus-alertmanager"),
];

/// Finds a program of [`PROGRAMS`], installing it when it is missing.
pub(super) fn program_present(name: &str, package: &str) -> Result<(), String> {
    let Err(missing) = program(name) else { return Ok(()) };
    packages(&[package]).map_err(|why| format!("{missing}; {why}"))?;
    program(name).map(drop)
}

/// While it lives, no package starts a daemon: Debian asks this file first. One that stands there already is somebody
/// else's and stays.
struct NoDaemons(Option<&'static Path>);

impl NoDaemons {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let file = Path::new("/usr/sbin/policy-rc.d");
        let ours = !file.exists()
            && std::fs::write(file, "#!/bin/sh\nexit 101\n").is_ok()
            && std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).is_ok();
        Self(ours.then_some(file))
    }
}

impl Drop for NoDaemons {
    fn drop(&mut self) {
        if let Some(file) = self.0 {
            // What cannot be removed only keeps daemons from starting.
            let _ = std::fs::remove_file(file);
        }
    }
}

/// `apt-get install`, as root on a Debian.
pub(super) fn packages(names: &[&str]) -> Result<(), String> {
    let advice = format!("install the Debian packages {}", names.join(" "));
    if !rustix::process::geteuid().is_root() {
        return Err(format!("{advice} (we are not root)"));
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(format!("{advice} or what matches them here (there is no apt-get)"));
    }
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdin(std::process::Stdio::null());
        process::read(&mut command)
    };
    eprintln!("installing {}", names.join(" "));
    let _no_daemons = NoDaemons::new();
    // An index that cannot be refreshed may still know the packages.
    let _ = apt(&["update", "-q"]);
    apt(&[&["install", "-y", "-q", "--no-install-recommends"], names].concat())
        .map(drop)
        .map_err(|error| format!("{advice} ({error:#})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_name() {
        assert!(program("git").is_ok());
        assert!(program("no-such-program-of-ours").unwrap_err().contains("no-such-program-of-ours"));
    }
}
