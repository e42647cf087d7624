//! Where reports are written: each file whole or not at all.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::document::Document;
use super::{html, junit, markdown};

/// Which reports are wanted, and where.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Reports {
    /// Write the figures as JSON, to be read again by report, compare and history
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub json: Option<PathBuf>,
    /// Write one self-contained page with charts
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub html: Option<PathBuf>,
    /// Write Markdown
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub markdown: Option<PathBuf>,
    /// Write JUnit XML: a missed promise is a failure, an INVALID run an error
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub junit: Option<PathBuf>,
    /// Also keep the JSON in this folder, under the time and the name of the run, for history
    #[arg(long, value_name = "DIR", help_heading = "Reports")]
    pub store: Option<PathBuf>,
    /// What this state of things is called: a version, a commit
    #[arg(long, value_name = "NAME", help_heading = "Reports")]
    pub label: Option<String>,
}

impl Reports {
    /// Whether no file is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let files = [&self.json, &self.html, &self.markdown, &self.junit, &self.store];
        files.into_iter().all(Option::is_none)
    }
}

/// Writes what is wanted.
///
/// # Errors
/// The first file that cannot be written, by name.
pub fn write(document: &Document, wanted: &Reports) -> Result<()> {
    if let Some(path) = &wanted.json {
        put(path, &document.to_json()?)?;
    }
    if let Some(path) = &wanted.html {
        put(path, &html::page(document)?)?;
    }
    if let Some(path) = &wanted.markdown {
        put(path, &markdown(document))?;
    }
    if let Some(path) = &wanted.junit {
        put(path, &junit(document))?;
    }
    if let Some(folder) = &wanted.store {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        put(&free_name(folder, &document.file_stem()), &document.to_json()?)?;
    }
    Ok(())
}

/// Written beside its place and moved there, so that a reader never sees half a report.
fn put(path: &Path, text: &str) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Two runs that end in the same second both keep their file.
fn free_name(folder: &Path, stem: &str) -> PathBuf {
    let name = |n: u32| folder.join(if n == 0 { format!("{stem}.json") } else { format!("{stem}-{n}.json") });
    (0..1000).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(1000))
}
