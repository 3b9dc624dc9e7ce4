//! Builds the real binary and the demonstration, and runs it.
//!
//! The demonstration itself is `tests/examples/demo`: this crate depends on none of ours.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{setup, shell};

/// Builds and runs; fails when any act of the demonstration did not happen.
pub(crate) fn run() -> Result<()> {
    setup::run()?;
    println!("building the `pinfold` binary and the demonstration (slow the first time)");
    let built = shell::output(&mut shell::command("cargo", BUILD))?;
    let demo = executable(&built, "demo").context("cargo built no demonstration")?;
    let pinfold = executable(&built, "pinfold").context("cargo built no `pinfold`")?;
    let policy = output_folder(&built, "host").context("cargo built no policy")?;
    let mut run = shell::command(&demo, &[]);
    run.env("PINFOLD", pinfold)
        .env("PINFOLD_POLICY", Path::new(&policy).join("egress.wasm"));
    shell::status(&mut run)
}

/// The path of an executable among cargo's messages.
pub(crate) fn executable(messages: &str, target: &str) -> Option<String> {
    parsed(messages)
        .filter(|message| message["target"]["name"] == target)
        .find_map(|message| message["executable"].as_str().map(str::to_owned))
}

/// Where the build script of the package in this folder left its files.
fn output_folder(messages: &str, folder: &str) -> Option<String> {
    let package = format!("/{folder}#");
    parsed(messages)
        .filter(|message| {
            message["package_id"]
                .as_str()
                .is_some_and(|id| id.contains(&package))
        })
        .find_map(|message| message["out_dir"].as_str().map(str::to_owned))
}

/// Cargo's messages: one JSON object a line, beside what build scripts print.
fn parsed(messages: &str) -> impl Iterator<Item = Value> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
}

/// The whole workspace decides the features of shared dependencies, as in the tests: what one task
/// compiled the other finds.
const BUILD: &[&str] = &[
    "build",
    "--message-format=json-render-diagnostics",
    "--workspace",
    "--bin=pinfold",
    "--example=demo",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_executable_and_not_the_library_of_the_same_name() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"pinfold"},"executable":null}"#,
            "\nnot json\n",
            r#"{"reason":"compiler-artifact","target":{"name":"pinfold"},"executable":"/t/pinfold"}"#,
        );
        assert_eq!(
            executable(messages, "pinfold").as_deref(),
            Some("/t/pinfold")
        );
        assert_eq!(executable(messages, "demo"), None);
    }

    #[test]
    fn finds_what_a_build_script_left() {
        let messages = concat!(
            r#"{"reason":"build-script-executed","package_id":"registry+x#ghost@1","out_dir":"/t/1"}"#,
            "\n",
            r#"{"reason":"build-script-executed","package_id":"path+file:///p/host#pinfold@0.1.0","out_dir":"/t/2"}"#,
        );
        assert_eq!(output_folder(messages, "host").as_deref(), Some("/t/2"));
        assert_eq!(output_folder(messages, "ghost"), None);
    }
}
