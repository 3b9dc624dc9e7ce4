//! Settings: from a JSON document to a typed value, with a path for each thing that is wrong.

use std::{fmt, hint::black_box, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::types::truncate;

/// One thing that is wrong with the settings.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "mirrors a WIT record, which cannot grow"
)]
pub struct Problem {
    /// JSON Pointer (RFC 6901) to the value; empty for the whole document.
    pub path: String,
    /// What is wrong and what would be right, at most 512 octets.
    pub message: String,
}

impl Problem {
    /// The longest message that reaches the host, in octets; what is longer is cut.
    pub const MAX_MESSAGE: usize = 512;
    /// The most problems that reach the host; what is more is left off.
    pub const MAX_COUNT: usize = 64;

    /// A problem at this JSON Pointer.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        let mut message = message.into();
        truncate(&mut message, Self::MAX_MESSAGE);
        Self {
            path: path.into(),
            message,
        }
    }
}

/// A value that is written as an object, its members by name.
///
/// Serde's derive also reads a struct from a list, by position. No schema says so, and `[]` would then
/// pass for settings that leave everything out.
///
/// ```
/// use pinfold_policy::Object;
///
/// #[derive(Debug, Default, serde::Deserialize)]
/// #[serde(default, deny_unknown_fields)]
/// struct Limits {
///     redirects: u8,
/// }
///
/// assert!(serde_json::from_str::<Limits>("[7]").is_ok());
/// assert!(serde_json::from_str::<Object<Limits>>("[7]").is_err());
/// assert_eq!(serde_json::from_str::<Object<Limits>>(r#"{ "redirects": 7 }"#).unwrap().0.redirects, 7);
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a wrapper without meaning of its own"
)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }

        from.deserialize_map(Members(PhantomData)).map(Self)
    }
}

/// What was read: the settings if anything usable is left, and every problem found on the way.
#[derive(Debug)]
pub(crate) struct Read<T> {
    pub(crate) settings: Option<T>,
    pub(crate) problems: Vec<Problem>,
}

/// Documents above this size are not read again after the first problem, to bound memory and time.
const MAX_REREAD: usize = 256 * 1024;

/// Reads a document into `T`.
///
/// A document that does not fit is read again without each member that is wrong, so that the next
/// problem shows too: an author mends them all at once.
pub(crate) fn read<T: DeserializeOwned>(json: &str) -> Read<T> {
    let mut problems = Vec::new();
    let mut pruned: Option<Value> = None;
    while problems.len() < Problem::MAX_COUNT {
        let text = pruned.as_ref().map(Value::to_string);
        match read_once(text.as_deref().unwrap_or(json)) {
            Ok(settings) => {
                return Read {
                    settings: Some(settings),
                    problems,
                };
            }
            Err(fault) => {
                let at = fault.pointer.clone();
                problems.push(fault.problem());
                if !prune(&mut pruned, json, &at) {
                    break;
                }
            }
        }
    }
    Read {
        settings: None,
        problems,
    }
}

/// Overwrites the document, so that no copy of it stays in a snapshot of the memory.
pub(crate) fn scrub(json: String) {
    let mut bytes = json.into_bytes();
    bytes.fill(0);
    black_box(&bytes);
}

struct Fault {
    pointer: String,
    message: String,
}

impl Fault {
    fn problem(self) -> Problem {
        let hint = suggestion(&self.message);
        Problem::new(self.pointer, self.message + &hint)
    }
}

fn read_once<T: DeserializeOwned>(json: &str) -> Result<T, Fault> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(error.path());
        Fault {
            pointer,
            message: without_position(&error.into_inner()),
        }
    })?;
    reader.end().map_err(|error| Fault {
        pointer: String::new(),
        message: error.to_string(),
    })?;
    Ok(value)
}

/// Removes the member at `pointer`; false when that is not possible without shifting other paths.
fn prune(document: &mut Option<Value>, json: &str, pointer: &str) -> bool {
    if document.is_none() && json.len() <= MAX_REREAD {
        *document = serde_json::from_str(json).ok();
    }
    let Some((parent, member)) = pointer.rsplit_once('/') else {
        return false;
    };
    let parent = document
        .as_mut()
        .and_then(|document| document.pointer_mut(parent));
    let Some(Value::Object(members)) = parent else {
        return false;
    };
    members.remove(&unescape(member)).is_some()
}

fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        let part = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => escape(key),
            Segment::Enum { variant } => escape(variant),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&part);
    }
    pointer
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// The position is of no use to who wrote TOML, and wrong after a member was left out.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) if !error.is_syntax() && !error.is_eof() => text[..end].to_owned(),
        _ => text,
    }
}

/// For "unknown field `prots`, expected one of `ports`, ...": the name that was probably meant.
fn suggestion(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let (true, Some(given)) = (message.starts_with("unknown "), names.next()) else {
        return String::new();
    };
    nearest(given, names).map_or_else(String::new, |name| format!(": did you mean `{name}`?"))
}

/// The name at the smallest edit distance, if it is small.
fn nearest<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = names
        .map(|name| (distance(given, name), name))
        .min_by_key(|(cost, _)| *cost)?;
    (near.0 <= 1 + given.len() / 4).then_some(near.1)
}

/// Levenshtein distance in octets, one row at a time.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(to.bytes()) {
            let above = *cell;
            left = (left + 1)
                .min(above + 1)
                .min(diagonal + usize::from(a != b));
            diagonal = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}
