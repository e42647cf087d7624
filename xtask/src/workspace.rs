//! What the workspace consists of: cargo's metadata and the files git knows.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use cargo_metadata::{Metadata, MetadataCommand, Package};

use crate::process;
use crate::source::SourceFile;

/// The workspace we stand in.
pub(crate) struct Workspace {
    pub(crate) metadata: Metadata,
}

impl Workspace {
    /// Asks cargo, starting at the current directory.
    pub(crate) fn load() -> Result<Self> {
        let metadata = MetadataCommand::new().no_deps().exec().context("cargo metadata")?;
        Ok(Self { metadata })
    }

    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// Cargo's target directory, where everything we make goes.
    pub(crate) fn target(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// A command run from the root.
    pub(crate) fn cargo<const N: usize>(&self, args: [&str; N]) -> Command {
        let mut command = process::cargo(args);
        command.current_dir(self.root());
        command
    }

    pub(crate) fn git<const N: usize>(&self, args: [&str; N]) -> Command {
        let mut command = Command::new("git");
        command.args(args).current_dir(self.root());
        command
    }

    /// The members, sorted by name.
    pub(crate) fn packages(&self) -> Vec<&Package> {
        let mut packages = self.metadata.workspace_packages();
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        packages
    }

    /// A member's folder, relative to the root.
    pub(crate) fn folder<'a>(&'a self, package: &'a Package) -> &'a str {
        let folder = package.manifest_path.parent().unwrap_or(&package.manifest_path);
        folder.strip_prefix(&self.metadata.workspace_root).unwrap_or(folder).as_str()
    }

    /// Every file that is tracked or would be by `git add`, relative to the root.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let listed =
            process::read(&mut self.git(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
        let mut files: Vec<String> =
            listed.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        files.retain(|name| self.root().join(name).is_file());
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// The text of those of [`Workspace::files`] that are UTF-8.
    pub(crate) fn sources(&self) -> Result<Vec<SourceFile>> {
        let mut sources = Vec::new();
        for path in self.files()? {
            let bytes = std::fs::read(self.root().join(&path)).with_context(|| path.clone())?;
            if let Ok(text) = String::from_utf8(bytes) {
                sources.push(SourceFile { path, text });
            }
        }
        Ok(sources)
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }
}
