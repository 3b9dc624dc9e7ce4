//! Settings: from a JSON document to a typed value, with a path for each thing that is wrong.

use std::{fmt, hint::black_box, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{
    locate::{blank_member, locate, offset},
    types::truncate,
};

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
    let mut rest = None;
    while problems.len() < Problem::MAX_COUNT {
        let text = rest.as_deref().unwrap_or(json);
        let error = match serde_json::from_str(text) {
            Ok(settings) => {
                return Read {
                    settings: Some(settings),
                    problems,
                };
            }
            Err(error) => error,
        };
        let place = locate(text, offset(text, error.line(), error.column()));
        problems.push(problem(place.pointer, &error));
        let Some(member) = place
            .member
            .filter(|_| error.is_data() && json.len() <= MAX_REREAD)
        else {
            break;
        };
        blank_member(rest.get_or_insert_with(|| json.to_owned()), member);
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

fn problem(pointer: String, error: &serde_json::Error) -> Problem {
    let mut message = error.to_string();
    // The position is of no use to who wrote TOML, and wrong after a member was left out.
    if let Some(end) = message.rfind(" at line ").filter(|_| error.is_data()) {
        message.truncate(end);
    }
    let hint = suggestion(&message);
    Problem::new(pointer, message + &hint)
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
