//! Rules about documents: they name every crate, and their links lead somewhere.

use super::{
    Report,
    layers::Workspace,
    tree::{File, Tree},
};
use crate::shell;

/// Checks all Markdown files.
pub(crate) fn check(tree: &Tree, workspace: &Workspace, report: &mut Report) {
    for path in REQUIRED.iter().filter(|path| tree.get(path).is_none()) {
        report.violation(path, "is missing");
    }
    for member in &workspace.members {
        let folder = format!("`{}", member.folder);
        for map in MAPS.iter().filter_map(|path| tree.get(path)) {
            if !map.text.contains(&folder) {
                report.violation(&map.path, format!("does not mention {folder}`"));
            }
        }
    }
    for file in tree.ending(".md") {
        for (line, word) in placeholders(&file.text) {
            report.violation(
                format!("{}:{line}", file.path),
                format!("`{word}` stands for something that is missing"),
            );
        }
        for (line, target) in links(file) {
            if !leads_somewhere(file, target) {
                report.violation(
                    format!("{}:{line}", file.path),
                    format!("no such file: {target}"),
                );
            }
        }
    }
}

/// Words that somebody meant to replace, also in code blocks: `TODO`, and what begins like `TIME_`.
fn placeholders(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().flat_map(|(at, line)| {
        let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        words
            .filter(|word| is_placeholder(word))
            .map(move |word| (at + 1, word))
    })
}

fn is_placeholder(word: &str) -> bool {
    let begins = |start: &&str| word.len() > start.len() && word.starts_with(*start);
    PLACEHOLDERS.contains(&word) || PLACEHOLDER_STARTS.iter().any(begins)
}

/// The targets of `[text](target)` that are no web addresses and no anchors, outside of code blocks.
fn links(file: &File) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (at, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for part in line.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with(['#', '<']) {
                found.push((at + 1, target));
            }
        }
    }
    found
}

fn leads_somewhere(file: &File, target: &str) -> bool {
    let path = target.split('#').next().unwrap_or_default();
    let here = shell::root().join(&file.path);
    here.parent()
        .is_some_and(|folder| folder.join(path).exists())
}

/// What a visitor expects at the root.
const REQUIRED: &[&str] = &[
    "AGENTS.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "docs/bench.md",
];

const PLACEHOLDERS: &[&str] = &["FIXME", "TBD", "TODO", "XXX"];
const PLACEHOLDER_STARTS: &[&str] = &["COUNT_", "FIGURE_", "TIME_", "TODO_"];

/// The documents that show the way to every crate.
const MAPS: &[&str] = &["ARCHITECTURE.md", "README.md"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_stand_for_something_else_are_found() {
        let rows = [
            ("a time", "takes TIME_DEMO on two cores", Some("TIME_DEMO")),
            ("in backticks", "`TIME_TEST`, then", Some("TIME_TEST")),
            ("in code", "```text\nTODO: write\n```", Some("TODO")),
            (
                "a constant of the text",
                "`TIME_`, `TCP_NODELAY`, TIMES_TWO",
                None,
            ),
            ("a word", "todo, a time", None),
        ];
        for (name, text, expected) in rows {
            let found = placeholders(text).next().map(|(_, word)| word);
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn links_outside_of_code_are_followed() {
        let text = "[a](README.md) [b](https://example.com) [c](#here)\n```text\n[d](nowhere)\n```\n[e](no.md#x)";
        let file = File {
            path: "README.md".into(),
            text: text.into(),
        };
        let found = links(&file);
        assert_eq!(found, [(1, "README.md"), (5, "no.md#x")]);
        assert!(!leads_somewhere(&file, "no.md#x"));
        assert!(leads_somewhere(&file, "Cargo.toml#x"));
    }
}
