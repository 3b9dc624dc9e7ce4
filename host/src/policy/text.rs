//! Settings as text: one reading of it, or none.

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{Problem, fault::tidy, limits::MESSAGE_BYTES};

/// Reads settings from JSON, and refuses an object that has the same member twice.
///
/// Most readers of JSON let the last of them win (RFC 8259, section 4, leaves it open). In settings that
/// is a list of denied hosts which an empty one further down silently replaces.
///
/// # Errors
///
/// The one problem that ended the reading. Its path is that of the repeated member; empty when the text
/// is no JSON.
///
/// ```
/// use pinfold::policy::settings_from_json;
///
/// let settings = settings_from_json(r#"{"hosts": {"deny": ["a.example.com"]}}"#).unwrap();
/// assert_eq!(settings["hosts"]["deny"][0], "a.example.com");
/// let twice = r#"{"hosts": {"deny": ["a.example.com"], "deny": []}}"#;
/// assert_eq!(settings_from_json(twice).unwrap_err().path, "/hosts/deny");
/// ```
pub fn settings_from_json(text: &str) -> Result<Value, Problem> {
    let repeated = RefCell::default();
    let strict = Strict {
        at: &At::Root,
        repeated: &repeated,
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = strict
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| Problem {
        path: tidy(&repeated.take(), MESSAGE_BYTES),
        message: tidy(&error.to_string(), MESSAGE_BYTES),
    })
}

/// A value that is being read, and where a repeated member is noted: the errors of the reader know
/// lines and columns only.
#[derive(Clone, Copy)]
struct Strict<'a> {
    at: &'a At<'a>,
    repeated: &'a RefCell<String>,
}

/// A place in the document. Written out only when something is wrong there.
#[derive(Clone, Copy)]
pub(super) enum At<'a> {
    Root,
    Member(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(parent, name) => write!(f, "{parent}/{}", escaped(name)),
            Self::Item(parent, index) => write!(f, "{parent}/{index}"),
        }
    }
}

/// A name as a part of a JSON Pointer (RFC 6901).
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Strict {
            at: &At::Item(self.at, list.len()),
            ..self
        })? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let at = At::Member(self.at, &name);
            if map.contains_key(&name) {
                *self.repeated.borrow_mut() = at.to_string();
                return Err(A::Error::custom("written twice"));
            }
            let value = members.next_value_seed(Strict { at: &at, ..self })?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_once_reads_as_it_always_did() {
        for text in [
            "null",
            "true",
            "-7",
            "18446744073709551615",
            "1.5e3",
            r#""a\u00e4\n""#,
            "[]",
            r#" {"b": [1, {"a": null}, [2.5, "x"]], "a": {"": {}}} "#,
        ] {
            let plain: Value = serde_json::from_str(text).unwrap();
            assert_eq!(settings_from_json(text), Ok(plain), "{text}");
        }
    }

    #[test]
    fn a_member_that_is_written_twice_is_refused_at_any_depth() {
        for (text, path) in [
            (
                r#"{"hosts":{"deny":["a.example.com"]},"hosts":{"deny":[]}}"#,
                "/hosts",
            ),
            (r#"{"a":1,"\u0061":1}"#, "/a"),
            (r#"[0,{"a":[{"b":{"c":1,"d":2,"c":1}}]}]"#, "/1/a/0/b/c"),
            (r#"{"a/b":{"~":1,"~":2}}"#, "/a~1b/~0"),
            (r#"{"":0,"":0}"#, "/"),
        ] {
            let problem = settings_from_json(text).unwrap_err();
            assert_eq!(problem.path, path, "{text}");
            assert!(problem.message.starts_with("written twice"), "{problem}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for text in ["", "{", "{} {}", "{'a': 1}", "NaN", "1e999", "[1,]", &deep] {
            let problem = settings_from_json(text).unwrap_err();
            assert_eq!(problem.path, "", "{text}");
        }
    }
}
