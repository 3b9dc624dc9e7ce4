//! Rules about single files.

use super::{
    Report, code,
    tree::{File, Tree},
};

/// Checks every file.
pub(crate) fn check(tree: &Tree, report: &mut Report) {
    for file in &tree.files {
        no_foreign_words(file, report);
    }
    for file in tree.ending(".rs") {
        let blanked = code::without_text(&file.text);
        if !is_generated(file) {
            sizes(&file.path, &blanked, report);
            exceptions(&file.path, &blanked, report);
        }
        doors(&file.path, &blanked, report);
        at_home(&file.path, &blanked, report);
        unfinished(&file.path, &blanked, report);
    }
    for file in tree.ending("Cargo.toml") {
        shared_lints(file, report);
    }
    for file in tree.ending(".wat") {
        fixtures(file, report);
    }
    pure_roots(tree, report);
}

/// The repository names no machine and no place of work.
fn no_foreign_words(file: &File, report: &mut Report) {
    for (at, line) in file.text.lines().enumerate() {
        for word in FOREIGN.iter().filter(|word| line.contains(**word)) {
            report.violation(place(&file.path, at + 1), format!("holds `{word}`"));
        }
    }
}

/// Files stay readable in one sitting. Tests are lists of cases.
fn sizes(path: &str, blanked: &str, report: &mut Report) {
    if is_test(path) {
        return;
    }
    let lines = code::code_lines(blanked);
    if lines > HARD_FILE {
        report.violation(
            path,
            format!("{lines} lines of code, the limit is {HARD_FILE}"),
        );
    } else if lines > SOFT_FILE {
        report.warning(
            path,
            format!("{lines} lines of code, more than {SOFT_FILE}"),
        );
    }
    for function in code::functions(code::product(blanked)) {
        if function.length > LONGEST_FUNCTION {
            let what = format!("`{}` has {} lines", function.name, function.length);
            report.violation(
                place(path, function.line),
                format!("{what}, the limit is {LONGEST_FUNCTION}"),
            );
        }
    }
}

/// An exception is an expectation with a reason: it goes away with its cause.
fn exceptions(path: &str, blanked: &str, report: &mut Report) {
    for (line, _) in code::attributes(blanked, "allow(") {
        report.violation(
            place(path, line),
            "use `expect` with a reason instead of `allow`",
        );
    }
    for (line, attribute) in code::attributes(blanked, "expect(") {
        if !attribute.contains("reason =") {
            report.violation(place(path, line), "an `expect` needs a reason");
        }
    }
    for (line, attribute) in code::attributes(blanked, "ignore") {
        if !attribute.contains('=') {
            report.violation(place(path, line), "an ignored test needs a reason");
        }
    }
}

/// One door out: the bans of `clippy.toml` are lifted only here.
fn doors(path: &str, blanked: &str, report: &mut Report) {
    for (lint, doors) in DOORS {
        if is_test(path) || doors.iter().any(|door| path.starts_with(door)) {
            continue;
        }
        for (line, text) in code::product(blanked).lines().enumerate() {
            if text.contains(lint) {
                report.violation(
                    place(path, line + 1),
                    format!("`{lint}` may be lifted only in {doors:?}"),
                );
            }
        }
    }
}

/// What may be named in some folders of the product only, or in none.
fn at_home(path: &str, blanked: &str, report: &mut Report) {
    if is_test(path) || !PRODUCT.iter().any(|folder| path.starts_with(folder)) {
        return;
    }
    for (word, homes, reason) in AT_HOME {
        if homes.iter().any(|home| path.starts_with(home)) {
            continue;
        }
        for (line, text) in code::product(blanked).lines().enumerate() {
            if text.contains(word) {
                report.violation(place(path, line + 1), format!("`{word}`: {reason}"));
            }
        }
    }
}

fn unfinished(path: &str, blanked: &str, report: &mut Report) {
    for (at, line) in blanked.lines().enumerate() {
        for word in UNFINISHED.iter().filter(|word| line.contains(**word)) {
            report.violation(place(path, at + 1), format!("`{word}` is left"));
        }
    }
}

/// Every crate takes the lints of the workspace. An example that is a workspace of its own has none to take.
fn shared_lints(file: &File, report: &mut Report) {
    let has = |table: &str| file.text.lines().any(|line| line.trim() == table);
    if has("[package]") && !has("[workspace]") && !file.text.contains("[lints]\nworkspace = true") {
        report.violation(&file.path, "does not take the workspace's lints");
    }
}

/// What the roots of single crates promise to the compiler.
fn pure_roots(tree: &Tree, report: &mut Report) {
    for (path, promise) in ROOTS {
        match tree.get(path) {
            None => report.violation(path, "is missing"),
            Some(file) if !code::without_text(&file.text).contains(promise) => {
                report.violation(path, format!("does not say `{promise}`"));
            }
            Some(_) => {}
        }
    }
}

/// A guest without an expectation tests nothing. The parts that guests are made of need none.
fn fixtures(file: &File, report: &mut Report) {
    let is_guest = file.path.starts_with(GUESTS) && !file.path[GUESTS.len()..].contains('/');
    let expected = file
        .text
        .lines()
        .filter_map(|line| line.strip_prefix(";; expect: "));
    if is_guest
        && !expected
            .into_iter()
            .any(|outcome| !outcome.trim().is_empty())
    {
        report.violation(&file.path, "has no line `;; expect: OUTCOME`");
    }
}

/// Tests and what serves them: benches, examples, the lab, modules that tests share.
pub(super) fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs")
        || path.ends_with("/testing.rs")
        || path
            .split('/')
            .any(|part| matches!(part, "tests" | "benches" | "examples" | "lab" | "bench"))
}

/// A generated file says so in its first lines. A program made it: it has other readers.
fn is_generated(file: &File) -> bool {
    file.text.lines().take(GENERATED_WITHIN).any(|line| {
        line.starts_with("//") && (line.contains("@generated") || line.contains("Generated by"))
    })
}

fn place(path: &str, line: usize) -> String {
    format!("{path}:{line}")
}

const SOFT_FILE: usize = 400;
const HARD_FILE: usize = 600;
const LONGEST_FUNCTION: usize = 70;
/// Lines.
const GENERATED_WITHIN: usize = 5;

/// Put together, so that this file keeps its own rule.
const FOREIGN: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("../sha", "red"),
];

const UNFINISHED: &[&str] = &["todo!", "unimplemented!", "dbg!"];

/// Where a ban may be lifted, and for what.
const DOORS: &[(&str, &[&str])] = &[
    (
        "disallowed_methods",
        &[
            "crates/cli/src/operate/socket.rs",
            "host/src/connect/socket.rs",
            "host/src/resolve/system.rs",
        ],
    ),
    ("disallowed_types", &["host/src/resolve/"]),
];

/// The sources that run in the user's process.
const PRODUCT: &[&str] = &[
    "crates/addr/src/",
    "crates/cli/src/",
    "crates/gateway/src/",
    "crates/http/src/",
    "guest/policies/",
    "guest/sdk/",
    "host/src/",
];

/// A word, the only places for it, and why.
const AT_HOME: &[(&str, &[&str], &str)] = &[
    (
        "env::",
        &[],
        "nothing that the environment says may change what is refused",
    ),
    (
        "listenfd",
        &["crates/gateway/src/listen/inherited.rs"],
        "reads the environment: sockets of the service manager have no other way in",
    ),
    (
        "sd_notify",
        &[
            "crates/gateway/src/listen/inherited.rs",
            "crates/gateway/src/service.rs",
        ],
        "reads the environment: the service manager says there where it is told of the start",
    ),
    (
        "hickory_",
        &["host/src/resolve/"],
        "lookups are made in `pinfold::resolve` only",
    ),
    (
        "hyper",
        &[
            "crates/cli/src/operate/",
            "crates/gateway/src/",
            "crates/http/src/",
        ],
        "a request is made by `pinfold_http`; the command line speaks HTTP with the own gateway only",
    ),
    (
        "wasmtime",
        &["host/src/policy/"],
        "policies are run in `pinfold::policy` only",
    ),
];

const ROOTS: &[(&str, &str)] = &[
    ("crates/addr/src/lib.rs", "#![no_std]"),
    ("crates/addr/src/lib.rs", "#![forbid(unsafe_code)]"),
    ("crates/cli/src/main.rs", "#![forbid(unsafe_code)]"),
    ("crates/gateway/src/lib.rs", "#![forbid(unsafe_code)]"),
    ("crates/http/src/lib.rs", "#![forbid(unsafe_code)]"),
    ("crates/lab/src/lib.rs", "#![forbid(unsafe_code)]"),
];

/// The guests of the tests, and in folders below it the parts that they are made of.
const GUESTS: &str = "tests/fixtures/guests/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_finds_its_violation() {
        let long = format!("fn f() {{\n{}}}\n", "    g();\n".repeat(LONGEST_FUNCTION));
        let large = "use a;\n".repeat(HARD_FILE + 1);
        let generated = format!("// @generated from data\n{large}");
        let path = format!("let p = \"{}x\";", FOREIGN[0]);
        let cases = [
            (
                "allow",
                "host/src/a.rs",
                "#[allow(dead_code)]\nfn f() {}",
                1,
            ),
            (
                "expect without reason",
                "host/src/a.rs",
                "#[expect(dead_code)]\nfn f() {}",
                1,
            ),
            (
                "expect",
                "host/src/a.rs",
                "#[expect(dead_code, reason = \"r\")]\nfn f() {}",
                0,
            ),
            ("ignored test", "host/src/a.rs", "#[ignore]\nfn f() {}", 1),
            (
                "ignored with reason",
                "host/src/a.rs",
                "#[ignore = \"slow\"]\nfn f() {}",
                0,
            ),
            (
                "second door",
                "host/src/a.rs",
                "#[expect(clippy::disallowed_methods, reason = \"r\")]",
                1,
            ),
            (
                "the door",
                "host/src/connect/socket.rs",
                "#[expect(clippy::disallowed_methods, reason = \"r\")]",
                0,
            ),
            (
                "a test's door",
                "host/src/a/tests.rs",
                "#[expect(clippy::disallowed_methods, reason = \"r\")]",
                0,
            ),
            (
                "the environment",
                "crates/http/src/a.rs",
                "fn f() {\n    std::env::var(\"X\");\n}",
                1,
            ),
            (
                "cargo's environment",
                "host/src/a.rs",
                "const A: &str = env!(\"OUT_DIR\");",
                0,
            ),
            (
                "a build script",
                "host/build.rs",
                "fn f() {\n    std::env::var(\"X\");\n}",
                0,
            ),
            (
                "DNS elsewhere",
                "host/src/guard.rs",
                "use hickory_resolver::TokioResolver;",
                1,
            ),
            (
                "DNS at home",
                "host/src/resolve/hickory.rs",
                "use hickory_resolver::TokioResolver;",
                0,
            ),
            (
                "the engine elsewhere",
                "crates/http/src/a.rs",
                "use wasmtime::Store;",
                1,
            ),
            (
                "HTTP in a verb",
                "crates/cli/src/a.rs",
                "use hyper::Request;",
                1,
            ),
            (
                "HTTP with the own gateway",
                "crates/cli/src/operate/client.rs",
                "use hyper::Request;",
                0,
            ),
            ("unfinished", "host/src/a.rs", "fn f() {\n    todo!()\n}", 1),
            ("unfinished in a comment", "host/src/a.rs", "// todo!()", 0),
            ("long function", "host/src/a.rs", &long, 1),
            ("long test", "tests/e2e/a.rs", &long, 0),
            ("large file", "host/src/a.rs", &large, 1),
            ("generated file", "crates/addr/src/a.rs", &generated, 0),
            ("path of a machine", "host/src/a.rs", &path, 1),
        ];
        for (name, path, text, expected) in cases {
            let found = violations(&[(path, text)]);
            let found: Vec<_> = found.iter().filter(|line| line.starts_with(path)).collect();
            assert_eq!(found.len(), expected, "{name}: {found:?}");
        }
    }

    #[test]
    fn a_guest_needs_an_expectation() {
        for (path, text, expected) in [
            ("tests/fixtures/guests/a.wat", ";; expect: allow", 0),
            ("tests/fixtures/guests/a.wat", ";; expect: ", 1),
            ("tests/fixtures/guests/a.wat", "(module)", 1),
            ("tests/fixtures/guests/base/a.wat", "(module)", 0),
        ] {
            let found = violations(&[(path, text)]);
            let found = found.iter().filter(|line| line.starts_with(path)).count();
            assert_eq!(found, expected, "{path}: {text}");
        }
    }

    #[test]
    fn a_crate_takes_the_lints_and_keeps_its_promise() {
        let found = violations(&[
            ("crates/addr/Cargo.toml", "[package]\nname = \"a\"\n"),
            ("guest/examples/a/Cargo.toml", "[workspace]\n\n[package]\n"),
            (
                "crates/addr/src/lib.rs",
                "//! #![no_std]\n#![forbid(unsafe_code)]\n",
            ),
        ]);
        assert!(
            found
                .iter()
                .any(|line| line.starts_with("crates/addr/Cargo.toml"))
        );
        assert!(!found.iter().any(|line| line.starts_with("guest/examples")));
        assert!(
            found
                .iter()
                .any(|line| line.contains("does not say `#![no_std]`"))
        );
        assert!(
            !found
                .iter()
                .any(|line| line.contains("addr/src/lib.rs: does not say `#![forbid"))
        );
    }

    fn violations(files: &[(&str, &str)]) -> Vec<String> {
        let files = files.iter().map(|(path, text)| File {
            path: (*path).into(),
            text: (*text).into(),
        });
        let mut report = Report::default();
        check(
            &Tree {
                files: files.collect(),
            },
            &mut report,
        );
        report.violations
    }
}
