//! `cargo xtask fuzz [SECONDS]`: each fuzz target for so long, where the tools for it are there.

use std::{fs, process::Command};

use anyhow::{Context, Result};

use crate::shell;

/// Where the targets are.
const FOLDER: &str = "tests/fuzz";

/// The same checks over the committed inputs, which a stable toolchain can run.
const CORPUS: &[&str] = &[
    "test",
    "-p",
    "pinfold-gateway",
    "--test",
    "it",
    "fuzz_corpus",
];

/// Seconds for each target, unless said otherwise.
const SECONDS: &str = "20";

/// Runs every target; without the tools only what a stable toolchain can.
pub(crate) fn run(seconds: Option<&str>) -> Result<()> {
    let seconds: u32 = seconds
        .unwrap_or(SECONDS)
        .parse()
        .context("SECONDS is a number")?;
    shell::cargo(CORPUS, &[])?;
    let there = nightly(&["--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !there {
        println!(
            "no fuzzer here: `rustup toolchain install nightly` and `cargo install cargo-fuzz` bring it"
        );
        return Ok(());
    }
    targets()?
        .iter()
        .try_for_each(|target| fuzz(target, seconds))
}

/// The names of the targets, which are those of their corpora.
fn targets() -> Result<Vec<String>> {
    let folder = shell::root().join(FOLDER).join("corpus");
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn fuzz(target: &str, seconds: u32) -> Result<()> {
    // What is found is kept out of the committed inputs.
    let found = shell::root().join("target/fuzz/corpus").join(target);
    fs::create_dir_all(&found)?;
    let (found, corpus) = (
        found.display().to_string(),
        format!("{FOLDER}/corpus/{target}"),
    );
    let time = format!("-max_total_time={seconds}");
    let words = [
        "run",
        "--fuzz-dir",
        FOLDER,
        target,
        &found,
        &corpus,
        "--",
        &time,
    ];
    shell::status(&mut nightly(&words))
}

/// A command of `cargo fuzz` on a nightly toolchain.
fn nightly(words: &[&str]) -> Command {
    let mut command = shell::command("rustup", &["run", "nightly", "cargo", "fuzz"]);
    // Of the toolchain that runs this.
    command.args(words).env_remove("CARGO").env_remove("RUSTC");
    command
}
