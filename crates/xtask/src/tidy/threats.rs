//! The manual's chapter on threats names tests: each of them must exist.

use super::{
    Report,
    tree::{File, Tree},
};

/// Checks the last column of every numbered row.
pub(crate) fn check(tree: &Tree, report: &mut Report) {
    let Some(chapter) = tree.get(CHAPTER) else {
        report.violation(CHAPTER, "is missing");
        return;
    };
    for (at, line) in chapter.text.lines().enumerate() {
        let Some(cell) = shown_by(line) else { continue };
        let place = format!("{CHAPTER}:{}", at + 1);
        if cell != UNTESTABLE && tests_in(cell).next().is_none() {
            report.violation(&place, format!("names no test and is not `{UNTESTABLE}`"));
        }
        for name in tests_in(cell).filter(|name| !exists(tree, name)) {
            report.violation(&place, format!("no such test: {name}"));
        }
    }
}

/// The last cell; none when the line is no numbered row.
fn shown_by(line: &str) -> Option<&str> {
    let row = line
        .strip_prefix("//! | ")
        .filter(|row| row.starts_with(|c: char| c.is_ascii_digit()))?;
    row.trim_end()
        .strip_suffix('|')
        .and_then(|row| row.rsplit(" | ").next())
        .map(str::trim)
}

/// The names in backticks.
fn tests_in(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn exists(tree: &Tree, name: &str) -> bool {
    if let Some(class) = name.strip_prefix("corpus:") {
        let field = format!(r#""class": "{class}""#);
        return tree
            .ending(".jsonl")
            .any(|file| is_vector(file) && file.text.contains(&field));
    }
    let Some((path, test)) = name.rsplit_once("::") else {
        return false;
    };
    let path = match path {
        "addr" => "crates/addr/tests/bypasses.rs".to_owned(),
        path if path.contains('/') => format!("{path}.rs"),
        path => format!("tests/e2e/{path}.rs"),
    };
    tree.get(&path).is_some_and(|file| has_test(file, test))
}

fn is_vector(file: &File) -> bool {
    file.path.starts_with("tests/vectors/")
}

/// A function below `#[test]` or `#[tokio::test]`, with more attributes between perhaps.
fn has_test(file: &File, test: &str) -> bool {
    let mut is_test = false;
    for line in file.text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((_, name)) = line.split_once("fn ") {
            if is_test
                && name
                    .strip_prefix(test)
                    .is_some_and(|rest| rest.starts_with('('))
            {
                return true;
            }
            is_test = false;
        }
    }
    false
}

const CHAPTER: &str = "host/src/manual/threats.rs";
/// What a row says that no test can show.
const UNTESTABLE: &str = "not testable here";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tests_that_do_not_exist_are_found() {
        let rows = [
            ("a class", "`corpus:userinfo`", 0),
            ("a class that is gone", "`corpus:gone`", 1),
            ("a test", "`bypasses::bomb`", 0),
            ("a test that is gone", "`bypasses::gone`", 1),
            ("all tests of a file", "`bypasses::*`", 1),
            ("a file that is gone", "`gone::bomb`", 1),
            ("a function that is no test", "`bypasses::helper`", 1),
            ("a unit test", "`host/src/guard/tests::grant`", 0),
            (
                "a unit test elsewhere",
                "`host/src/connect/tests::grant`",
                1,
            ),
            ("of the address crate", "`addr::class_01`", 0),
            ("gone from the address crate", "`addr::class_02`", 1),
            (
                "several",
                "`corpus:userinfo`, `corpus:gone`, `bypasses::gone`",
                2,
            ),
            ("not testable", "not testable here", 0),
            ("no test", "guest/policies/egress", 1),
            ("nothing", "", 1),
        ];
        for (name, cell, expected) in rows {
            let row =
                format!("//! | 1 | `http://a@b/` | `nothing::here` | {cell} |\n//! | # | `x` |");
            let mut report = Report::default();
            check(&tree(&row), &mut report);
            assert_eq!(
                report.violations.len(),
                expected,
                "{name}: {:?}",
                report.violations
            );
        }
    }

    fn tree(chapter: &str) -> Tree {
        let files = [
            (CHAPTER, chapter),
            (
                "tests/vectors/a.jsonl",
                r#"{"id": "1", "class": "userinfo"}"#,
            ),
            (
                "tests/e2e/bypasses.rs",
                "#[tokio::test]\nasync fn bomb() {}\n\nfn helper() {}\n",
            ),
            (
                "host/src/guard/tests.rs",
                "#[test]\n#[cfg(unix)]\nfn grant() {}\n",
            ),
            (
                "crates/addr/tests/bypasses.rs",
                "#[test]\nfn class_01() {}\n",
            ),
        ];
        let files = files.map(|(path, text)| File {
            path: path.into(),
            text: text.into(),
        });
        Tree {
            files: files.into(),
        }
    }
}
