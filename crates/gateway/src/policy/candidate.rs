//! What is to judge: one policy, or a chain of layers, with settings, in memory.

use std::path::{Path, PathBuf};

use pinfold::{
    GuardBuilder,
    policy::{Layer, LoadError, Problem, Source},
};
use serde_json::Value;

use super::{ChangeError, Failure};

/// The policies of a gateway, as they are or as they would be: one, or a chain of layers.
#[derive(Clone, Debug)]
pub struct Candidate {
    layers: Vec<CandidateLayer>,
    cache: Option<PathBuf>,
    inert_wasi: bool,
    vectors: Vec<PathBuf>,
}

/// One policy with its settings.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CandidateLayer {
    /// The name of its layer; `policy` where there is only one policy.
    pub name: String,
    /// The component: bytes, or the shipped one. Never a path: what is tested is what is loaded.
    pub source: Source,
    /// Its settings.
    pub settings: Value,
    /// The file that they are from; none of what an operator sent.
    pub(super) settings_file: Option<PathBuf>,
}

/// What an operator asks to be swapped in. What is left out stays as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    /// The layer; none where there is only one policy.
    pub(crate) layer: Option<String>,
    pub(crate) component: Option<Source>,
    pub(crate) settings: Option<Value>,
}

impl Candidate {
    pub(super) fn new(
        layers: Vec<CandidateLayer>,
        cache: Option<PathBuf>,
        inert_wasi: bool,
    ) -> Self {
        Self {
            layers,
            cache,
            inert_wasi,
            vectors: Vec::new(),
        }
    }

    /// These policies, without a cache and without WASI; for who tests a [`SelfTest`](crate::SelfTest).
    pub fn of(layers: impl IntoIterator<Item = CandidateLayer>) -> Self {
        Self::new(layers.into_iter().collect(), None, false)
    }

    /// The policies, in the order in which they are asked; one or more.
    pub fn layers(&self) -> &[CandidateLayer] {
        &self.layers
    }

    /// Where compiled policies are kept.
    pub fn cache(&self) -> Option<&Path> {
        self.cache.as_deref()
    }

    /// Whether policies may import WASI that does nothing.
    pub fn inert_wasi(&self) -> bool {
        self.inert_wasi
    }

    /// The files and folders of vectors that it must pass, when it is tested; none when it need not be.
    pub fn vectors(&self) -> &[PathBuf] {
        &self.vectors
    }

    /// The same, to be tested by these vectors.
    #[must_use]
    pub fn tested_by(&self, vectors: &[PathBuf]) -> Self {
        Self {
            vectors: vectors.to_vec(),
            ..self.clone()
        }
    }

    /// A guard that begins with this candidate.
    pub fn of_guard(&self, builder: GuardBuilder) -> GuardBuilder {
        let mut builder = builder.inert_wasi(self.inert_wasi);
        if let Some(dir) = &self.cache {
            builder = builder.code_cache(dir);
        }
        self.chain().into_iter().fold(builder, GuardBuilder::layer)
    }

    /// The only policy under other settings; none where there are several, and nobody could say whose settings they
    /// are.
    #[must_use]
    pub fn under(&self, settings: &Value) -> Option<Self> {
        let [only] = &self.layers[..] else {
            return None;
        };
        let only = CandidateLayer {
            settings: settings.clone(),
            settings_file: None,
            ..only.clone()
        };
        Some(Self {
            layers: vec![only],
            ..self.clone()
        })
    }

    pub(super) fn chain(&self) -> Vec<Layer> {
        self.layers.iter().map(CandidateLayer::layer).collect()
    }

    /// The layer that is meant: the named one, or the only one.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<&CandidateLayer, ChangeError> {
        match (name, &self.layers[..]) {
            (None, [only]) => Ok(only),
            (None, several) => Err(ChangeError::request(
                "layer-missing",
                format!("there are {} layers: {}", several.len(), self.names()),
                "say which one",
            )),
            (Some(name), all) => all.iter().find(|layer| layer.name == name).ok_or_else(|| {
                ChangeError::request(
                    "layer-unknown",
                    format!("there is no layer of this name, there is {}", self.names()),
                    "name a layer that there is; the chain itself is changed in the configuration",
                )
            }),
        }
    }

    /// This candidate with one layer changed.
    pub(crate) fn with(&self, change: &Change) -> Result<Self, ChangeError> {
        if change.component.is_none() && change.settings.is_none() {
            let message = "neither a component nor settings are given";
            return Err(ChangeError::request(
                "change-empty",
                message,
                "give one of them, or both",
            ));
        }
        let name = self.find(change.layer.as_deref())?.name.clone();
        let mut next = self.clone();
        for layer in next.layers.iter_mut().filter(|layer| layer.name == name) {
            layer.apply(change);
        }
        Ok(next)
    }

    /// The layers of `next` that differ, when both have the same layers in the same order.
    pub(super) fn changed<'a>(&self, next: &'a Self) -> Option<Vec<&'a CandidateLayer>> {
        fn names(of: &Candidate) -> impl Iterator<Item = &String> {
            of.layers.iter().map(|layer| &layer.name)
        }
        if self.inert_wasi != next.inert_wasi || !names(self).eq(names(next)) {
            return None;
        }
        let pairs = self.layers.iter().zip(&next.layers);
        let changed = pairs.filter(|(old, new)| !old.is(new));
        Some(changed.map(|(_, new)| new).collect())
    }

    /// Whether both are the same policies under the same settings.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.changed(other)
            .is_some_and(|changed| changed.is_empty())
    }

    /// Takes bytes that `other` holds too from there, so that they are in memory once.
    pub(super) fn share(&mut self, other: &Self) {
        for layer in &mut self.layers {
            let known = other.layers.iter().map(|known| &known.source);
            if let Some(known) = known
                .into_iter()
                .find(|known| is_same(known, &layer.source))
            {
                layer.source = known.clone();
            }
        }
    }

    /// Why it was not loaded. Settings that are refused are named by their file.
    pub(super) fn refused(&self, error: LoadError) -> Failure {
        let (layer, inner) = match &error {
            LoadError::InLayer { layer, error } => (Some(layer), &**error),
            other => (None, other),
        };
        let LoadError::Settings(problems) = inner else {
            return error.into();
        };
        let hint = problems.iter().any(is_of_floor).then_some(GRANT);
        let of = |known: &&CandidateLayer| layer.is_none_or(|name| known.name == *name);
        let known = self.layers.iter().find(of);
        let file = known.and_then(|known| known.settings_file.clone());
        let mut failure = Failure::from(error);
        failure.hint = hint.or(failure.hint);
        match file {
            Some(file) => failure.about(&file),
            None => failure,
        }
    }

    fn names(&self) -> String {
        let names = self.layers.iter().map(|layer| format!("`{}`", layer.name));
        names.collect::<Vec<_>>().join(", ")
    }
}

impl CandidateLayer {
    /// A policy in a layer of this name.
    pub fn new(name: impl Into<String>, source: Source, settings: Value) -> Self {
        Self {
            name: name.into(),
            source,
            settings,
            settings_file: None,
        }
    }

    pub(super) fn layer(&self) -> Layer {
        Layer::new(&self.name, self.source.clone()).settings(self.settings.clone())
    }

    fn apply(&mut self, change: &Change) {
        if let Some(component) = &change.component {
            self.source = component.clone();
        }
        if let Some(settings) = &change.settings {
            self.settings = settings.clone();
            self.settings_file = None;
        }
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        is_same(&self.source, &other.source) && self.settings == other.settings
    }
}

/// Whether a network is allowed that only an operator can open.
fn is_of_floor(problem: &Problem) -> bool {
    problem.path.starts_with("/networks/allow/") && problem.message.contains("operator grants")
}

const GRANT: &str = "leave it out of `networks.allow`: a grant in `floor.grants` is enough";

fn is_same(one: &Source, other: &Source) -> bool {
    match (one, other) {
        (Source::Shipped, Source::Shipped) => true,
        (Source::Bytes(one), Source::Bytes(other)) => one == other,
        _ => false,
    }
}
