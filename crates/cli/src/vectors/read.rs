//! Files of vectors: what authors write (TOML, JSON) is strict, what programs write (JSON lines) is not.

use std::{collections::BTreeSet, fmt::Display, io::Read, path::Path};

use anyhow::Context;
use pinfold::policy::settings_from_json;
use pinfold_gateway::settings::check_nesting;
use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;

use super::{Case, Content, ExpectedProblem, Line, Lines, Suite, case::LINE_FIELDS, lenient};
use crate::{fault::Fault, files, policy::suggest};

/// The longest document of JSON that is read, in bytes.
const MAX_JSON: u64 = 16 << 20;

/// The longest document of TOML, whose text grows more in memory, in bytes.
const MAX_TOML: u64 = 1 << 20;

/// The most cases of one file.
const MAX_CASES: usize = 100_000;

/// Reads one file.
pub(super) fn file(file: &Path) -> anyhow::Result<Vec<Suite>> {
    let suites = match file.extension().and_then(|end| end.to_str()) {
        Some("jsonl") => lines(file)?,
        Some("json") => vec![json(file)?],
        Some("toml") => vec![toml(file)?],
        _ => {
            let hint = "call it `.toml`, `.json` or `.jsonl`";
            return Err(unusable(file, "its name says nothing of its format", hint));
        }
    };
    each_name_once(file, &suites)?;
    Ok(suites)
}

/// A document as it is written. `C` is a case, with its place where the format tells it.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a document with `case` or `problems`"
)]
struct Document<C> {
    about: Option<String>,
    settings: Option<Value>,
    #[serde(default)]
    grants: Vec<String>,
    #[serde(default)]
    nat64: Vec<String>,
    #[serde(alias = "cases")]
    case: Option<Vec<C>>,
    problems: Option<Vec<ExpectedProblem>>,
}

fn toml(file: &Path) -> anyhow::Result<Suite> {
    let text = document(file, MAX_TOML)?;
    check_nesting(&text).map_err(|what| unusable(file, what, "nest less, or write JSON"))?;
    let read = toml::from_str::<Document<Spanned<Case>>>(&text);
    let line = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
    let read = read.map_err(|error| suggest::not_valid(file, error))?;
    read.suite(file, |case| {
        let start = case.span().start;
        let mut case = case.into_inner();
        case.line = Some(line(start));
        case
    })
}

fn json(file: &Path) -> anyhow::Result<Suite> {
    let text = document(file, MAX_JSON)?;
    let read = serde_json::from_str::<Document<Case>>(&text).map_err(|error| {
        let message = error.to_string();
        let hint = suggest::suggestion(&message).unwrap_or_default();
        unusable(file, message, &hint)
    })?;
    // A member that is written twice would silently replace the one before it.
    settings_from_json(&text).map_err(|problem| unusable(file, problem, ""))?;
    read.suite(file, |case| case)
}

impl<C> Document<C> {
    fn suite(self, file: &Path, place: impl Fn(C) -> Case) -> anyhow::Result<Suite> {
        let wrong = |what: String| unusable(file, what, "");
        let content = match (self.case, self.problems) {
            (Some(cases), None) => cases_of(file, cases.into_iter().map(place))?,
            (None, Some(problems)) => problems_of(file, problems, self.settings.as_ref())?,
            (Some(_), Some(_)) => {
                let hint = "settings are refused or judge cases: put the two in two files";
                return Err(unusable(file, "it has `case` and `problems`", hint));
            }
            (None, None) => return Err(no_cases(file)),
        };
        Ok(Suite {
            file: file.to_owned(),
            about: self.about,
            settings: self.settings,
            grants: parsed("grants", &self.grants).map_err(wrong)?,
            nat64: parsed("nat64", &self.nat64).map_err(wrong)?,
            content,
        })
    }
}

fn cases_of(file: &Path, cases: impl Iterator<Item = Case>) -> anyhow::Result<Content> {
    let check = |(at, case): (usize, Case)| {
        let place = place(&case, at);
        let checked = case.checked();
        checked.map_err(|what| unusable(file, format_args!("{place}: {what}"), ""))
    };
    let cases = cases.enumerate().map(check);
    let cases = cases.collect::<anyhow::Result<Vec<_>>>()?;
    match cases.len() {
        0 => Err(no_cases(file)),
        1..=MAX_CASES => Ok(Content::Cases(cases)),
        _ => Err(too_many(file)),
    }
}

/// Where a case stands, for people.
fn place(case: &Case, at: usize) -> String {
    match case.line {
        Some(line) => format!("the case in line {line}"),
        None => format!("case {}", at + 1),
    }
}

fn problems_of(
    file: &Path,
    problems: Vec<ExpectedProblem>,
    settings: Option<&Value>,
) -> anyhow::Result<Content> {
    if settings.is_none() {
        let hint = "state the settings that are to be refused";
        return Err(unusable(file, "`problems` without `settings`", hint));
    }
    if problems.is_empty() {
        return Err(unusable(
            file,
            "`problems` is empty",
            "list the problems that are expected",
        ));
    }
    Ok(Content::Problems(problems))
}

fn parsed<T: std::str::FromStr<Err: Display>>(
    field: &str,
    texts: &[String],
) -> Result<Vec<T>, String> {
    let parse = |(at, text): (usize, &String)| {
        let parsed = text.parse::<T>();
        parsed.map_err(|error| format!("`/{field}/{at}`: `{}`: {error}", text.escape_debug()))
    };
    texts.iter().enumerate().map(parse).collect()
}

/// One suite for each run of lines with equal settings.
fn lines(file: &Path) -> anyhow::Result<Vec<Suite>> {
    let mut suites = Vec::<(Option<Value>, Vec<Case>)>::new();
    let mut lines = Lines::of(file, files::regular(file)?)?;
    let mut count = 0;
    while let Some(line) = lines.next().with_context(|| cannot_read(file))? {
        let (settings, case) = case_in(&line)
            .map_err(|what| unusable(file, format_args!("line {}: {what}", line.number), ""))?;
        match suites.last_mut() {
            Some((before, cases)) if *before == settings => cases.push(case),
            _ => suites.push((settings, vec![case])),
        }
        count += 1;
        if count > MAX_CASES {
            return Err(too_many(file));
        }
    }
    if suites.is_empty() {
        return Err(no_cases(file));
    }
    let suite = |(settings, cases)| Suite {
        file: file.to_owned(),
        about: None,
        settings,
        grants: Vec::new(),
        nat64: Vec::new(),
        content: Content::Cases(cases),
    };
    Ok(suites.into_iter().map(suite).collect())
}

/// What a line says beside its case.
#[derive(Deserialize)]
struct Beside {
    settings: Option<Value>,
}

fn case_in(line: &Line) -> Result<(Option<Value>, Case), String> {
    let text = line.text.as_ref().map_err(|error| (*error).to_owned())?;
    let mut case = Case::from_line(text, LINE_FIELDS)?;
    case.line = Some(line.number);
    case.or_named(|| format!("line {}", line.number));
    let beside = lenient::from_line::<Beside>(text, &["settings"]);
    Ok((beside.map_err(|error| error.to_string())?.settings, case))
}

/// A report names a case by its file and its name.
fn each_name_once(file: &Path, suites: &[Suite]) -> anyhow::Result<()> {
    let mut names = BTreeSet::new();
    for case in suites.iter().flat_map(Suite::cases) {
        let name = case.name();
        if !names.insert(name.clone()) {
            let what = format!("two cases are called `{}`", name.escape_debug());
            return Err(unusable(file, what, "give each case a `name` of its own"));
        }
    }
    Ok(())
}

fn document(file: &Path, limit: u64) -> anyhow::Result<String> {
    let opened = files::regular(file)?;
    let mut text = String::new();
    let read = opened.take(limit + 1).read_to_string(&mut text);
    if read.with_context(|| cannot_read(file))? as u64 > limit {
        let what = format!("it is longer than {} MiB", limit >> 20);
        return Err(unusable(file, what, "put the cases in several files"));
    }
    Ok(text)
}

fn no_cases(file: &Path) -> anyhow::Error {
    let hint =
        "add a case: `[[case]]` in TOML, `\"case\": [...]` in JSON, one line each in JSON lines";
    unusable(file, "it holds no cases: nothing would be tested", hint)
}

fn too_many(file: &Path) -> anyhow::Error {
    let what = format!("it holds more than {MAX_CASES} cases");
    unusable(file, what, "put the cases in several files")
}

/// The error of a file, with what to do about it unless that is empty.
fn unusable(file: &Path, what: impl Display, hint: &str) -> anyhow::Error {
    let cause = anyhow::Error::msg(what.to_string());
    let message = format!("`{}` cannot be used", file.display());
    if hint.is_empty() {
        cause.context(message)
    } else {
        cause.context(Fault::new(message, hint))
    }
}

fn cannot_read(file: &Path) -> String {
    format!("cannot read `{}`", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join(name);
        std::fs::write(&at, text).unwrap();
        file(&at).map_or_else(|error| format!("{error:#}"), |_| "read".into())
    }

    #[test]
    fn toml_is_no_larger_in_memory_than_it_is_worth() {
        let case = "[[case]]\nurl = \"https://a.example/\"\nexpect = \"allow\"\n";
        let json = r#"{"case": [{"url": "https://a.example/", "expect": "allow"}]}"#;
        let long = " ".repeat(MAX_TOML as usize);
        let deep = format!("settings.{}b = 1\n{case}", "a.".repeat(99));
        for (row, name, text, expected) in [
            ("a case", "a.toml", case.to_owned(), "read"),
            (
                "long",
                "a.toml",
                format!("{case}{long}"),
                "is longer than 1 MiB",
            ),
            ("long in JSON", "a.json", format!("{json}{long}"), "read"),
            ("deep", "a.toml", deep, "a key has more than 32 parts"),
        ] {
            let said = said(name, &text);
            assert!(said.contains(expected), "{row}: {said}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn no_pipe_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.toml", "a.json", "a.jsonl"] {
            let pipe = dir.path().join(name);
            files::testing::pipe(&pipe);
            let error = file(&pipe).unwrap_err().to_string();
            assert!(error.ends_with("is not a regular file"), "{name}: {error}");
        }
    }
}
