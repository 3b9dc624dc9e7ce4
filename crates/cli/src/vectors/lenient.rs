//! A struct that refuses unknown fields, read as if it did not know of that.
//!
//! Files that authors write are strict: a misspelt key would be a test that tests nothing. Lines that
//! programs write carry whatever their program adds.

use std::fmt;

use serde::{
    Deserialize,
    de::{
        DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, MapAccess, Visitor,
        value::StringDeserializer,
    },
    forward_to_deserialize_any,
};

/// Reads a `T` from these fields of an object alone; the others are not looked at.
///
/// `T` must be a struct.
pub(super) fn from_line<'de, T: Deserialize<'de>>(
    line: &'de str,
    fields: &'static [&'static str],
) -> serde_json::Result<T> {
    let mut reader = serde_json::Deserializer::from_str(line);
    let inner = &mut reader;
    let read = T::deserialize(Only { inner, fields })?;
    reader.end()?;
    Ok(read)
}

/// A reader of an object of which some fields are known.
struct Only<D> {
    inner: D,
    fields: &'static [&'static str],
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Only<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let fields = self.fields;
        self.inner.deserialize_map(Known {
            inner: visitor,
            fields,
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// What takes the object, and the object without its unknown fields.
struct Known<I> {
    inner: I,
    fields: &'static [&'static str],
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Known<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        let fields = self.fields;
        self.inner.visit_map(Known { inner: map, fields })
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Known<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.inner.next_key::<String>()? {
            if self.fields.contains(&key.as_str()) {
                let key: StringDeserializer<A::Error> = key.into_deserializer();
                return seed.deserialize(key).map(Some);
            }
            self.inner.next_value::<IgnoredAny>()?;
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, expecting = "a pair")]
    struct Pair {
        one: u8,
        two: Option<String>,
    }

    #[test]
    fn only_known_fields_are_read() {
        let read = |line| from_line::<Pair>(line, &["one", "two"]);
        let two = Some("x".to_owned());
        let line = r#"{"three": [{"one": "no"}], "one": 1, "four": 4, "two": "x"}"#;
        assert_eq!(read(line).unwrap(), Pair { one: 1, two });
        for (row, line, said) in [
            ("a wrong value", r#"{"one": "x"}"#, "invalid type: string"),
            ("a missing field", r#"{"three": 3}"#, "missing field `one`"),
            ("twice", r#"{"one": 1, "one": 2}"#, "duplicate field `one`"),
            ("no object", "[1]", "expected a pair"),
            (
                "more than an object",
                r#"{"one": 1} 2"#,
                "trailing characters",
            ),
        ] {
            let error = read(line).unwrap_err().to_string();
            assert!(error.contains(said), "{row}: {error}");
        }
    }
}
