//! Compilers that put an interpreter and a program into a component. They say a lot, of which an author
//! needs what is about the program, and only when it fails.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Context;
use tempfile::TempDir;

use super::encode;
use crate::{fault::Fault, output::note, policy::project::Project, text::Printable};

/// The most of what a compiler says that is read, in bytes.
const MAX_SAID: u64 = 64 << 10;

/// The most lines of it that are shown.
const MAX_LINES: usize = 40;

/// The largest component that a compiler may make, in bytes.
const MAX_COMPONENT: u64 = 256 << 20;

/// A folder for one build, with the contract in `wit`.
pub(super) struct Scratch(TempDir);

impl Scratch {
    pub(super) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        encode::write_contract(&folder.path().join("wit"))?;
        Ok(Self(folder))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Puts a file there.
    pub(super) fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        fs::write(self.path().join(name), text).context("cannot write a temporary file")
    }

    /// Opens a file that was put there, for a program to read.
    pub(super) fn open(&self, name: &str) -> anyhow::Result<Stdio> {
        let file = File::open(self.path().join(name));
        Ok(file.context("cannot read a temporary file")?.into())
    }

    /// Runs a compiler to its end and takes the component that it made here.
    ///
    /// # Errors
    ///
    /// When it fails: what it said that is about the program, as `tidy` picks it. `missing` when it is not
    /// there.
    pub(super) fn component(
        &self,
        command: &mut Command,
        tidy: fn(&str) -> String,
        missing: impl FnOnce() -> anyhow::Error,
    ) -> anyhow::Result<Vec<u8>> {
        let said = File::create(self.path().join(SAID)).context("cannot write a temporary file")?;
        let also = said.try_clone().context("cannot write a temporary file")?;
        // What it makes on its way goes when this folder goes, also when it fails.
        command.env("TMPDIR", self.path()).stdout(said).stderr(also);
        let status = command.status().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(),
            _ => anyhow::Error::from(error).context("cannot run the compiler"),
        })?;
        if status.success() {
            return read(&self.path().join(COMPONENT), MAX_COMPONENT);
        }
        let said = read(&self.path().join(SAID), MAX_SAID).unwrap_or_default();
        Err(failed(&tidy(&String::from_utf8_lossy(&said))))
    }
}

/// What the compiler writes, in a [`Scratch`].
pub(super) const COMPONENT: &str = "policy.wasm";

/// What it says.
const SAID: &str = "said";

/// The error for a compiler that the project itself holds.
pub(super) fn not_installed(compiler: &str, install: &str, project: &Project) -> anyhow::Error {
    let hint = match project.root.to_string_lossy() {
        here if here.is_empty() || here == "." => format!("install it with `{install}`"),
        folder => format!("install it with `{install}` in `{}`", Printable(&folder)),
    };
    Fault::new(format!("`{compiler}` is missing"), hint).into()
}

/// Says what the compiler said, where an author reads it.
fn failed(said: &str) -> anyhow::Error {
    for line in ending(said) {
        note(Printable(line));
    }
    Fault::new(
        "the policy cannot be built",
        "mend what it says above, then build again",
    )
    .into()
}

/// Its last lines matter most: there is the exception.
fn ending(said: &str) -> Vec<&str> {
    let lines: Vec<&str> = said.trim().lines().collect();
    let skipped = lines.len().saturating_sub(MAX_LINES);
    lines.into_iter().skip(skipped).collect()
}

fn read(file: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let opened = File::open(file).context("the compiler made no component")?;
    opened.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_long_complaint_is_its_end() {
        let said: String = (0..1000).map(|line| format!("line {line}\n")).collect();
        let shown = ending(&said);
        assert_eq!((shown.len(), shown.last()), (MAX_LINES, Some(&"line 999")));
        assert!(ending("\n").is_empty());
    }
}
