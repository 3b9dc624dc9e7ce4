//! The policies and settings at hand, each found by its digest and loaded once.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context;
use pinfold::{
    Limits, PolicyRef,
    policy::{Evaluator, LoadError, LoadOptions, Source, component_digest, settings_digest},
};
use serde_json::Value;

use crate::options;

/// Live instances of policies: one record is judged at a time, by one layer after the other.
const INSTANCES: u32 = 16;

/// What records can be replayed with.
pub(super) struct Shelf {
    components: BTreeMap<String, Source>,
    settings: BTreeMap<String, Value>,
    loading: Loading,
    /// By the digests of component and settings.
    loaded: BTreeMap<(String, String), Result<Evaluator, Missing>>,
}

/// How policies are loaded.
#[derive(Debug)]
pub(super) struct Loading {
    /// Where compiled code is kept.
    pub(super) cache: Option<PathBuf>,
    /// The operator grants inert WASI.
    pub(super) inert_wasi: bool,
}

/// Why a policy cannot judge again.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Missing {
    /// No component with this digest was given.
    Component {
        /// What the record calls it.
        name: String,
        /// SHA-256 of the component.
        digest: String,
    },
    /// No settings with this digest were given.
    Settings {
        /// What the record calls the policy.
        name: String,
        /// SHA-256 of the settings.
        digest: String,
    },
    /// It judged with inert WASI, which nobody grants now.
    InertWasi {
        /// What the record calls it.
        name: String,
    },
    /// The component does not load with these settings.
    Load {
        /// What the record calls it.
        name: String,
        /// Why not.
        problem: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// The chain has no layer of that name.
    Layer {
        /// The name that was asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
}

impl Shelf {
    /// Reads every file, so that a name that is mistyped is told before anything is judged. Nothing is
    /// compiled yet.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or that holds no settings.
    pub(super) fn new(
        components: &[PathBuf],
        settings: &[PathBuf],
        loading: Loading,
    ) -> anyhow::Result<Self> {
        let mut shelf = Self {
            components: BTreeMap::new(),
            settings: BTreeMap::new(),
            loading,
            loaded: BTreeMap::new(),
        };
        shelf
            .component(Source::Shipped)
            .context("cannot read the shipped policy")?;
        for file in components {
            shelf
                .component(Source::Path(file.clone()))
                .with_context(|| format!("cannot use the policy `{}`", file.display()))?;
        }
        shelf.settings(Value::Object(serde_json::Map::new()));
        for file in settings {
            shelf.settings(options::read_settings(file)?);
        }
        Ok(shelf)
    }

    /// Puts a component on the shelf. Returns its digest.
    pub(super) fn component(&mut self, source: Source) -> Result<String, LoadError> {
        let digest = component_digest(&source, &limits())?;
        self.components.insert(digest.clone(), source);
        Ok(digest)
    }

    /// Puts settings on the shelf. Returns their digest.
    pub(super) fn settings(&mut self, settings: Value) -> String {
        let digest = settings_digest(&settings);
        self.settings.insert(digest.clone(), settings);
        digest
    }

    /// The policy that a record names, loaded.
    pub(super) fn policy(&mut self, wanted: &PolicyRef) -> Result<&Evaluator, Missing> {
        let key = (wanted.digest.clone(), wanted.settings_digest.clone());
        if !self.loaded.contains_key(&key) {
            let loaded = self.load(wanted);
            self.loaded.insert(key.clone(), loaded);
        }
        match self.loaded.get(&key) {
            Some(Ok(policy)) => Ok(policy),
            Some(Err(missing)) => Err(missing.clone()),
            None => Err(component_missing(wanted)),
        }
    }

    fn load(&self, wanted: &PolicyRef) -> Result<Evaluator, Missing> {
        if wanted.inert_wasi && !self.loading.inert_wasi {
            let name = wanted.name.clone();
            return Err(Missing::InertWasi { name });
        }
        let source = self.components.get(&wanted.digest);
        let source = source.ok_or_else(|| component_missing(wanted))?;
        let settings = self.settings.get(&wanted.settings_digest);
        let settings = settings.ok_or_else(|| Missing::Settings {
            name: wanted.name.clone(),
            digest: wanted.settings_digest.clone(),
        })?;
        let loaded = self.loading.load(source.clone(), settings.clone());
        loaded.map_err(|error| Missing::load(wanted.name.clone(), &error))
    }
}

/// That its component is not there.
pub(super) fn component_missing(wanted: &PolicyRef) -> Missing {
    Missing::Component {
        name: wanted.name.clone(),
        digest: wanted.digest.clone(),
    }
}

impl Loading {
    fn load(&self, source: Source, settings: Value) -> Result<Evaluator, LoadError> {
        let options = LoadOptions::new().inert_wasi(self.inert_wasi);
        let options = match &self.cache {
            Some(dir) => options.code_cache(dir),
            None => options,
        };
        Evaluator::load_with(source, settings, &limits(), &options)
    }
}

impl Missing {
    /// A component that does not load.
    pub(super) fn load(name: String, error: &LoadError) -> Self {
        Self::Load {
            name,
            problem: told(error),
            hint: error.hint(),
        }
    }
}

/// An error of loading on one line, each problem of the settings with its path.
fn told(error: &LoadError) -> String {
    match error {
        LoadError::Settings(problems) => {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            format!("{error}: {}", problems.join("; "))
        }
        _ => error.to_string(),
    }
}

/// No spares: each question is asked in an instance that is made for it, wherever it comes from.
fn limits() -> Limits {
    let mut limits = options::limits();
    limits.policy_instances = INSTANCES;
    limits.policy_spares = 0;
    limits
}
