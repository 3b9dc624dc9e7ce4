//! Which policy judges, which one watches, and for whom it only reports.

use std::path::PathBuf;

use super::Span;

/// The active policy, or chain of policies.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PolicyConfig {
    /// The component. Default: the shipped policy.
    pub file: Option<PathBuf>,
    /// Its settings, TOML or JSON. Default: none, `{}`.
    pub settings: Option<PathBuf>,
    /// Vector files or folders that a policy must pass before it is swapped in. Default: none.
    pub vectors: Vec<PathBuf>,
    /// A chain instead of one policy: each layer may deny. Excludes `file` and `settings`.
    pub layer: Vec<LayerConfig>,
    /// Whether the files are watched. Default: yes.
    pub watch: bool,
    /// How often they are looked at. Default: 1 s.
    pub interval: Span,
    /// Compiled policies are kept here, so that a restart is fast. Default: nowhere.
    pub cache: Option<PathBuf>,
    /// Lets policies import WASI that does nothing. Default: no.
    pub inert_wasi: bool,
    /// How many generations can be gone back to. Default: 8.
    pub history: usize,
}

/// One layer of a chain.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LayerConfig {
    /// Its name: lower case, words joined by `-`.
    pub name: String,
    /// The component. Default: the shipped policy.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// Its settings. Default: none, `{}`.
    #[serde(default)]
    pub settings: Option<PathBuf>,
}

/// A candidate that judges the same traffic, never enforced.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Shadow {
    /// The layer that it would replace. Default: the only one.
    pub layer: Option<String>,
    /// The component. Default: the shipped policy.
    pub file: Option<PathBuf>,
    /// Its settings. Default: none, `{}`.
    pub settings: Option<PathBuf>,
}

/// For whom a denial of the policy is only reported. The native floor holds all the same.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Report {
    /// Everybody. Default: no.
    pub all: bool,
    /// These subjects; `*` at the end stands for any rest.
    pub subjects: Vec<String>,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            file: None,
            settings: None,
            vectors: Vec::new(),
            layer: Vec::new(),
            watch: true,
            interval: Span::seconds(1),
            cache: None,
            inert_wasi: false,
            history: 8,
        }
    }
}
