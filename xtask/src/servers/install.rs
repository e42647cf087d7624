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
