//! A server that speaks S3: moto in the readers' Python, which honours `If-Match` and checks signatures.

use std::path::{Path, PathBuf};
use std::process::Child;

use anyhow::Result;

use super::counts::Count;
use super::ports::Ports;
use super::{Server, launch, python};

const PROGRAM: &str = include_str!("../../servers/s3.py");

/// Written by the program: the key's id and its secret, one a line. It is made anew with each start.
const KEYS: &str = "keys";

/// One bucket, `tidemill`, in memory.
pub(super) struct S3 {
    /// Where the Python stands.
    pub(super) target: PathBuf,
}

impl Server for S3 {
    fn name(&self) -> &'static str {
        "s3"
    }

    fn prefix(&self) -> String {
        "TIDEMILL_TEST_S3".to_owned()
    }

    fn packages(&self) -> &'static [&'static str] {
        &["python3", "python3-venv"]
    }

    fn find(&self) -> Result<PathBuf, String> {
        python::ready_in(&self.target)
    }

    fn ports(&self) -> &'static [&'static str] {
        &["url"]
    }

    fn start(&self, dir: &Path, ports: &Ports, _needed: &Ports) -> Result<Child> {
        let program = dir.join("s3.py");
        std::fs::write(&program, PROGRAM)?;
        let port = ports.get("url")?.to_string();
        let python = self.find().map_err(anyhow::Error::msg)?;
        launch::spawn(&python, &[&program.display().to_string(), &dir.display().to_string(), &port], dir)
    }

    fn extras(&self, dir: &Path) -> Vec<(String, String)> {
        let keys = std::fs::read_to_string(dir.join(KEYS)).unwrap_or_default();
        let mut keys = keys.lines();
        ["KEY_ID", "KEY_SECRET"]
            .map(|name| (format!("{}_{name}", self.prefix()), keys.next().unwrap_or_default().to_owned()))
            .into()
    }

    /// It refuses nobody, so it keeps no books.
    fn counts(&self, _dir: &Path, _ports: &Ports) -> Result<Vec<Count>> {
        Ok(Vec::new())
    }
}
