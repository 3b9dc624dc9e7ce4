//! The page that lists the codes.

use std::{collections::HashSet, fmt::Write, fs, path::Path};

use super::finding::{Code, Severity};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/envoy-check.md");

/// What stands between the marks of the page is written from the code (`UPDATE=1`).
#[test]
fn the_page_lists_every_code() {
    let page = fs::read_to_string(Path::new(PAGE)).unwrap();
    let (before, rest) = page.split_once(START).unwrap();
    let (listed, after) = rest.split_once(END).unwrap();
    let tables = tables();
    if std::env::var_os("UPDATE").is_some() {
        let written = format!("{before}{START}{tables}{END}{after}");
        fs::write(Path::new(PAGE), written).unwrap();
        return;
    }
    assert_eq!(listed, tables, "`UPDATE=1` writes it anew");
}

fn tables() -> String {
    let mut text = String::new();
    for (severity, title) in [
        (Severity::Hole, "Holes"),
        (Severity::Weakness, "Weaknesses"),
        (Severity::Note, "Notes"),
    ] {
        write!(
            text,
            "\n### {title}\n\n| code | meaning | mend |\n|---|---|---|\n"
        )
        .unwrap();
        for code in Code::ALL.iter().filter(|code| code.severity() == severity) {
            let (name, meaning, mend) = (code.as_str(), code.meaning(), code.mend());
            writeln!(text, "| `{name}` | {meaning} | {mend} |").unwrap();
        }
    }
    text.push('\n');
    text
}

#[test]
fn codes_are_names() {
    let mut seen = HashSet::new();
    for code in Code::ALL {
        let name = code.as_str();
        assert!(seen.insert(name), "{name} twice");
        assert!(
            name.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
            "{name}"
        );
        for text in [code.meaning(), code.mend()] {
            assert!(
                !text.ends_with('.') && !text.contains('|'),
                "{name}: {text}"
            );
        }
    }
}

const START: &str = "<!-- codes: written from the code -->\n";
const END: &str = "<!-- end of codes -->\n";
