//! A Python with the readers the dataset is tested with, in a virtual environment under `target`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process;
use crate::workspace::Workspace;

use super::install;

/// The variable that names it to the tests; set beforehand, it is used as it is.
pub(super) const VARIABLE: &str = "TIDEMILL_TEST_PYTHON";

const REQUIREMENTS: &str = include_str!("../../servers/requirements.txt");

/// A Python that imports every reader, made when there is none.
pub(super) fn ready(workspace: &Workspace) -> Result<PathBuf, String> {
    let venv = workspace.target().join("python");
    let own = venv.join("bin/python");
    let given = std::env::var_os(VARIABLE).map(PathBuf::from);
    if let Some(python) = given.into_iter().chain([own.clone()]).find(|python| has_readers(python)) {
        return Ok(python);
    }
    create(&venv)?;
    let file = venv.join("requirements.txt");
    std::fs::write(&file, REQUIREMENTS).map_err(|error| error.to_string())?;
    eprintln!("installing the readers into {}", venv.display());
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
    if has_readers(&own) { Ok(own) } else { Err(format!("{} cannot import its readers", own.display())) }
}

fn has_readers(python: &Path) -> bool {
    let names = REQUIREMENTS.lines().filter(|line| !line.starts_with('#'));
    let names: Vec<&str> = names.filter_map(|line| line.split(['>', '=', '<']).next()).collect();
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
