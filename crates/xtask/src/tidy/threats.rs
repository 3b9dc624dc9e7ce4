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
        for name in tests_of(line).filter(|name| !exists(tree, name)) {
            report.violation(
                format!("{CHAPTER}:{}", at + 1),
                format!("no such test: {name}"),
            );
        }
    }
}

/// The names in backticks of the last cell; none when the line is no numbered row.
fn tests_of(line: &str) -> impl Iterator<Item = &str> {
    let row = line
        .strip_prefix("//! | ")
        .filter(|row| row.starts_with(|c: char| c.is_ascii_digit()));
    let last = row.and_then(|row| row.trim_end_matches([' ', '|']).rsplit(" | ").next());
    last.unwrap_or_default().split('`').skip(1).step_by(2)
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
    if path.contains("::") {
        return tree.ending(".rs").any(|file| has_test(file, test));
    }
    tree.get(&format!("tests/e2e/{path}.rs"))
        .is_some_and(|file| has_test(file, test))
}

fn is_vector(file: &File) -> bool {
    file.path.starts_with("tests/vectors/")
}

/// `*` stands for all tests of a file.
fn has_test(file: &File, test: &str) -> bool {
    let has_tests = file.text.contains("test]") || file.text.contains("test(");
    has_tests && (test == "*" || file.text.contains(&format!("fn {test}(")))
}

const CHAPTER: &str = "host/src/manual/threats.rs";

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
            ("all tests of a file", "`bypasses::*`", 0),
            ("a file that is gone", "`gone::*`", 1),
            ("a unit test", "`host::guard::tests::bomb`", 0),
            (
                "several",
                "`corpus:userinfo`, `corpus:gone`, `bypasses::gone`",
                2,
            ),
            ("none", "not testable here", 0),
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
                "#[tokio::test]\nasync fn bomb() {}\n",
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
