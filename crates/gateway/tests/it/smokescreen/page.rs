//! `docs/smokescreen.md` holds the rows of `tests/vectors/smokescreen`; `UPDATE=1` writes them into it.

use std::{fmt::Write, fs, path::PathBuf};

use serde_json::Value;

fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The rows of a table.
pub(crate) fn rows(name: &str) -> Vec<Value> {
    let path = repository().join(format!("tests/vectors/smokescreen/{name}.jsonl"));
    let text = fs::read_to_string(path).unwrap();
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(parse).collect()
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

/// What is asked of a whole gateway, by area.
fn behaviour() -> String {
    let mut page = String::new();
    let mut area = String::new();
    for row in rows("behaviour") {
        if text(&row, "area") != area {
            area = text(&row, "area").into();
            write!(
                page,
                "### {area}\n\n| case | there | here |\n|---|---|---|\n"
            )
            .unwrap();
        }
        let why = row["why"].as_str().map(|why| format!("<br>*{why}*"));
        let why = why.unwrap_or_default();
        let [case, there, here] = ["case", "there", "here"].map(|key| text(&row, key));
        writeln!(page, "| {case} | {there} | {here}{why} |").unwrap();
    }
    page.replace("\n###", "\n\n###")
}

fn targets() -> String {
    let mut page = String::from("| asked for | there | here |\n|---|---|---|\n");
    for row in rows("targets") {
        let method = if row["form"] == "connect" {
            "CONNECT"
        } else {
            "GET"
        };
        let why = row["difference"].as_str().map(|why| format!(": {why}"));
        let [target, there, here] = ["target", "there", "here"].map(|key| text(&row, key));
        let why = why.unwrap_or_default();
        writeln!(page, "| `{method} {target}` | `{there}` | `{here}`{why} |").unwrap();
    }
    page
}

/// Of the names and addresses only what differs, and how many do not.
fn judged() -> String {
    let all = rows("cases");
    let differs: Vec<_> = all
        .iter()
        .filter(|row| row["difference"].is_string())
        .collect();
    let same = all.len() - differs.len();
    let mut page = format!(
        "{same} of {} cases end as there. The others:\n\n",
        all.len()
    );
    page.push_str("| case | there | here |\n|---|---|---|\n");
    for row in differs {
        let here = row["expect"]
            .as_str()
            .or_else(|| row["expect"]["verdict"].as_str());
        let [case, there, why] = ["id", "there", "difference"].map(|key| text(row, key));
        writeln!(
            page,
            "| {case} | {there} | {}: {why} |",
            here.unwrap_or_default()
        )
        .unwrap();
    }
    page
}

#[test]
fn the_page_has_the_rows_of_the_tables() {
    let path = repository().join("docs/smokescreen.md");
    let is = fs::read_to_string(&path).unwrap();
    let mut ought = is.clone();
    for (name, table) in [
        ("behaviour", behaviour()),
        ("targets", targets()),
        ("cases", judged()),
    ] {
        let (begin, end) = (format!("<!-- rows: {name} -->\n"), "\n<!-- end of rows -->");
        let (before, rest) = ought.split_once(&begin).expect("a place for the rows");
        let (_, after) = rest.split_once(end).expect("its end");
        ought = format!("{before}{begin}\n{}{end}{after}", table.trim_start());
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, ought).unwrap();
    } else {
        assert_eq!(is, ought, "UPDATE=1 writes the rows anew");
    }
}

#[test]
fn each_row_names_the_test_that_shows_it() {
    let mut sources = String::new();
    for folder in [
        "crates/gateway/tests/it",
        "crates/gateway/tests/it/smokescreen",
        "crates/cli/tests/it",
        "crates/gateway/src/identity",
        "crates/gateway/src/http",
    ] {
        for file in fs::read_dir(repository().join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|end| end == "rs") {
                sources.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    for row in rows("behaviour") {
        let Some(test) = row["test"].as_str() else {
            assert!(row["why"].is_string(), "neither shown nor explained: {row}");
            continue;
        };
        assert!(
            sources.contains(&format!("fn {test}(")),
            "no such test: {row}"
        );
    }
}
