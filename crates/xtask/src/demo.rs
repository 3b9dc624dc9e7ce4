//! Builds the real binary and the demonstration, and runs it.
//!
//! The demonstration itself is `tests/examples/demo.rs`: this crate depends on none of ours.

use anyhow::{Context, Result};

use crate::{setup, shell};

/// Builds and runs; fails when any act of the demonstration did not happen.
pub(crate) fn run() -> Result<()> {
    setup::run()?;
    println!("building the `pinfold` binary and the demonstration (slow the first time)");
    let built = shell::output(&mut shell::command("cargo", BUILD))?;
    let demo = executable(&built, "demo").context("cargo built no demonstration")?;
    let pinfold = executable(&built, "pinfold").context("cargo built no `pinfold`")?;
    shell::status(shell::command(&demo, &[]).env("PINFOLD", pinfold))
}

/// The path of an executable among cargo's messages, one JSON object a line.
fn executable(messages: &str, target: &str) -> Option<String> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == target)
        .find_map(|message| message["executable"].as_str().map(str::to_owned))
}

const BUILD: &[&str] = &[
    "build",
    "--message-format=json-render-diagnostics",
    "--package=pinfold-cli",
    "--bin=pinfold",
    "--package=pinfold-tests",
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
}
