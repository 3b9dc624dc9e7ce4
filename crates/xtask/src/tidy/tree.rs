//! The files of the repository: what is committed, and what is about to be.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::shell;

/// Every text file, with its path relative to the root.
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

/// One text file.
pub(crate) struct File {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Tree {
    /// Asks git, which knows what is ignored; without git every folder but the build's is read.
    pub(crate) fn read() -> Result<Self> {
        let paths = listed_by_git().map_or_else(|| walk(shell::root()), Ok)?;
        let files = paths.into_iter().filter_map(read).collect();
        Ok(Self { files })
    }

    /// The file at this path.
    pub(crate) fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The files whose names end in this.
    pub(crate) fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = &'a File> {
        self.files
            .iter()
            .filter(move |file| file.path.ends_with(end))
    }
}

fn listed_by_git() -> Option<Vec<String>> {
    if !shell::is_there("git", &["rev-parse", "--git-dir"]) {
        return None;
    }
    let words = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let listed = shell::output(&mut shell::command("git", &words)).ok()?;
    Some(listed.lines().map(str::to_owned).collect())
}

fn walk(folder: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {folder:?}"))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            if name != "target" && name != ".git" {
                paths.extend(walk(&entry.path())?);
            }
        } else {
            paths.push(shell::relative(&entry.path()));
        }
    }
    Ok(paths)
}

/// None for what is deleted in the working tree and for what is not text.
fn read(path: String) -> Option<File> {
    let text = fs::read_to_string(shell::root().join(&path)).ok()?;
    Some(File { path, text })
}
