//! A value of a configuration and its place. Names are read as YAML and as JSON write them: `filter_chains` and
//! `filterChains`.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// A value, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    pub(super) value: &'a Value,
    /// Such as `static_resources.listeners[0]`.
    pub(super) path: String,
}

impl<'a> Node<'a> {
    pub(super) fn new(value: &'a Value, path: impl Into<String>) -> Self {
        let path = path.into();
        Self { value, path }
    }

    fn object(&self) -> Option<&'a Map<String, Value>> {
        self.value.as_object()
    }

    /// A field; one that is null is not there.
    pub(super) fn get(&self, key: &str) -> Option<Self> {
        let object = self.object()?;
        let (found, value) = match object.get_key_value(key) {
            Some(found) => found,
            None => object.get_key_value(&*camel(key))?,
        };
        (!value.is_null()).then(|| Self::new(value, joined(&self.path, found)))
    }

    /// A field of a field.
    pub(super) fn at<const N: usize>(&self, keys: [&str; N]) -> Option<Self> {
        keys.iter()
            .try_fold(self.clone(), |node, key| node.get(key))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The items of a list; none when there is no list.
    pub(super) fn items(&self, key: &str) -> Vec<Self> {
        self.get(key).map(|list| list.list()).unwrap_or_default()
    }

    /// Of a list, its items.
    pub(super) fn list(&self) -> Vec<Self> {
        let items = self.value.as_array().into_iter().flatten().enumerate();
        items
            .map(|(at, value)| Self::new(value, format!("{}[{at}]", self.path)))
            .collect()
    }

    /// Of a map, its entries.
    pub(super) fn entries(&self) -> Vec<(&'a str, Self)> {
        let entries = self.object().into_iter().flatten();
        entries
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.as_str(), Self::new(value, joined(&self.path, key))))
            .collect()
    }

    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.get(key)?.value.as_str()
    }

    /// `name`, or nothing.
    pub(super) fn name(&self) -> &'a str {
        self.text("name").unwrap_or_default()
    }

    /// Also in the words that YAML 1.1 has for it.
    pub(super) fn flag(&self, key: &str) -> bool {
        match self.get(key).map(|node| node.value) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(word)) => {
                matches!(&*word.to_ascii_lowercase(), "true" | "yes" | "on" | "y")
            }
            _ => false,
        }
    }

    /// Also one in quotes, as JSON writes 64 bits.
    pub(super) fn number(&self, key: &str) -> Option<f64> {
        match self.get(key)?.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// A time in seconds: `1.5s`.
    pub(super) fn seconds(&self, key: &str) -> Option<f64> {
        self.text(key)?.strip_suffix('s')?.parse().ok()
    }

    /// Whether a field has this value of an enumeration, by name or by number.
    pub(super) fn is(&self, key: &str, name: &str, number: u64) -> bool {
        match self.get(key).map(|node| node.value) {
            Some(Value::String(text)) => text == name,
            Some(Value::Number(found)) => found.as_u64() == Some(number),
            _ => false,
        }
    }

    /// The last word of `@type`: `ExtAuthz`. Of a structure that stands for another message, that message.
    pub(super) fn kind(&self) -> &'a str {
        self.url().rsplit(['.', '/']).next().unwrap_or_default()
    }

    /// Whether the type is of this package: `filters.http.ext_authz`.
    pub(super) fn is_of(&self, package: &str) -> bool {
        self.url().contains(package)
    }

    fn url(&self) -> &'a str {
        let url = self.text("@type").unwrap_or_default();
        match url.ends_with(".TypedStruct") {
            true => self.text("type_url").unwrap_or_default(),
            false => url,
        }
    }

    /// The message itself, where a structure stands for it.
    pub(super) fn message(&self) -> Self {
        let url = self.text("@type").unwrap_or_default();
        match self.get("value") {
            Some(value) if url.ends_with(".TypedStruct") => value,
            _ => self.clone(),
        }
    }
}

/// The path of a field.
pub(super) fn joined(path: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '@');
    match (path, key.chars().all(plain)) {
        ("", true) => key.to_owned(),
        (_, true) => format!("{path}.{key}"),
        (_, false) => format!("{path}[\"{key}\"]"),
    }
}

/// `filter_chains` is `filterChains` in JSON.
fn camel(key: &str) -> Cow<'_, str> {
    if !key.contains('_') {
        return key.into();
    }
    let mut words = key.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    let rest = words.map(|word| {
        let mut letters = word.chars();
        let head = letters.next().map(|letter| letter.to_ascii_uppercase());
        head.into_iter().chain(letters).collect::<String>()
    });
    rest.fold(first, |all, word| all + &word).into()
}
