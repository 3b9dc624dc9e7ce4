//! Keys whose value is text that means something: parsed where it is read, once.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// Gives a type that is parsed by `FromStr` and written by `Display` its serde and its schema.
macro_rules! written_as_text {
    ($type:ident, $expected:literal, [$($example:literal),+]) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::text::parsed(deserializer, $expected)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "description": concat!("As text: ", $expected, "."),
                    "examples": [$($example),+],
                })
            }
        }
    };
}

pub(super) use written_as_text;

/// A value that is text; `expected` is said of anything else.
pub(super) fn parsed<'de, T, D>(deserializer: D, expected: &'static str) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    let parse = |text: &str| text.parse::<T>().map_err(|error| error.to_string());
    Text { expected, parse }.deserialize(deserializer)
}

/// A list of texts, each put through `parse`.
pub(super) fn list<'de, T, D>(
    deserializer: D,
    expected: &'static str,
    parse: fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
{
    deserializer.deserialize_seq(List(Text { expected, parse }))
}

/// Writes a list as texts.
pub(super) fn listed<T: fmt::Display, S: serde::Serializer>(
    list: &[T],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(list.iter().map(ToString::to_string))
}

/// How one text is read.
#[derive(Clone, Copy)]
struct Text<P> {
    expected: &'static str,
    parse: P,
}

struct List<P>(Text<P>);

struct OneText<T, P>(Text<P>, PhantomData<T>);

impl<'de, T, P: Fn(&str) -> Result<T, String>> DeserializeSeed<'de> for Text<P> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(OneText(self, PhantomData))
    }
}

impl<T, P: Fn(&str) -> Result<T, String>> Visitor<'_> for OneText<T, P> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.0.parse)(text).map_err(E::custom)
    }
}

impl<'de, T, P: Copy + Fn(&str) -> Result<T, String>> Visitor<'de> for List<P> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list, of which each is {}", self.0.expected)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.0)? {
            list.push(item);
        }
        Ok(list)
    }
}
