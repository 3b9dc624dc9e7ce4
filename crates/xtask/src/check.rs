//! What `cargo xtask test` does, step by step.

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    demo, python, setup, shell,
    shell::{Step, run_all},
    suite, tables, tidy, wit,
};

/// Everything that a change must pass.
pub(crate) fn all() -> ExitCode {
    let mut steps = cheap();
    steps.push(Step::cargo("clippy", &[], CLIPPY));
    steps.push(tests(&["--lib", "--bins", "--tests"]));
    steps.push(Step::task("python", "cargo xtask python", python::run));
    steps.push(Step::cargo(
        "doctests",
        &[],
        &["test", "--doc", "--workspace"],
    ));
    steps.push(Step::cargo("doc", DENY_RUSTDOC, DOC));
    steps.push(Step::task("demo", "cargo xtask demo", demo::run));
    run_all(&steps)
}

/// The inner loop: what is cheap, and the unit tests.
pub(crate) fn quick() -> ExitCode {
    let mut steps = cheap();
    steps.push(tests(&["--lib", "--bins"]));
    run_all(&steps)
}

/// The documentation of all our crates; a broken link is an error.
pub(crate) fn doc(more: &[&str]) -> Result<()> {
    shell::status(
        shell::command("cargo", DOC)
            .args(more)
            .envs(DENY_RUSTDOC.iter().copied()),
    )
}

fn cheap() -> Vec<Step<'static>> {
    vec![
        Step::task("setup", "cargo xtask setup", setup::run),
        Step::cargo("format", &[], &["fmt", "--all", "--check"]),
        Step::task("tidy", "cargo xtask tidy", tidy::run),
        Step::task("contract", "cargo xtask wit", wit::run),
        Step::task("tables", "cargo xtask tables --check", || tables::run(true)),
    ]
}

fn tests(targets: &'static [&'static str]) -> Step<'static> {
    Step::task("tests", &suite::by_hand(targets), move || {
        suite::run(targets)
    })
}

const CLIPPY: &[&str] = &[
    "clippy",
    "--workspace",
    "--all-targets",
    "--",
    "-D",
    "warnings",
];
const DOC: &[&str] = &["doc", "--workspace", "--no-deps"];
const DENY_RUSTDOC: &[(&str, &str)] = &[("RUSTDOCFLAGS", "-D warnings")];
