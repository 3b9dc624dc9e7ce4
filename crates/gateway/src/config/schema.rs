//! The JSON Schema of the file, and the tables in it, from which the manual and the file of defaults are made.

use serde_json::{Map, Value};

/// The JSON Schema of the configuration, draft 2020-12, keys in order.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(super::Config).to_value();
    schema.sort_all_objects();
    schema
}

/// A table of the file, with the keys that stand in it itself.
pub(super) struct Table {
    /// `listener.tls`; nothing for the top of the file.
    pub(super) name: String,
    /// Whether there may be several: `[[listener]]`.
    pub(super) repeated: bool,
    /// Whether it, and what it is in, is there without being written.
    pub(super) given: bool,
    pub(super) about: String,
    pub(super) keys: Vec<Entry>,
}

/// A key of a table.
pub(super) struct Entry {
    pub(super) name: String,
    /// What its value is: `time`, `true or false`, a list of names.
    pub(super) kind: String,
    pub(super) about: String,
    /// None where it has to be written, or is nothing unless it is.
    pub(super) default: Option<Value>,
    pub(super) required: bool,
}

/// A kind of values: how it is written, or the words that it may be, each with its meaning.
pub(super) struct Kind {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) words: Vec<(String, String)>,
}

/// Every table: the top of the file, then each key that is one, followed by those in it.
pub(super) fn tables(schema: &Value) -> Vec<Table> {
    let reader = Reader { schema };
    let mut tables = Vec::new();
    reader.table(
        schema,
        Table::at("", false, true, text(schema)),
        &mut tables,
    );
    tables
}

/// Every key, with the tables that it is in.
#[cfg(test)]
pub(crate) fn keys() -> Vec<String> {
    let tables = tables(&schema());
    let keys = tables.iter().flat_map(|table| {
        let keys = table.keys.iter();
        keys.map(|key| table.inner(&key.name))
    });
    keys.collect()
}

/// What is said of a key, by its way from the top of the file; entries of lists have no step of their own.
pub(super) fn about(way: &[&str]) -> Option<String> {
    let (key, table) = way.split_last()?;
    let tables = tables(&schema());
    let entry = |name: String| {
        let table = tables.iter().find(|table| table.name == name)?;
        let entry = table.keys.iter().find(|entry| entry.name == *key)?;
        Some(entry.about.clone())
    };
    // The last step may be a name that somebody gave: a subject.
    let named = table
        .split_last()
        .map(|(_, outer)| format!("{}.NAME", outer.join(".")));
    entry(table.join(".")).or_else(|| entry(named?))
}

/// Every kind of values that has a name.
pub(super) fn kinds(schema: &Value) -> Vec<Kind> {
    let defined = object(schema, "$defs");
    let plain = defined.filter(|(_, defined)| !is_table(defined));
    plain.map(|(name, defined)| kind(name, defined)).collect()
}

struct Reader<'a> {
    schema: &'a Value,
}

impl Table {
    fn at(name: &str, repeated: bool, given: bool, about: String) -> Self {
        Self {
            name: name.into(),
            repeated,
            given,
            about,
            keys: Vec::new(),
        }
    }

    fn inner(&self, name: &str) -> String {
        match self.name.as_str() {
            "" => name.into(),
            outer => format!("{outer}.{name}"),
        }
    }
}

impl<'a> Reader<'a> {
    fn table(&self, of: &'a Value, mut table: Table, tables: &mut Vec<Table>) {
        let place = tables.len();
        for (name, property) in object(of, "properties") {
            match self.inner(&table, name, property) {
                Some((inner, of)) => self.table(of, inner, tables),
                None => table.keys.push(self.entry(of, name, property)),
            }
        }
        tables.insert(place, table);
    }

    /// A key whose value is a table, several, or one for each of some names.
    fn inner(&self, outer: &Table, name: &str, property: &'a Value) -> Option<(Table, &'a Value)> {
        let named = outer.inner(name);
        let of = |value: &'a Value| self.resolved(value).filter(|found| is_table(found));
        if let Some(found) = of(property) {
            let optional = property.get("anyOf").is_some();
            let given = outer.given && !optional;
            let about = joined(&text(property), &text(found));
            return Some((Table::at(&named, false, given, about), found));
        }
        if let Some(found) = property.get("items").and_then(of) {
            let given = outer.given && property.get("default") != Some(&Value::Array(Vec::new()));
            return Some((Table::at(&named, true, given, text(property)), found));
        }
        let found = property.get("additionalProperties").and_then(of)?;
        let named = format!("{named}.NAME");
        Some((Table::at(&named, false, false, text(property)), found))
    }

    fn entry(&self, of: &Value, name: &str, property: &Value) -> Entry {
        let required = of.get("required").and_then(Value::as_array);
        let required = required.is_some_and(|names| names.iter().any(|other| other == name));
        let default = property.get("default").filter(|default| !default.is_null());
        Entry {
            name: name.into(),
            kind: self.kind_of(property),
            about: text(property),
            default: default.cloned(),
            required,
        }
    }

    fn kind_of(&self, property: &Value) -> String {
        if let Some(name) = reference(property) {
            return name.into();
        }
        if let Some(items) = property.get("items") {
            return format!("list of {}", self.kind_of(items));
        }
        if let Some(values) = property.get("additionalProperties") {
            return format!("table of {}", self.kind_of(values));
        }
        let mut types = match property.get("type") {
            Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).collect(),
            other => other
                .and_then(Value::as_str)
                .into_iter()
                .collect::<Vec<_>>(),
        };
        types.retain(|name| *name != "null");
        match types.as_slice() {
            ["boolean"] => "`true` or `false`".into(),
            ["integer"] => "number".into(),
            _ => "text".into(),
        }
    }

    /// The definition behind a reference, also where there may be nothing.
    fn resolved(&self, value: &'a Value) -> Option<&'a Value> {
        let either = value.get("anyOf").and_then(Value::as_array);
        let name = either
            .into_iter()
            .flatten()
            .chain([value])
            .find_map(reference)?;
        self.schema.get("$defs")?.get(name)
    }
}

fn kind(name: &str, defined: &Value) -> Kind {
    let words = defined.get("oneOf").and_then(Value::as_array);
    let word = |word: &Value| Some((word.get("const")?.as_str()?.to_owned(), text(word)));
    Kind {
        name: name.into(),
        about: text(defined),
        words: words.into_iter().flatten().filter_map(word).collect(),
    }
}

fn reference(value: &Value) -> Option<&str> {
    value.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

fn is_table(value: &Value) -> bool {
    value.get("properties").is_some()
}

fn object<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let found = value.get(key).and_then(Value::as_object);
    found.into_iter().flat_map(Map::iter)
}

/// What is said where a table is used, then what is said of it everywhere: but for its first sentence, which says once
/// more what it is.
fn joined(here: &str, everywhere: &str) -> String {
    match (here, everywhere.split_once(". ")) {
        ("", _) => everywhere.to_owned(),
        (here, None) => here.to_owned(),
        (here, Some((_, more))) => format!("{here} {more}"),
    }
}

/// A description in one line.
fn text(value: &Value) -> String {
    let text = value.get("description").and_then(Value::as_str);
    let text = text
        .unwrap_or_default()
        .split("```")
        .next()
        .unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
