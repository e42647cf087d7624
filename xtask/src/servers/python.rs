//! Pythons in virtual environments under `target`: one with the readers the dataset is tested with, one with old ones, one with rivals.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process;
use crate::workspace::Workspace;

use super::install;

/// The variable that names it to the tests; set beforehand, it is used as it is.
pub(crate) const VARIABLE: &str = "TIDEMILL_TEST_PYTHON";

/// The variable that names the rivals' one to a benchmark; set beforehand, it is used as it is.
pub(crate) const RIVALS_VARIABLE: &str = "TIDEMILL_BENCH_PYTHON";

/// The variable that names one with the old readers; set beforehand, it is used as it is.
const OLD_VARIABLE: &str = "TIDEMILL_TEST_OLD_PYTHON";

const READERS: &str = include_str!("../../servers/requirements.txt");
const OLD: &str = include_str!("../../servers/requirements-old.txt");
const RIVALS: &str = include_str!("../../../benches/rivals/python/requirements.txt");

/// A Python that imports every reader, made when there is none.
pub(super) fn ready(workspace: &Workspace) -> Result<PathBuf, String> {
    ready_in(workspace.target())
}

/// The same, of the target directory.
pub(super) fn ready_in(target: &Path) -> Result<PathBuf, String> {
    made(&target.join("python"), VARIABLE, READERS)
}

/// A Python that imports every rival, made when there is none.
pub(crate) fn rivals(workspace: &Workspace) -> Result<PathBuf, String> {
    made(&workspace.target().join("python-rivals"), RIVALS_VARIABLE, RIVALS)
}

/// Pythons for `soak dataset-readers`, with `:` between: the newest readers, which rivals are too, and old ones, pinned.
pub(crate) fn new_and_old(workspace: &Workspace) -> Result<String, String> {
    if let Some(given) = std::env::var_os(VARIABLE).filter(|given| given.to_string_lossy().contains(':')) {
        return Ok(given.to_string_lossy().into_owned());
    }
    let new = rivals(workspace)?;
    let old = made(&workspace.target().join("python-old"), OLD_VARIABLE, OLD)?;
    Ok(format!("{}:{}", new.display(), old.display()))
}

fn made(venv: &Path, variable: &str, requirements: &str) -> Result<PathBuf, String> {
    let own = venv.join("bin/python");
    let given = std::env::var_os(variable).map(PathBuf::from);
    if let Some(python) = given.into_iter().chain([own.clone()]).find(|python| imports(python, requirements))
    {
        return Ok(python);
    }
    create(venv)?;
    let file = venv.join("requirements.txt");
    std::fs::write(&file, requirements).map_err(|error| error.to_string())?;
    eprintln!("installing what {variable} needs into {}", venv.display());
    let mut pip = Command::new(&own);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
        "-r",
    ]);
    process::read(pip.arg(&file).stdin(Stdio::null())).map_err(|error| format!("{error:#}"))?;
    if imports(&own, requirements) {
        Ok(own)
    } else {
        Err(format!("{} cannot import {requirements}", own.display()))
    }
}

fn imports(python: &Path, requirements: &str) -> bool {
    let names = requirements.lines().filter(|line| !line.starts_with('#'));
    let names: Vec<&str> = names.filter_map(|line| line.split(['>', '=', '<', '[']).next()).collect();
    process::succeeds(Command::new(python).args(["-c", &format!("import {}", names.join(", "))]))
}

/// By the first Python that can: one of a version manager brings `ensurepip`, Debian's wants `python3-venv`.
fn create(venv: &Path) -> Result<(), String> {
    let attempt = || {
        let mut why = "no program python3".to_owned();
        for python in install::program("python3").into_iter().chain([PathBuf::from("/usr/bin/python3")]) {
            let mut command = Command::new(&python);
            command.args(["-m", "venv", "--clear"]).arg(venv).stdin(Stdio::null());
            match process::read(&mut command) {
                Ok(_) => return Ok(()),
                Err(error) => why = format!("{error:#}"),
            }
        }
        Err(why)
    };
    attempt().or_else(|why| {
        install::packages(&["python3", "python3-venv"]).map_err(|advice| format!("{why}; {advice}"))?;
        attempt()
    })
}
