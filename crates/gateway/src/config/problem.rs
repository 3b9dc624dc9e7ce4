//! What is wrong with a configuration, for a person: where, what, and what to do.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::schema;
use crate::suggest;

/// A configuration that cannot be used, with everything that was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    file: Option<PathBuf>,
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    key: Key,
    place: Option<Place>,
    message: String,
    hint: Option<String>,
}

/// The way to a value: `listener[1].tls.key`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Key(Vec<Step>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Step {
    Name(String),
    At(usize),
}

/// Where something stands in a file; both count from 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Place {
    line: usize,
    column: usize,
}

impl ConfigError {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self {
            file: None,
            problems,
        }
    }

    /// The same, with the file that it is about.
    pub(super) fn of(mut self, file: &Path) -> Self {
        self.file = Some(file.to_owned());
        self
    }

    /// What was found, in the order of the file where it has one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What to do about the first problem that says it.
    pub fn hint(&self) -> Option<&str> {
        self.problems.iter().find_map(Problem::hint)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            if let Some(file) = &self.file {
                write!(f, "`{}`", file.display())?;
                f.write_str(if problem.place.is_some() { ", " } else { ": " })?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl Problem {
    pub(super) fn new(key: Key, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            key,
            place: None,
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    /// Text that is no TOML.
    pub(super) fn of_text(error: &toml::de::Error, text: &str) -> Self {
        let hint = match error.message().starts_with("duplicate key") {
            true => "write each key once",
            false => {
                "write TOML: text in quotes, a table as `[name]`, one of several as `[[name]]`"
            }
        };
        Self {
            hint: Some(hint.into()),
            ..Self::of_value(error, text, &[])
        }
    }

    /// What the reader of a value says, for people. The way leads to the value: its key says what is meant there.
    pub(super) fn of_value(error: &toml::de::Error, text: &str, way: &[&str]) -> Self {
        let message = error.message();
        let (reworded, hint) = reworded(message);
        Self {
            key: Key::default(),
            place: error.span().map(|span| Place::of(span.start, text)),
            message: reworded,
            hint: hint
                .or_else(|| brackets(message, way))
                .or_else(|| meaning(message, way)),
        }
    }

    /// Says where the value stands, or what comes nearest to it.
    pub(super) fn find(&mut self, document: &DeTable<'_>, text: &str) {
        let at = self.key.find(document);
        self.place = at.map(|at| Place::of(at, text));
    }

    pub(super) fn order(&self) -> usize {
        self.place.map_or(0, |place| place.line)
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line, column }) = self.place {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl Key {
    pub(super) fn of(name: &str) -> Self {
        Self::default().then(name)
    }

    /// A key in it; `a.b` is two.
    pub(super) fn then(&self, names: &str) -> Self {
        let mut steps = self.0.clone();
        steps.extend(names.split('.').map(|name| Step::Name(name.into())));
        Self(steps)
    }

    /// A key that may hold dots.
    pub(super) fn named(&self, name: impl fmt::Display) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Name(name.to_string()));
        Self(steps)
    }

    /// An entry of a list.
    pub(super) fn at(&self, at: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::At(at));
        Self(steps)
    }

    /// Where the deepest part of it that is there begins; none when nothing of it is.
    fn find(&self, document: &DeTable<'_>) -> Option<usize> {
        let mut found = None;
        let mut table = Some(document);
        let mut list: Option<&[Spanned<DeValue<'_>>]> = None;
        for step in &self.0 {
            let value = match step {
                Step::Name(name) => {
                    let Some((key, value)) = table.and_then(|table| table.get_key_value(&**name))
                    else {
                        break;
                    };
                    found = Some(key.span().start);
                    value
                }
                Step::At(at) => {
                    let Some(value) = list.and_then(|list| list.get(*at)) else {
                        break;
                    };
                    found = Some(value.span().start);
                    value
                }
            };
            table = value.get_ref().as_table();
            list = value.get_ref().as_array().map(|list| &**list);
        }
        found
    }
}

impl Place {
    fn of(at: usize, text: &str) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self {
            line: 1 + before.matches('\n').count(),
            column: 1 + line.chars().count(),
        }
    }
}

/// One table where there may be several.
fn brackets(message: &str, way: &[&str]) -> Option<String> {
    let name = way.join(".");
    let one = kinds(message)? == ("map", "a sequence");
    one.then(|| format!("write `[[{name}]]`: there may be several"))
}

/// What the manual says of the key, or of the one that is missing.
fn meaning(message: &str, way: &[&str]) -> Option<String> {
    let missing = message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'));
    let way: Vec<_> = way.iter().copied().chain(missing).collect();
    let about = schema::about(&way)?;
    Some(format!("`{}`: {about}", way.last()?))
}

/// "unknown field `a`, expected one of `b`, `c`" in the words of the manual, and a hint.
fn reworded(message: &str) -> (String, Option<String>) {
    let mut names = message.split('`').skip(1).step_by(2);
    let given = names.next().unwrap_or_default();
    let known: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    let known = known.join(", ");
    let near = suggest::suggestion(message);
    if message.starts_with("unknown field") {
        let hint = near.unwrap_or_else(|| format!("the keys here are {known}"));
        return (format!("there is no key `{given}` here"), Some(hint));
    }
    if message.starts_with("unknown variant") {
        return (format!("`{given}` is none of {known}"), near);
    }
    if message.starts_with("missing field") {
        return (format!("the key `{given}` is missing"), None);
    }
    let message: Vec<_> = message.lines().map(str::trim).collect();
    (of_another_kind(&message.join(": ")), None)
}

/// "invalid type: integer `5`, expected a time" with what is expected first; numbers are numbers.
fn of_another_kind(message: &str) -> String {
    let Some((found, expected)) = kinds(message) else {
        return message.to_owned();
    };
    let found = match found {
        "map" => "a table",
        "sequence" => "a list",
        other => other,
    };
    let expected = match expected {
        "a sequence" => "a list",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        "usize" | "u64" | "u32" => "a number, 0 or more",
        "a boolean" => "`true` or `false`",
        "path string" => "a path",
        other => other,
    };
    format!("expected {expected}, found {found}")
}

/// What was found, and what was expected instead.
fn kinds(message: &str) -> Option<(&str, &str)> {
    let rest = ["invalid type: ", "invalid value: "];
    let rest = rest.iter().find_map(|start| message.strip_prefix(start));
    rest?.split_once(", expected ")
}
