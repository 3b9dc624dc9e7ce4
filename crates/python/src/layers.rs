//! The policies that are loaded, as they were given: what a forked child loads anew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pinfold::policy::{Layer, LoadError, Source, settings_from_json};

/// A policy of a chain as Python gives it: name, component (none: the shipped one), settings as JSON.
pub(crate) type Part = (String, Option<Vec<u8>>, String);

/// One policy of a chain.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) name: String,
    /// None: the shipped one.
    pub(crate) component: Option<Arc<[u8]>>,
    /// JSON.
    pub(crate) settings: String,
}

impl Given {
    pub(crate) fn new((name, component, settings): Part) -> Self {
        Self {
            name,
            component: component.map(Into::into),
            settings,
        }
    }

    pub(crate) fn part(&self) -> Part {
        let component = self.component.as_ref().map(|bytes| bytes.to_vec());
        (self.name.clone(), component, self.settings.clone())
    }

    pub(crate) fn source(&self) -> Source {
        let bytes = |bytes| Source::Bytes(Arc::clone(bytes));
        self.component.as_ref().map_or(Source::Shipped, bytes)
    }

    pub(crate) fn document(&self) -> Result<serde_json::Value, LoadError> {
        settings_from_json(&self.settings).map_err(|problem| LoadError::Settings(vec![problem]))
    }

    pub(crate) fn layer(&self) -> Result<Layer, LoadError> {
        Ok(Layer::new(&self.name, self.source()).settings(self.document()?))
    }
}

/// What is loaded. It changes behind the gate of loading only, so that a fork never finds it half changed.
#[derive(Clone)]
pub(crate) struct Layers(Arc<Mutex<Vec<Given>>>);

impl Layers {
    pub(crate) fn new(given: Vec<Given>) -> Self {
        Self(Arc::new(Mutex::new(given)))
    }

    pub(crate) fn all(&self) -> Vec<Given> {
        self.lock().clone()
    }

    /// The name of the first.
    pub(crate) fn first(&self) -> String {
        let layers = self.lock();
        layers
            .first()
            .map_or_else(String::new, |given| given.name.clone())
    }

    pub(crate) fn named(&self, name: &str) -> Option<Given> {
        self.lock().iter().find(|given| given.name == name).cloned()
    }

    /// All of them are others now.
    pub(crate) fn replace(&self, given: Vec<Given>) {
        *self.lock() = given;
    }

    /// One of them is another now.
    pub(crate) fn replace_one(&self, given: Given) {
        let mut layers = self.lock();
        if let Some(layer) = layers.iter_mut().find(|layer| layer.name == given.name) {
            *layer = given;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Given>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
