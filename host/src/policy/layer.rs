//! One place in the chain of policies: what it is called, and what is loaded there.

use serde_json::{Map, Value};

use super::{
    LoadError, Source,
    fault::tidy,
    limits::{LAYERS, NAME_BYTES},
};

/// A policy in a chain, with its own settings: the organisation's, the team's, the service's.
///
/// ```
/// use pinfold::{Guard, policy::{Layer, Source}, resolve::Fixed};
/// use serde_json::json;
///
/// let organisation = Layer::new("organisation", Source::Shipped);
/// let team = Layer::new("team", Source::Shipped).settings(json!({"ports": [443]}));
/// let guard = Guard::builder()
///     .layer(organisation)
///     .layer(team)
///     .resolver(Fixed::default())
///     .build()?;
/// let layers = guard.policies();
/// assert_eq!(layers[1].layer.as_deref(), Some("team"));
/// # Ok::<(), pinfold::policy::LoadError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Layer {
    pub(super) name: String,
    pub(super) source: Source,
    pub(super) settings: Value,
}

impl Layer {
    /// The name of the layer that [`GuardBuilder::policy`](crate::GuardBuilder::policy) and
    /// [`GuardBuilder::settings`](crate::GuardBuilder::settings) are about.
    pub const POLICY: &str = "policy";

    /// A layer with the settings `{}`.
    ///
    /// The name is what records say and what a swap is asked for: in lower case, words joined by `-`
    /// (`[a-z][a-z0-9]*(-[a-z0-9]+)*`), at most 64 octets. It is checked when the chain is loaded.
    pub fn new(name: impl Into<String>, source: Source) -> Self {
        Self {
            name: name.into(),
            source,
            settings: Value::Object(Map::new()),
        }
    }

    /// Settings of its policy. Default: `{}`.
    #[must_use]
    pub fn settings(mut self, settings: Value) -> Self {
        self.settings = settings;
        self
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Refuses a chain that is empty, too long, or whose names are none or not distinct.
pub(super) fn admit(layers: &[Layer]) -> Result<(), LoadError> {
    if layers.is_empty() {
        return Err(LoadError::NoLayer);
    }
    if layers.len() > LAYERS {
        return Err(LoadError::TooManyLayers {
            count: layers.len(),
            limit: LAYERS,
        });
    }
    for (at, layer) in layers.iter().enumerate() {
        if !is_name(&layer.name) {
            return Err(LoadError::LayerName(tidy(&layer.name, NAME_BYTES)));
        }
        if layers.iter().take(at).any(|other| other.name == layer.name) {
            return Err(LoadError::LayerTwice(layer.name.clone()));
        }
    }
    Ok(())
}

/// Whether a layer may be called so: kebab-case.
pub(crate) fn is_name(name: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    name.len() <= NAME_BYTES
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.split('-').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(names: &[&str]) -> Result<(), LoadError> {
        let layer = |name: &&str| Layer::new(*name, Source::Shipped);
        admit(&names.iter().map(layer).collect::<Vec<_>>())
    }

    #[test]
    fn a_name_is_kebab_case() {
        let long = "a".repeat(NAME_BYTES);
        for good in ["a", "team", "team-7", "data-protection", "x1", &long] {
            assert_eq!(chain(&[good]), Ok(()), "{good}");
        }
        let longer = "a".repeat(NAME_BYTES + 1);
        for bad in [
            "",
            "-",
            "a-",
            "-a",
            "a--b",
            "7",
            "7-a",
            "Team",
            "a_b",
            "a b",
            "a=b",
            "ä",
            "a\u{1b}[1m",
            &longer,
        ] {
            assert!(
                matches!(chain(&[bad]), Err(LoadError::LayerName(_))),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_chain_has_some_layers_but_not_many_and_each_name_once() {
        assert_eq!(chain(&[]), Err(LoadError::NoLayer));
        assert_eq!(
            chain(&["a", "b", "a"]),
            Err(LoadError::LayerTwice("a".into()))
        );
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        assert_eq!(chain(&names[..8]), Ok(()));
        assert_eq!(
            chain(&names),
            Err(LoadError::TooManyLayers { count: 9, limit: 8 })
        );
    }
}
