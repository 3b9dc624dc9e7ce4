//! The part of JSON Schema (draft 2020-12) that a policy may describe its settings with.
//!
//! A schema is written by a policy, and so by somebody who may want the host to work for ever: a few
//! hundred bytes of the whole language ask for exponential time. What is understood here is small, and
//! whatever it asks for is paid from one budget (`check`). A keyword that is not in the list is
//! refused, not passed over: what a policy relies on is checked, or the policy is not loaded.
//!
//! | kind | keywords |
//! |---|---|
//! | any value | `type`, `enum`, `const` |
//! | numbers | `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum` |
//! | strings | `minLength`, `maxLength`, `pattern` (no look-around, no back references) |
//! | arrays | `items`, `prefixItems`, `minItems`, `maxItems` |
//! | objects | `properties`, `additionalProperties`, `propertyNames`, `required`, `minProperties`, `maxProperties` |
//! | combined | `allOf`, `anyOf`, `oneOf`, `not`, `if`, `then`, `else`, `$ref` (`#/...`), `$defs` |
//! | for readers | `$schema`, `title`, `description`, `$comment`, `examples`, `default`, `format`, `deprecated`, `readOnly`, `writeOnly` |

mod check;
mod pattern;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde_json::{Map, Number, Value};

use self::pattern::Pattern;
use super::{LoadError, fault::tidy, limits::MESSAGE_BYTES, text::At};

/// The one dialect; what keywords mean depends on it.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Schemas that judge the same value one inside the other. One that refers to itself without going
/// down into the value nests without end.
const NESTING: u32 = 64;

/// Types that there are, and so the most that can be named.
const TYPES: usize = 7;

/// A schema that was read: its subschemas, the whole one first.
#[derive(Debug)]
pub(super) struct Schema<'a> {
    nodes: Vec<Vec<Rule<'a>>>,
}

/// The place of a subschema among the nodes.
type Id = usize;

/// What one keyword demands.
#[derive(Debug)]
enum Rule<'a> {
    Never,
    Type(Vec<Type>),
    Enum(&'a [Value]),
    Const(&'a Value),
    Number(Bound, &'a Number),
    Count(Count, u64),
    Pattern(Pattern<'a>),
    Required(Vec<&'a str>),
    Members {
        known: HashMap<&'a str, Id>,
        others: Option<Id>,
    },
    Names(Id),
    Items {
        first: Vec<Id>,
        others: Option<Id>,
    },
    All(Vec<Id>),
    Any(Vec<Id>),
    One(Vec<Id>),
    Not(Id),
    If {
        test: Id,
        then: Option<Id>,
        otherwise: Option<Id>,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Type {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

/// How a number is bounded.
#[derive(Clone, Copy, Debug)]
enum Bound {
    AtLeast,
    AtMost,
    Above,
    Below,
}

/// What is counted, and which way.
#[derive(Clone, Copy, Debug)]
enum Count {
    MinLength,
    MaxLength,
    MinItems,
    MaxItems,
    MinProperties,
    MaxProperties,
}

impl<'a> Schema<'a> {
    /// Reads a schema: every keyword is known and well formed, every reference leads to a subschema, and
    /// none comes back to where it began without going down into the settings.
    pub(super) fn read(schema: &'a Value) -> Result<Self, LoadError> {
        let mut reader = Reader::new(schema);
        let read = reader
            .node(schema, &At::Root)
            .and_then(|_| reader.follow_references())
            .and_then(|()| reader.bound_nesting());
        match read {
            Ok(()) => Ok(Self {
                nodes: reader.nodes,
            }),
            Err(Malformed(problem)) => {
                let problem = format!("the schema: {problem}");
                Err(LoadError::Describe(tidy(&problem, MESSAGE_BYTES)))
            }
        }
    }
}

/// What is wrong with a schema.
struct Malformed(String);

fn malformed<T>(at: &At<'_>, problem: &str) -> Result<T, Malformed> {
    Err(Malformed(format!("`{at}` {problem}")))
}

struct Reader<'a> {
    root: &'a Value,
    nodes: Vec<Vec<Rule<'a>>>,
    /// Where each subschema stands in the document: what a reference may lead to.
    ids: HashMap<*const Value, Id>,
    references: Vec<(Id, &'a str)>,
    patterns: usize,
}

impl<'a> Reader<'a> {
    fn new(root: &'a Value) -> Self {
        Self {
            root,
            nodes: Vec::new(),
            ids: HashMap::new(),
            references: Vec::new(),
            patterns: 0,
        }
    }

    fn node(&mut self, value: &'a Value, at: &At<'_>) -> Result<Id, Malformed> {
        let id = self.nodes.len();
        self.nodes.push(Vec::new());
        self.ids.insert(value, id);
        let rules = match value {
            Value::Bool(true) => Vec::new(),
            Value::Bool(false) => vec![Rule::Never],
            Value::Object(map) => self.rules(id, map, at)?,
            _ => return malformed(at, "is no schema"),
        };
        self.nodes[id] = rules;
        Ok(id)
    }

    fn rules(
        &mut self,
        id: Id,
        map: &'a Map<String, Value>,
        at: &At<'_>,
    ) -> Result<Vec<Rule<'a>>, Malformed> {
        let mut rules = Vec::new();
        for (keyword, value) in map {
            let here = At::Member(at, keyword);
            match keyword.as_str() {
                "$ref" => self.references.push((id, string(value, &here)?)),
                "$schema" if id == 0 && value == DIALECT => {}
                "$schema" => return malformed(&here, "is another dialect"),
                "$defs" => self.named(value, &here).map(drop)?,
                // Read together with the keyword that they belong to.
                "additionalProperties" if map.contains_key("properties") => {}
                "prefixItems" if map.contains_key("items") => {}
                "then" | "else" if map.contains_key("if") => {}
                _ if is_annotation(keyword) => {}
                _ => rules.push(self.rule(keyword, value, map, at)?),
            }
        }
        Ok(rules)
    }

    fn rule(
        &mut self,
        keyword: &'a str,
        value: &'a Value,
        map: &'a Map<String, Value>,
        at: &At<'_>,
    ) -> Result<Rule<'a>, Malformed> {
        let here = &At::Member(at, keyword);
        Ok(match keyword {
            "type" => Rule::Type(types(value, here)?),
            "enum" => Rule::Enum(list(value, here)?),
            "const" => Rule::Const(value),
            "minimum" => Rule::Number(Bound::AtLeast, number(value, here)?),
            "maximum" => Rule::Number(Bound::AtMost, number(value, here)?),
            "exclusiveMinimum" => Rule::Number(Bound::Above, number(value, here)?),
            "exclusiveMaximum" => Rule::Number(Bound::Below, number(value, here)?),
            "minLength" => Rule::Count(Count::MinLength, count(value, here)?),
            "maxLength" => Rule::Count(Count::MaxLength, count(value, here)?),
            "minItems" => Rule::Count(Count::MinItems, count(value, here)?),
            "maxItems" => Rule::Count(Count::MaxItems, count(value, here)?),
            "minProperties" => Rule::Count(Count::MinProperties, count(value, here)?),
            "maxProperties" => Rule::Count(Count::MaxProperties, count(value, here)?),
            "pattern" => Rule::Pattern(self.pattern(value, here)?),
            "required" => Rule::Required(strings(value, here)?),
            "properties" | "additionalProperties" => Rule::Members {
                known: self
                    .member(map, "properties", at, Self::named)?
                    .unwrap_or_default(),
                others: self.member(map, "additionalProperties", at, Self::node)?,
            },
            "propertyNames" => Rule::Names(self.node(value, here)?),
            "items" | "prefixItems" => Rule::Items {
                first: self
                    .member(map, "prefixItems", at, Self::several)?
                    .unwrap_or_default(),
                others: self.member(map, "items", at, Self::node)?,
            },
            "allOf" => Rule::All(self.several(value, here)?),
            "anyOf" => Rule::Any(self.several(value, here)?),
            "oneOf" => Rule::One(self.several(value, here)?),
            "not" => Rule::Not(self.node(value, here)?),
            "if" => Rule::If {
                test: self.node(value, here)?,
                then: self.member(map, "then", at, Self::node)?,
                otherwise: self.member(map, "else", at, Self::node)?,
            },
            _ => {
                return Err(Malformed(format!(
                    "the host does not check `{keyword}`, at `{at}`: check it in `configure`"
                )));
            }
        })
    }

    /// A keyword beside the one that is read.
    fn member<T>(
        &mut self,
        map: &'a Map<String, Value>,
        keyword: &str,
        at: &At<'_>,
        read: impl FnOnce(&mut Self, &'a Value, &At<'_>) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        map.get(keyword)
            .map(|value| read(self, value, &At::Member(at, keyword)))
            .transpose()
    }

    fn named(&mut self, value: &'a Value, at: &At<'_>) -> Result<HashMap<&'a str, Id>, Malformed> {
        let Value::Object(map) = value else {
            return malformed(at, "must be an object");
        };
        map.iter()
            .map(|(name, value)| Ok((name.as_str(), self.node(value, &At::Member(at, name))?)))
            .collect()
    }

    fn several(&mut self, value: &'a Value, at: &At<'_>) -> Result<Vec<Id>, Malformed> {
        list(value, at)?
            .iter()
            .enumerate()
            .map(|(index, value)| self.node(value, &At::Item(at, index)))
            .collect()
    }

    fn pattern(&mut self, value: &'a Value, at: &At<'_>) -> Result<Pattern<'a>, Malformed> {
        self.patterns += 1;
        if self.patterns > pattern::MOST {
            return malformed(at, "is one pattern too many");
        }
        let source = string(value, at)?;
        Pattern::new(source).or_else(|problem| malformed(at, &problem))
    }

    /// Makes a rule of each reference. `#` and `#/json/pointer` only: others lead out of the document, or
    /// depend on the way that led to them; and no `%`, which some read as the beginning of an octet.
    fn follow_references(&mut self) -> Result<(), Malformed> {
        for (id, reference) in std::mem::take(&mut self.references) {
            let pointer = reference.strip_prefix('#').filter(|at| !at.contains('%'));
            let target = pointer.and_then(|pointer| self.root.pointer(pointer));
            match target.and_then(|target| self.ids.get(&std::ptr::from_ref(target))) {
                Some(&target) => self.nodes[id].push(Rule::All(vec![target])),
                None => {
                    let problem = format!("the reference `{reference}` leads to no schema in it");
                    return Err(Malformed(problem));
                }
            }
        }
        Ok(())
    }

    /// Refuses schemas that judge one value without end.
    fn bound_nesting(&self) -> Result<(), Malformed> {
        let mut heights = vec![None; self.nodes.len()];
        for id in 0..self.nodes.len() {
            self.height(id, 0, &mut heights)?;
        }
        Ok(())
    }

    /// How many schemas judge the same value below this one.
    fn height(&self, id: Id, level: u32, heights: &mut [Option<u32>]) -> Result<u32, Malformed> {
        if let Some(height) = heights[id] {
            return Ok(height);
        }
        let mut height = 0;
        for next in self.nodes[id].iter().flat_map(Rule::of_same_value) {
            if level >= NESTING {
                return Err(endless());
            }
            height = height.max(1 + self.height(next, level + 1, heights)?);
        }
        if height > NESTING {
            return Err(endless());
        }
        heights[id] = Some(height);
        Ok(height)
    }
}

fn endless() -> Malformed {
    Malformed(format!(
        "it refers to itself, or more than {NESTING} schemas judge one value"
    ))
}

impl Rule<'_> {
    /// The subschemas that judge the same value again.
    fn of_same_value(&self) -> Vec<Id> {
        match self {
            Self::All(ids) | Self::Any(ids) | Self::One(ids) => ids.clone(),
            Self::Not(id) => vec![*id],
            Self::If {
                test,
                then,
                otherwise,
            } => [Some(*test), *then, *otherwise]
                .into_iter()
                .flatten()
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// Keywords that demand nothing.
fn is_annotation(keyword: &str) -> bool {
    matches!(
        keyword,
        "title"
            | "description"
            | "$comment"
            | "examples"
            | "default"
            | "format"
            | "deprecated"
            | "readOnly"
            | "writeOnly"
    )
}

fn types(value: &Value, at: &At<'_>) -> Result<Vec<Type>, Malformed> {
    let one = |value: &Value| match value.as_str() {
        Some("null") => Ok(Type::Null),
        Some("boolean") => Ok(Type::Boolean),
        Some("integer") => Ok(Type::Integer),
        Some("number") => Ok(Type::Number),
        Some("string") => Ok(Type::String),
        Some("array") => Ok(Type::Array),
        Some("object") => Ok(Type::Object),
        _ => malformed(at, "must name types"),
    };
    match value {
        Value::Array(several) if (1..=TYPES).contains(&several.len()) => {
            several.iter().map(one).collect()
        }
        value => Ok(vec![one(value)?]),
    }
}

fn string<'a>(value: &'a Value, at: &At<'_>) -> Result<&'a str, Malformed> {
    value
        .as_str()
        .map_or_else(|| malformed(at, "must be a string"), Ok)
}

fn strings<'a>(value: &'a Value, at: &At<'_>) -> Result<Vec<&'a str>, Malformed> {
    let Value::Array(list) = value else {
        return malformed(at, "must be an array of strings");
    };
    list.iter().map(|value| string(value, at)).collect()
}

fn list<'a>(value: &'a Value, at: &At<'_>) -> Result<&'a [Value], Malformed> {
    match value {
        Value::Array(list) if !list.is_empty() => Ok(list),
        _ => malformed(at, "must be an array with something in it"),
    }
}

fn number<'a>(value: &'a Value, at: &At<'_>) -> Result<&'a Number, Malformed> {
    match value {
        Value::Number(number) => Ok(number),
        _ => malformed(at, "must be a number"),
    }
}

fn count(value: &Value, at: &At<'_>) -> Result<u64, Malformed> {
    value
        .as_u64()
        .map_or_else(|| malformed(at, "must be a whole number"), Ok)
}
