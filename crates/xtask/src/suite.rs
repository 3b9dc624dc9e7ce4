//! Running the tests of all crates.
//!
//! cargo-nextest gives every test a process of its own, which keeps measurements of memory apart and ends
//! what hangs. Where the tests of a binary share a guard that is a poor bargain: every process compiles
//! the shipped policy again, 0.6 s of processor time for a test of milliseconds. Such binaries run as one
//! process here, with a time limit of their own.

use std::{path::Path, time::Duration};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::shell;

/// Runs the tests of these kinds of targets; without nextest every binary is one process.
pub(crate) fn run(targets: &[&str]) -> Result<()> {
    let binaries = build(targets)?;
    let nextest = shell::is_there("cargo", &["nextest", "--version"]);
    let mut failed = Vec::new();
    if nextest {
        if let Err(error) = apart(targets) {
            failed.push(format!("{error:#}"));
        }
    } else {
        println!("cargo-nextest is not installed: every binary runs as one process");
    }
    for binary in binaries.iter().filter(|binary| !nextest || binary.shares()) {
        if let Err(error) = binary.run() {
            failed.push(format!("{}: {error:#}", binary.name));
        }
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    Ok(())
}

/// The command that a person types to run the same tests.
pub(crate) fn by_hand(targets: &[&str]) -> String {
    format!("cargo test --workspace {}", targets.join(" "))
}

/// Builds the whole workspace at once: the features of shared dependencies are then the same for every
/// runner and every task, and nothing is compiled twice.
fn build(targets: &[&str]) -> Result<Vec<Binary>> {
    let mut command = shell::command("cargo", BUILD);
    let messages = shell::output(command.args(targets))?;
    let binaries: Vec<Binary> = messages.lines().filter_map(binary).collect();
    if binaries.is_empty() {
        bail!("cargo built no tests");
    }
    Ok(binaries)
}

/// Each test in a process of its own.
fn apart(targets: &[&str]) -> Result<()> {
    let shared = TOGETHER.map(|(package, _)| format!("package({package})"));
    let filter = format!("not ({})", shared.join(" | "));
    let words = [&["nextest", "run", "--workspace"], targets].concat();
    shell::cargo(&words, &["--filterset", &filter])
}

/// One test binary.
#[derive(Debug, Eq, PartialEq)]
struct Binary {
    /// The folder of its package and the name of its target.
    name: String,
    folder: String,
    executable: String,
}

impl Binary {
    fn shares(&self) -> bool {
        TOGETHER
            .iter()
            .any(|(_, folder)| Path::new(&self.folder).ends_with(folder))
    }

    /// As cargo runs it: in the folder of its package.
    fn run(&self) -> Result<()> {
        println!("\nrunning {} as one process", self.name);
        let mut command = shell::command(&self.executable, &[]);
        command
            .current_dir(&self.folder)
            .env("CARGO_MANIFEST_DIR", &self.folder);
        shell::status_within(&mut command, LONGEST)
    }
}

/// The test binary of which this message of cargo's tells.
fn binary(message: &str) -> Option<Binary> {
    let message: Value = serde_json::from_str(message).ok()?;
    let executable = message["executable"].as_str()?;
    let manifest = Path::new(message["manifest_path"].as_str()?);
    let folder = manifest.parent()?;
    let target = message["target"]["name"].as_str()?;
    (message["profile"]["test"] == true).then(|| Binary {
        name: format!("{} {target}", shell::relative(folder)),
        folder: folder.to_string_lossy().into_owned(),
        executable: executable.to_owned(),
    })
}

/// The packages whose tests share a guard, and their folders.
const TOGETHER: [(&str, &str); 1] = [("pinfold-http", "crates/http")];

/// For one binary. The slowest takes a tenth of it on two busy cores.
const LONGEST: Duration = Duration::from_secs(600);

const BUILD: &[&str] = &[
    "test",
    "--no-run",
    "--message-format=json-render-diagnostics",
    "--workspace",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_binaries_are_found_among_the_messages() {
        let message = |test: bool, executable: &str| {
            format!(
                r#"{{"manifest_path":"/p/crates/http/Cargo.toml","target":{{"name":"it"}},"profile":{{"test":{test}}},"executable":{executable}}}"#
            )
        };
        let found = binary(&message(true, r#""/t/it-1""#)).unwrap();
        assert_eq!(
            (found.folder.as_str(), found.executable.as_str()),
            ("/p/crates/http", "/t/it-1")
        );
        assert!(found.shares());
        assert_eq!(
            binary(&message(false, r#""/t/pinfold""#)),
            None,
            "a program"
        );
        assert_eq!(binary(&message(true, "null")), None, "a library");
        assert_eq!(binary("warning: not json"), None);
    }
}
