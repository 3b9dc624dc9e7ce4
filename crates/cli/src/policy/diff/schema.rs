//! What changed in the settings that a policy takes, by the place of each setting.
//!
//! Two schemas are laid out flat, place by place (a JSON Pointer in the *settings*, where `*` stands for
//! each element of a list or each member that has no name of its own), and compared place by place. It
//! compares what schemas say, not what they mean: two ways to say the same thing are a change.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

/// One change.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct SchemaChange {
    /// Where in the settings; empty for the whole document.
    pub(super) path: String,
    /// What happened.
    #[serde(flatten)]
    pub(super) what: What,
}

/// What happened to a setting.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub(super) enum What {
    /// It is new.
    Added {
        /// Whether settings must have it.
        required: bool,
    },
    /// It is gone.
    Removed,
    /// Settings must have it now.
    Required,
    /// Settings need not have it any longer.
    Optional,
    /// A keyword of its schema differs.
    Keyword {
        /// Which.
        keyword: String,
        /// Before; null when it was not there.
        old: Value,
        /// After; null when it is not there any more.
        new: Value,
    },
    /// A schema is too deep or too large to be laid out: from here on nothing was compared.
    Beyond,
}

/// Every change, in the order of the places.
pub(super) fn compare(old: &Value, new: &Value) -> Vec<SchemaChange> {
    let (old, new) = (Flat::of(old), Flat::of(new));
    let places = old.0.keys().chain(new.0.keys());
    let mut places: Vec<&String> = places.collect();
    places.sort();
    places.dedup();
    let mut changes = Vec::new();
    for path in places {
        let found = match (old.0.get(path), new.0.get(path)) {
            (Some(old), Some(new)) => old.changes(new),
            (None, Some(new)) => vec![What::Added {
                required: new.required,
            }],
            (Some(_), None) => vec![What::Removed],
            (None, None) => Vec::new(),
        };
        changes.extend(found.into_iter().map(|what| SchemaChange {
            path: path.clone(),
            what,
        }));
    }
    changes
}

/// Whether the new schema takes settings that the old one had no place for.
pub(super) fn adds(changes: &[SchemaChange]) -> bool {
    changes
        .iter()
        .any(|change| matches!(change.what, What::Added { .. }))
}

/// The places of a schema.
struct Flat(BTreeMap<String, Place>);

/// What a schema says of one place.
#[derive(Default)]
struct Place {
    keywords: Map<String, Value>,
    required: bool,
    beyond: bool,
}

impl Place {
    fn changes(&self, new: &Self) -> Vec<What> {
        let mut changes = match (self.required, new.required) {
            (false, true) => vec![What::Required],
            (true, false) => vec![What::Optional],
            _ => Vec::new(),
        };
        let added = new
            .keywords
            .keys()
            .filter(|keyword| !self.keywords.contains_key(*keyword));
        for keyword in self.keywords.keys().chain(added) {
            let (old, new) = (self.keywords.get(keyword), new.keywords.get(keyword));
            if old != new {
                changes.push(What::Keyword {
                    keyword: keyword.clone(),
                    old: old.cloned().unwrap_or(Value::Null),
                    new: new.cloned().unwrap_or(Value::Null),
                });
            }
        }
        if self.beyond || new.beyond {
            changes.push(What::Beyond);
        }
        changes
    }
}

impl Flat {
    fn of(schema: &Value) -> Self {
        let mut flat = Self(BTreeMap::new());
        flat.lay(schema, schema, String::new(), false, 0);
        flat
    }

    fn lay(&mut self, root: &Value, schema: &Value, path: String, required: bool, depth: usize) {
        if self.0.len() >= MAX_PLACES {
            let whole = self.0.entry(String::new()).or_default();
            whole.beyond = true;
            return;
        }
        let (schema, depth) = follow(root, schema, depth);
        let mut place = Place {
            required,
            beyond: depth > MAX_DEPTH,
            ..Place::default()
        };
        let inner = match schema {
            Value::Object(keywords) if !place.beyond => {
                place.keywords = own(keywords);
                parts(keywords)
            }
            Value::Object(_) => Vec::new(),
            other => {
                place.keywords.insert("schema".into(), other.clone());
                Vec::new()
            }
        };
        self.0.insert(path.clone(), place);
        for (name, schema, required) in inner {
            self.lay(root, schema, format!("{path}/{name}"), required, depth + 1);
        }
    }
}

/// Follows `$ref` to a place in the same document; each step counts as one of depth.
fn follow<'a>(root: &'a Value, mut schema: &'a Value, mut depth: usize) -> (&'a Value, usize) {
    while depth <= MAX_DEPTH {
        let reference = schema.get("$ref").and_then(Value::as_str);
        let pointer = reference.and_then(|reference| reference.strip_prefix('#'));
        match pointer.and_then(|pointer| root.pointer(pointer)) {
            Some(found) => (schema, depth) = (found, depth + 1),
            None => break,
        }
    }
    (schema, depth)
}

/// The keywords that say something of the place itself.
fn own(keywords: &Map<String, Value>) -> Map<String, Value> {
    let says = |keyword: &str, value: &Value| match keyword {
        "items" | "additionalProperties" => !value.is_object(),
        _ => !OF_OTHER_PLACES.contains(&keyword) && !FOR_READERS.contains(&keyword),
    };
    keywords
        .iter()
        .filter(|(keyword, value)| says(keyword, value))
        .map(|(keyword, value)| (keyword.clone(), value.clone()))
        .collect()
}

/// The places inside this one: name, schema, whether it is required.
fn parts(keywords: &Map<String, Value>) -> Vec<(String, &Value, bool)> {
    let required = keywords.get("required").and_then(Value::as_array);
    let required: BTreeSet<&str> = required
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = keywords.get("properties").and_then(Value::as_object);
    let named = properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| (escaped(name), schema, required.contains(name.as_str())));
    let unnamed = ["items", "additionalProperties"]
        .into_iter()
        .filter_map(|keyword| keywords.get(keyword).filter(|schema| schema.is_object()))
        .map(|schema| ("*".into(), schema, false));
    named.chain(unnamed).collect()
}

/// A name as a part of a JSON Pointer (RFC 6901).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Keywords that are laid out as places of their own, or that hold what such places refer to.
const OF_OTHER_PLACES: [&str; 3] = ["properties", "required", "$defs"];
/// Keywords that change nothing about which settings are accepted.
const FOR_READERS: [&str; 9] = [
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
];
/// How deep settings are laid out; a schema may refer to itself.
const MAX_DEPTH: usize = 24;
/// How many places are laid out.
const MAX_PLACES: usize = 4_096;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changed(old: Value, new: Value) -> Vec<String> {
        let shown = |change: &SchemaChange| match &change.what {
            What::Added { required } => format!("+{} {required}", change.path),
            What::Removed => format!("-{}", change.path),
            What::Required => format!("!{}", change.path),
            What::Optional => format!("?{}", change.path),
            What::Keyword { keyword, old, new } => {
                format!("{}: {keyword} {old} -> {new}", change.path)
            }
            What::Beyond => format!("{}: ...", change.path),
        };
        compare(&old, &new).iter().map(shown).collect()
    }

    #[test]
    fn each_change_has_its_place() {
        let base = json!({
            "type": "object",
            "properties": { "a": { "type": "string" } },
            "required": ["a"],
        });
        for (row, change, expected) in [
            ("nothing", json!({}), &[][..]),
            (
                "a property",
                json!({ "properties": { "a": { "type": "string" }, "b": {} } }),
                &["+/b false"],
            ),
            (
                "a required one",
                json!({ "properties": { "a": { "type": "string" }, "b/~c": {} }, "required": ["a", "b/~c"] }),
                &["+/b~1~0c true"],
            ),
            ("one less", json!({ "properties": {} }), &["-/a"]),
            ("not required any more", json!({ "required": [] }), &["?/a"]),
            (
                "another type",
                json!({ "properties": { "a": { "type": "integer" } } }),
                &["/a: type \"string\" -> \"integer\""],
            ),
            (
                "a keyword more",
                json!({ "properties": { "a": { "type": "string", "maxLength": 9 } } }),
                &["/a: maxLength null -> 9"],
            ),
            (
                "the words around it",
                json!({ "title": "t", "properties": { "a": { "type": "string", "description": "d" } } }),
                &[],
            ),
            (
                "a default",
                json!({ "properties": { "a": { "type": "string", "default": "x" } } }),
                &["/a: default null -> \"x\""],
            ),
            (
                "closed",
                json!({ "additionalProperties": false }),
                &[": additionalProperties null -> false"],
            ),
        ] {
            let mut new = base.clone();
            new.as_object_mut()
                .unwrap()
                .extend(change.as_object().unwrap().clone());
            assert_eq!(changed(base.clone(), new), expected, "{row}");
        }
        let now = json!({ "properties": { "a": {} }, "required": ["a"] });
        assert_eq!(changed(json!({ "properties": { "a": {} } }), now), ["!/a"]);
    }

    #[test]
    fn elements_and_references_are_followed() {
        let schema = |of: &str| {
            json!({
                "properties": { "list": { "items": { "$ref": "#/$defs/entry" } } },
                "$defs": { "entry": { "type": of } },
            })
        };
        assert_eq!(
            changed(schema("string"), schema("object")),
            ["/list/*: type \"string\" -> \"object\""]
        );
        let map = |of: &str| json!({ "additionalProperties": { "type": of } });
        assert_eq!(
            changed(map("string"), map("object")),
            ["/*: type \"string\" -> \"object\""]
        );
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        for schema in [
            json!({ "$ref": "#" }),
            json!({ "properties": { "a": { "$ref": "#" } } }),
            json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/a" } } }),
            json!({ "properties": { "a": { "$ref": "#" }, "b": { "$ref": "#" } } }),
        ] {
            let changes = compare(&schema, &schema);
            assert!(
                changes.iter().any(|change| change.what == What::Beyond),
                "{schema}"
            );
            assert!(changes.len() < 2 * MAX_PLACES, "{schema}");
        }
    }

    #[test]
    fn only_a_new_place_is_an_addition() {
        let none = json!({ "properties": { "a": {} } });
        let more = json!({ "properties": { "a": {}, "b": {} } });
        assert!(adds(&compare(&none, &more)));
        assert!(!adds(&compare(&more, &none)));
        assert!(!adds(&compare(&more, &more)));
    }
}
