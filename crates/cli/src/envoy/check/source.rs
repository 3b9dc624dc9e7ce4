//! From a file to documents: YAML or JSON, bounded in size, nesting and repetition.

use std::{
    collections::btree_map::Entry,
    fmt,
    io::{self, Read},
    path::Path,
};

use anyhow::Context;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::{fault::Fault, files};

/// The documents of a file; `-` is standard input.
///
/// # Errors
///
/// A file that cannot be read, is too large, or is neither YAML nor JSON.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<Value>> {
    let bytes = if file.as_os_str() == "-" {
        bytes(io::stdin().lock(), file)?
    } else {
        bytes(files::regular(file)?, file)?
    };
    let text = String::from_utf8(bytes).map_err(|_| {
        let message = format!("`{}` is not UTF-8", file.display());
        Fault::new(message, "Envoy reads YAML and JSON in UTF-8")
    })?;
    let shown = || {
        format!(
            "`{}` is neither YAML nor JSON that Envoy reads",
            file.display()
        )
    };
    parse(&text).with_context(shown)
}

fn bytes(from: impl Read, file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read `{}`", file.display()))?;
    if bytes.len() as u64 > MAX_FILE {
        let message = format!("`{}` is larger than 16 MiB", file.display());
        let hint = "take a part of it: `/config_dump?resource=dynamic_active_clusters`, say";
        return Err(Fault::new(message, hint).into());
    }
    Ok(bytes)
}

/// JSON is read as such, because its reader is the faster one. What looks like it may still be YAML.
pub(super) fn parse(text: &str) -> anyhow::Result<Vec<Value>> {
    if text.trim_start().starts_with(['{', '[']) {
        let mut json = serde_json::Deserializer::from_str(text);
        let read = Strict::deserialize(&mut json).and_then(|read| json.end().map(|()| read));
        if let Ok(Strict(value)) = read {
            return Ok(vec![value]);
        }
    }
    let documents: Vec<Strict> = serde_saphyr::from_multiple_with_options(text, options())
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(documents.into_iter().map(|Strict(value)| value).collect())
}

/// What is not named here has the bounds of the reader: aliases are followed at most a million times in all.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: MAX_NODES * 2,
        },
    }
}

/// A document in which no key stands twice: which of the two holds would be the reader's choice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Strict)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut all = std::collections::BTreeMap::new();
        while let Some(key) = entries.next_key::<String>()? {
            let Strict(value) = entries.next_value()?;
            match all.entry(key) {
                Entry::Vacant(place) => place.insert(value),
                Entry::Occupied(taken) => {
                    return Err(A::Error::custom(format!("`{}` stands twice", taken.key())));
                }
            };
        }
        Ok(Value::Object(all.into_iter().collect::<Map<_, _>>()))
    }
}

/// The largest file that is read, in bytes: a `/config_dump` of a mesh has a few MiB.
const MAX_FILE: u64 = 16 << 20;
/// How deep values may be nested. Envoy's own dumps reach about 30.
const MAX_DEPTH: usize = 100;
/// Values of a file, at most.
const MAX_NODES: usize = 2_000_000;
