//! What users of the library see holds no type of the engine, of the DNS client or of the schema checker:
//! another version of them is no breaking change of ours, and nobody reaches round the guard through them.
//!
//! A reading of the text, not of the types: it follows the `use` of each file, and sees neither what a
//! macro writes nor a type behind an alias of another file.

use std::collections::BTreeSet;

use super::{
    Report, code,
    tree::{File, Tree},
};

/// Checks the sources of the libraries.
pub(crate) fn check(tree: &Tree, report: &mut Report) {
    let sources = tree.ending(".rs").filter(|file| {
        !file.path.ends_with("/tests.rs")
            && LIBRARIES.iter().any(|folder| file.path.starts_with(folder))
    });
    sources.for_each(|file| signatures(file, report));
}

fn signatures(file: &File, report: &mut Report) {
    let blanked = code::without_text(&file.text);
    let source = code::product(&blanked);
    let foreign = foreign_names(source);
    for (line, signature) in public(source) {
        if let Some(word) = words(&signature).find(|word| foreign.contains(word)) {
            report.violation(
                format!("{}:{line}", file.path),
                format!("`{word}` of another crate is in a public signature"),
            );
        }
    }
}

/// The crates themselves, and what this file imports from them by name.
fn foreign_names(source: &str) -> BTreeSet<&str> {
    let mut names: BTreeSet<&str> = HIDDEN.iter().copied().collect();
    for (at, _) in source.match_indices("use ") {
        let statement = source[at + 4..].split(';').next().unwrap_or_default();
        let of = statement.split("::").next().unwrap_or_default();
        if HIDDEN.contains(&of.trim()) {
            names.extend(imported(statement));
        }
    }
    names
}

/// The last word of each path of a `use`: the name itself, or what it is called here.
fn imported(statement: &str) -> impl Iterator<Item = &str> {
    let paths = statement.split([',', '{', '}']);
    paths.filter_map(|path| words(path).last())
}

/// Every public item, and every implementation for a public type, up to its body.
fn public(source: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = source.lines().collect();
    let own = public_types(&lines);
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        let body = if text.starts_with("pub enum ") || text.starts_with("pub trait ") {
            Some(block(&lines[at..]))
        } else if text.starts_with("pub ") {
            Some(head(&lines[at..]))
        } else if text.starts_with("impl") {
            Some(head(&lines[at..])).filter(|head| is_for(head, &own))
        } else {
            None
        };
        found.extend(body.map(|body| (at + 1, body)));
    }
    found
}

/// The public types that a file declares.
fn public_types<'a>(lines: &[&'a str]) -> BTreeSet<&'a str> {
    let declared = lines.iter().filter_map(|line| {
        let rest = line.trim_start().strip_prefix("pub ")?;
        let mut words = words(rest);
        let kind = words.next()?;
        let name = words.next()?;
        matches!(kind, "enum" | "struct" | "type").then_some(name)
    });
    declared.collect()
}

fn is_for(head: &str, own: &BTreeSet<&str>) -> bool {
    let target = head.rsplit(" for ").next().unwrap_or(head);
    words(target).any(|word| own.contains(word))
}

/// Up to the first brace or semicolon; for a field, the end of its line.
fn head(lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(line);
        text.push('\n');
        // `pub use a::{b};` has braces before its end.
        let is_use = text.trim_start().starts_with("pub use ");
        let is_field = lines.len() > 1 && is_field(lines[0]);
        if is_field || line.contains(';') || (!is_use && line.contains('{')) {
            break;
        }
    }
    if text.trim_start().starts_with("pub use ") {
        return text;
    }
    let end = text.find(['{', ';']).unwrap_or(text.len());
    text[..end].to_owned()
}

/// `pub name: Type,`: what follows `pub` is a word and a colon.
fn is_field(line: &str) -> bool {
    let rest = line.trim_start().strip_prefix("pub ").unwrap_or_default();
    let name = rest.split(':').next().unwrap_or_default();
    rest.contains(": ") && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// Up to the brace that closes the item, at the indent of its first line.
fn block(lines: &[&str]) -> String {
    let first = lines.first().copied().unwrap_or_default();
    let indent = &first[..first.len() - first.trim_start().len()];
    let end = lines.iter().position(|line| {
        line.strip_prefix(indent)
            .is_some_and(|l| l.starts_with('}'))
    });
    lines[..=end.unwrap_or(0)].join("\n")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

const LIBRARIES: &[&str] = &["host/src/", "crates/http/src/"];

/// The crates that are our own business.
const HIDDEN: &[&str] = &[
    "hickory_net",
    "hickory_proto",
    "hickory_resolver",
    "jsonschema",
    "wasmparser",
    "wasmtime",
    "wasmtime_wizer",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_hidden_crates_are_found_in_what_is_public() {
        let rows = [
            (
                "a function",
                "pub fn f(a: u8) -> wasmtime::Result<()> {}",
                1,
            ),
            (
                "over several lines",
                "pub async fn f(\n    a: u8,\n    b: Store<()>,\n) {\n}",
                1,
            ),
            ("inside", "pub(crate) fn f(store: Store<()>) {}", 0),
            ("a body", "pub fn f() {\n    Store::new();\n}", 0),
            ("a field", "pub struct A {\n    pub store: Store<()>,\n}", 1),
            (
                "a private field",
                "pub struct A {\n    store: Store<()>,\n}",
                0,
            ),
            (
                "a field after",
                "pub struct A {\n    pub a: u8,\n    store: Store<()>,\n}",
                0,
            ),
            ("a tuple", "pub struct A(pub Store<()>);", 1),
            (
                "a variant",
                "pub enum A {\n    One,\n    Two(Store<()>),\n}\n",
                1,
            ),
            (
                "a trait",
                "pub trait A {\n    fn f(&self) -> Renamed;\n}\n",
                1,
            ),
            ("an alias", "pub type A = Renamed;", 1),
            ("the name that is not used", "pub type A = Resolver;", 0),
            (
                "handed on",
                "pub use hickory_resolver::{\n    Lookup,\n};",
                1,
            ),
            (
                "a conversion",
                "pub struct A;\nimpl From<Store<()>> for A {\n}",
                1,
            ),
            (
                "of a private type",
                "struct A;\nimpl From<Store<()>> for A {\n}",
                0,
            ),
            (
                "for tests",
                "fn f() {}\n#[cfg(test)]\nmod tests {\n    pub fn f(a: Store<()>) {}\n}",
                0,
            ),
            ("a comment", "/// See `wasmtime::Store`.\npub fn f() {}", 0),
        ];
        for (name, text, expected) in rows {
            let uses = "use hickory_resolver::{Resolver as Renamed, x};\nuse wasmtime::Store;\n";
            let file = File {
                path: "host/src/a.rs".into(),
                text: format!("{uses}{text}"),
            };
            let mut report = Report::default();
            check(&Tree { files: vec![file] }, &mut report);
            let found = report.violations;
            assert_eq!(found.len(), expected, "{name}: {found:?}");
        }
    }

    #[test]
    fn other_crates_and_tests_are_not_read() {
        for path in [
            "crates/bench/src/lib.rs",
            "host/src/policy/tests.rs",
            "docs/a.md",
        ] {
            let file = File {
                path: path.into(),
                text: "pub fn f(a: wasmtime::Store<()>) {}".into(),
            };
            let mut report = Report::default();
            check(&Tree { files: vec![file] }, &mut report);
            assert!(report.violations.is_empty(), "{path}");
        }
    }
}
